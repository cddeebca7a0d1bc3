# shellcheck shell=bash
# the properties of each store: memory, SQLite, and the system's PostgreSQL with guard, tokens and roles
need_rust
# Most of these tests wait for other processes: more of them at a time than there are processors.
export RUST_TEST_THREADS=6
tests/install/postgres.sh --system
must cargo test -q --no-fail-fast --all-features --test stores -- --skip timed:: --skip newest::
quick=(connect:: sessions::system:: guard::system:: isolation::system:: locks::system:: tokens::system::
  encodings::system:: row_security::system::
  network::system::a_role_whose_idle_sessions_are_ended_keeps_ours)
must cargo test -q --no-fail-fast --all-features --test postgres -- "${quick[@]}" --skip connect::timed::
