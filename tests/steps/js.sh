# shellcheck shell=bash
# the npm package in Node on its own clock, in memory, on SQLite and PostgreSQL, and packed in workerd
need_js
need_kit
must npm --prefix bindings/js test
