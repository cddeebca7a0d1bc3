# shellcheck shell=bash
# candidates in Rust, C, Go and Node in one election on one PostgreSQL, killed and stopped at random
#
# ELECTOR_LANGUAGES_SECONDS: how long; by default a minute. The published figure is of five.
settings=$(tests/install/postgres.sh)
eval "$settings"
need_go
need_js
drivers=$CARGO_TARGET_DIR/drivers
mkdir -p "$drivers"
cc -std=c11 -O2 -Iinclude -o "$drivers/c" bindings/c/driver.c "$(c_library)" -lpthread -lm -ldl
in_go build -o "$drivers/go" ./cmd/driver
export ELECTOR_TEST_C_DRIVER=$drivers/c ELECTOR_TEST_GO_DRIVER=$drivers/go
export ELECTOR_TEST_NODE_DRIVER=$PWD/bindings/js/test/driver.mjs
must cargo test -q --all-features --test peers -- --nocapture
