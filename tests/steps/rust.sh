# shellcheck shell=bash
# every Rust test but those of other steps: machine, 1 000 simulated worlds, API, command line, documents
need_rust
# Most of these tests wait for other processes: more of them at a time than there are processors.
export RUST_TEST_THREADS=6
tests/install/postgres.sh --system
must cargo test -q --no-fail-fast --all-features --lib --bins \
  --test alone --test api --test cli --test core --test faults --test raft --test sim \
  --test tidy \
  -- --skip timed:: --skip kills::
must cargo test -q --no-fail-fast --all-features --doc
question='{"op":"commit","incoming":["1"],"outgoing":[],"acked":{"1":7}}'
conform() { cargo run -q --all-features --example conform <<<"$question"; }
answers_seven() { [ "$(conform)" = '{"index":7}' ]; }
check "conform answers a line" answers_seven
