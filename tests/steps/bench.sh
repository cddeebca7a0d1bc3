# shellcheck shell=bash
# the measured limits: prints each figure beside its limit and fails above it
# limit: 1800
need_rust
must cargo bench -q --all-features --bench limits
must env ELECTOR_FIGURES_SEEDS=100000 cargo test --release --all-features --test raft figures:: -- --nocapture
must cargo run -q --locked --release --manifest-path tests/bench/raft/Cargo.toml
settings=$(tests/install/postgres.sh)
eval "$settings"
must cargo bench -q --all-features --bench limits -- postgres
need make make "install make"
must make -s -C bindings/c all
must cc -std=c11 -O2 -Wall -Wextra -Iinclude tests/bench/questions.c "$(c_library)" \
  -lpthread -lm -ldl -o "$CARGO_TARGET_DIR/questions"
must "$CARGO_TARGET_DIR/questions"
need_go
must in_go run ./internal/figures
need_js
need_kit
must node bindings/js/bench/figures.mjs
must node bindings/js/bench/nest.mjs
npm_ci bindings/js/test/deep
must node bindings/js/bench/raftq.mjs
