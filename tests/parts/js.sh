# shellcheck shell=bash
# the npm package: built, its core's size and imports, its tests on PostgreSQL, PGlite and SQLite
settings=$(tests/setup-postgres.sh)
eval "$settings"
need_js
must npm --prefix bindings/js test
