# shellcheck shell=bash
# the npm package on better-sqlite3, PGlite and the newest PostgreSQL, and what measures time
settings=$(tests/install/postgres.sh)
eval "$settings"
need_js
need_kit
npm_ci bindings/js/test/deep
must npm --prefix bindings/js test -- --deep
