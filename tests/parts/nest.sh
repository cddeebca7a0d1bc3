# shellcheck shell=bash
# elector-wasm/nestjs: applications on Nest 10, 11 and 12 on PostgreSQL, beside the real nest-leader-election
settings=$(tests/setup-postgres.sh)
eval "$settings"
need_js
must node bindings/js/test/nestjs/run.mjs
