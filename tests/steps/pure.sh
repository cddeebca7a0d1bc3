# shellcheck shell=bash
# the core alone builds for WebAssembly, needs nothing from outside, and elects there
need cargo - "install Rust with rustup"
need node nodejs "install Node.js 20 or newer"
settings=$(tests/install/wasm.sh)
eval "$settings"
export CARGO_TARGET_DIR=$CARGO_TARGET_DIR/wasm
triple=wasm32-unknown-unknown
out=$CARGO_TARGET_DIR/$triple/debug

link() {
  # The host's own directory holds the macros that the core's dependencies are built with.
  "${RUSTC:-rustc}" tests/pure/probe.rs -o "$out/probe.wasm" \
    --edition 2024 --target $triple --crate-type cdylib --extern "elector=$out/libelector.rlib" \
    -L "dependency=$out/deps" -L "dependency=$CARGO_TARGET_DIR/debug/deps"
}

check "the core builds for $triple" cargo build -q --target $triple --no-default-features --lib
check "a program links with it" link
check "it imports nothing and elects" node tests/pure/run.mjs "$out/probe.wasm"
