# shellcheck shell=bash
# the seeded simulations, optimised: 20 000 fixed seeds, and as many drawn from the commit (ELECTOR_SIM_SEEDS)
# limit: 1800
need_rust
seeds=${ELECTOR_SIM_SEEDS:-20000}
drawn=$((16#$(git rev-parse HEAD | cut -c 1-12)))
say "fixed seeds: $seeds; drawn from the commit: $drawn..$((drawn + 20000))"
must env ELECTOR_SIM_SEEDS="$seeds" cargo test -q --release --all-features --test sim
must env ELECTOR_SIM_SEEDS="$seeds" cargo test -q --release --all-features --test raft world::
export ELECTOR_SIM_SEEDS="$drawn..$((drawn + 20000))"
must cargo test -q --release --all-features --test sim promises
must cargo test -q --release --all-features --test raft world::promises
