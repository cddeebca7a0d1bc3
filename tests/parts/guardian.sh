# shellcheck shell=bash
# the command under `elector run` never outlives trust: run stopped, run killed, guardian killed, daemons
need_rust
must cargo test -q --no-fail-fast --all-features --test guardian -- --skip timed::
