# shellcheck shell=bash
# real processes, killed and stopped; one test at a time, since they measure time
need_rust
for suite in guardian kills sqlite_faults; do
  must cargo test -q --all-features --test "$suite" -- --test-threads=1
done
