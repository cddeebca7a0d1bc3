# shellcheck shell=bash
# 10 million changed messages and files, and 10 million inputs to Raft machines: no panic, no overflow
need_rust
# As a test is built, which checks for overflows, but optimised.
optimised=(--config profile.dev.package.elector.opt-level=3)
must env ELECTOR_FUZZ_SEEDS="${ELECTOR_FUZZ_SEEDS:-160000}" \
  cargo test -q "${optimised[@]}" --no-default-features --features testing --test raft fuzz:: -- --nocapture
