# shellcheck shell=bash
# elector-wasm/nestjs on Nest 10, 11 and 12, beside the real nest-leader-election, and what measures time
# limit: 1800
settings=$(tests/install/postgres.sh)
eval "$settings"
need_js
need_kit
must node bindings/js/test/nestjs/run.mjs --all 10 12
must node bindings/js/test/nestjs/run.mjs --deep 11
