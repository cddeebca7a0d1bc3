# shellcheck shell=bash
# a seed replays: 1 000 simulated Raft worlds have the same digests natively and as WebAssembly
need_rust
need node nodejs "install Node.js 20 or newer"
# shellcheck source=tests/pure/modules.sh
. tests/pure/modules.sh
core --features testing --target $triple
module worlds
CARGO_TARGET_DIR=$targets cargo build -q --locked --lib --profile wasm --no-default-features \
  --features testing
"${RUSTC:-rustc}" tests/pure/worlds.rs -o "$modules/worlds" --edition 2024 \
  --extern "elector=$targets/wasm/libelector.rlib" -L "dependency=$targets/wasm/deps"
"$modules/worlds" 1000 >"$modules/digests"
check "a seed gives the same world natively and as WebAssembly" \
  node tests/pure/worlds.mjs "$modules/worlds.wasm" "$modules/digests"
