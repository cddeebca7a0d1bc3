# shellcheck shell=bash
# Builds the modules of tests/pure that are optimised for size. They lie in the folder $modules.
settings=$(tests/install/wasm.sh)
eval "$settings"
triple=wasm32-unknown-unknown
targets=$CARGO_TARGET_DIR/wasm
modules=$targets/$triple/wasm

# core ARGUMENTS…: the core as a library that the linker optimises together with the program that uses it.
core() {
  CARGO_TARGET_DIR=$targets cargo rustc -q --locked --lib --profile wasm --no-default-features "$@" \
    -- -C linker-plugin-lto
}

# module NAME: the module of tests/pure/NAME.rs, with that library.
module() {
  "${RUSTC:-rustc}" "tests/pure/$1.rs" -o "$modules/$1.wasm" --edition 2024 --target $triple \
    --crate-type cdylib -C linker-plugin-lto -C opt-level=z -C codegen-units=1 -C panic=abort \
    -C strip=debuginfo --extern "elector=$modules/libelector.rlib" \
    -L "dependency=$modules/deps" -L "dependency=$targets/wasm/deps"
}
