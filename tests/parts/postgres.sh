# shellcheck shell=bash
# the PostgreSQL store on real servers, with real faults, beside the real nest-leader-election
need_rust
settings=$(tests/setup-postgres.sh)
eval "$settings"
must cargo test -q --no-fail-fast --all-features --test conformance_postgres
# These measure time and stop processes: a few at a time.
must cargo test -q --no-fail-fast --all-features --test postgres -- --test-threads=4
