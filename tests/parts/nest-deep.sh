# shellcheck shell=bash
# elector-wasm/nestjs: applications on Nest 10 and 12, beside the real nest-leader-election
settings=$(tests/setup-postgres.sh)
eval "$settings"
need_js
must node bindings/js/test/nestjs/run.mjs 10 12
