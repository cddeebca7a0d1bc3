# shellcheck shell=bash
# simulations and elections, optimised: 20 000 fixed seeds, 20 000 drawn from the commit; the Raft explorer
#
# ELECTOR_SIM_SEEDS is the number of fixed seeds, ELECTOR_EXPLORER_STATES the most states of each search.
# limit: 2400
need_rust
seeds=${ELECTOR_SIM_SEEDS:-20000}
drawn=$((16#$(git rev-parse HEAD | cut -c 1-12)))
say "fixed seeds: $seeds; drawn from the commit: $drawn..$((drawn + 20000))"
must env ELECTOR_SIM_SEEDS="$seeds" cargo test -q --release --all-features --test sim
must env ELECTOR_SIM_SEEDS="$seeds" cargo test -q --release --all-features --test raft \
  -- --nocapture world:: sweep::
export ELECTOR_SIM_SEEDS="$drawn..$((drawn + 20000))"
must cargo test -q --release --all-features --test sim promises
must cargo test -q --release --all-features --test raft -- --nocapture world::promises sweep::
export ELECTOR_EXPLORER_STATES=${ELECTOR_EXPLORER_STATES:-600000}
say "all that a few Raft members can do: at most $ELECTOR_EXPLORER_STATES states where it is bounded"
must cargo test -q --release --all-features --test raft explorer:: -- --nocapture --test-threads=1
