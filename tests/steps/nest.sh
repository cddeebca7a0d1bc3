# shellcheck shell=bash
# elector-wasm/nestjs: applications on Nest 11 and PostgreSQL
need_js
npm_ci bindings/js/test/nestjs/nest11
npm_ci bindings/js/test/nestjs/bundle
need_kit
must node bindings/js/test/nestjs/run.mjs 11
