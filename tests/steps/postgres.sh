# shellcheck shell=bash
# the PostgreSQL store on two releases, with real faults, beside the real nest-leader-election
# limit: 2400
need_rust
. tests/kit/witnessed.sh
settings=$(tests/install/postgres.sh)
eval "$settings"
must cargo test -q --no-fail-fast --all-features --test stores -- newest:: --skip timed::
# These measure time and stop processes: a few at a time.
must witnessed postgres --test-threads=4
