# shellcheck shell=bash
# Builds the modules of tests/pure that are optimised for size. They lie in the folder $modules.
settings=$(tests/install/wasm.sh)
eval "$settings"
triple=wasm32-unknown-unknown
targets=$CARGO_TARGET_DIR/wasm
modules=$targets/$triple/wasm

# The linker optimises all crates together. Copies of memory are one instruction each, as by default since
# Rust 1.87.
flags=(-C linker-plugin-lto -C target-feature=+bulk-memory)

# core ARGUMENTS…: the core as a library, with what it depends on.
core() {
  CARGO_TARGET_DIR=$targets CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUSTFLAGS=${flags[*]} \
    cargo rustc -q --locked --lib --profile wasm --no-default-features "$@"
}

# module NAME: the module of tests/pure/NAME.rs, with that library.
module() {
  "${RUSTC:-rustc}" "tests/pure/$1.rs" -o "$modules/$1.wasm" --edition 2024 --target $triple \
    --crate-type cdylib "${flags[@]}" -C opt-level=z -C codegen-units=1 -C panic=abort \
    -C strip=debuginfo --extern "elector=$modules/libelector.rlib" \
    -L "dependency=$modules/deps" -L "dependency=$targets/wasm/deps"
}
