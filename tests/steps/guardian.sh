# shellcheck shell=bash
# the command under `elector run` never outlives trust: run stopped, run killed, guardian killed, daemons
need_rust
# Most of these tests wait for other processes: more of them at a time than there are processors.
export RUST_TEST_THREADS=6
must cargo test -q --no-fail-fast --all-features --test guardian -- --skip timed::
