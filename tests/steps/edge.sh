# shellcheck shell=bash
# the packed npm package in Deno, Bun and Chromium, with Vite, its types, its example tabs, raftq in tabs
need_js
need chromium chromium "install Chromium"
npm_ci bindings/js/edge
must npm --prefix bindings/js test -- edge/edge.test.mjs edge/tabs.test.mjs edge/raftq.test.mjs
