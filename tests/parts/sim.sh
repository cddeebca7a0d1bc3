# shellcheck shell=bash
# the seeded simulation of whole elections, optimised and over many more seeds (ELECTOR_SIM_SEEDS)
need_rust
export ELECTOR_SIM_SEEDS=${ELECTOR_SIM_SEEDS:-20000}
must cargo test -q --release --all-features --test sim
