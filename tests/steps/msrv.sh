# shellcheck shell=bash
# the oldest Rust that Cargo.toml promises compiles everything
need cargo - "install Rust with rustup"
RUSTC=$(tests/install/msrv.sh)
export RUSTC
say "$("$RUSTC" -V)"
check "Rust $(msrv) compiles everything" \
  env CARGO_TARGET_DIR="$CARGO_TARGET_DIR/msrv" cargo check -q --workspace --all-features --all-targets
