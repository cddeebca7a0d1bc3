# shellcheck shell=bash
# the packed npm package in Node, Deno, Bun, workerd and Chromium, with Vite, its types, its example tabs
need_js
need chromium chromium "install Chromium"
edge=bindings/js/edge
if ! cmp -s $edge/package-lock.json $edge/node_modules/installed.json; then
  npm --prefix $edge ci --no-audit --no-fund --loglevel=error
  cp $edge/package-lock.json $edge/node_modules/installed.json
fi
must npm --prefix bindings/js test -- edge/edge.test.mjs edge/tabs.test.mjs
