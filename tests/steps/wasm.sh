# shellcheck shell=bash
# the npm package builds: the core as WebAssembly, its size, and the TypeScript; the Raft core alone, its size
need_js
check "the npm package builds" test -s bindings/js/dist/cjs/index.js
# shellcheck source=tests/pure/modules.sh
. tests/pure/modules.sh
core --target $triple
module raft
node bindings/js/scripts/traps.mjs "$modules/raft.wasm" "$modules/raft-traps.wasm"
# Compressed, a function that is called once is smaller where it is than in its caller.
node bindings/js/node_modules/binaryen/bin/wasm-opt "$modules/raft-traps.wasm" --flatten --rereloop -Oz -Oz \
  --one-caller-inline-max-function-size 0 -o "$modules/raft-small.wasm"
check "the Raft core imports nothing, elects, commits, and has at most 40 KB" \
  node tests/pure/raft.mjs "$modules/raft-small.wasm"
