# shellcheck shell=bash
# the npm package builds: the core as WebAssembly with its glue, its size, and the TypeScript
need_js
check "the npm package builds" test -s bindings/js/dist/cjs/index.js
