# shellcheck shell=bash
# the properties of each store: in memory, on SQLite, on the system's PostgreSQL with its guard and tokens
need_rust
tests/setup-postgres.sh --system
must cargo test -q --no-fail-fast --all-features --test conformance --test sqlite_faults -- --skip timed::
must cargo test -q --no-fail-fast --all-features --test postgres_connect -- --skip timed::
must cargo test -q --no-fail-fast --all-features --test conformance_postgres -- system::
safety=(guard::system:: isolation::system:: locks::system:: tokens::system::)
must cargo test -q --no-fail-fast --all-features --test postgres -- "${safety[@]}"
