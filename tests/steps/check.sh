# shellcheck shell=bash
# formatting and lints of Rust and shell
need_rust
need shellcheck shellcheck "install shellcheck"
must shellcheck -x tests/*.sh tests/*/*.sh .ci/run
must cargo fmt --all --check
must cargo fmt --check --manifest-path bindings/js/scripts/bindgen/Cargo.toml
must cargo fmt --check --manifest-path tests/bench/raft/Cargo.toml
check "clippy" cargo clippy -q --workspace --all-features --all-targets -- -D warnings
