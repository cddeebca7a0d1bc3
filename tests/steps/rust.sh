# shellcheck shell=bash
# every Rust test but those of other steps: machine, 1 000 simulated worlds, API, command line, documents
need_rust
# Most of these tests wait for other processes: more of them at a time than there are processors.
export RUST_TEST_THREADS=6
tests/install/postgres.sh --system
# What the steps stores, guardian, times and languages run.
elsewhere=' conformance conformance_postgres postgres postgres_connect sqlite_faults'
elsewhere+=' guardian kills languages '
suites=()
for file in tests/*.rs tests/*/main.rs; do
  suite=${file%/main.rs}
  suite=$(basename "$suite" .rs)
  case $elsewhere in *" $suite "*) ;; *) suites+=(--test "$suite") ;; esac
done
must cargo test -q --no-fail-fast --all-features --lib --bins "${suites[@]}" -- --skip timed::
must cargo test -q --no-fail-fast --all-features --doc
