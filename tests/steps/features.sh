# shellcheck shell=bash
# each layer compiles without those above it, and the documentation has no dead links
need_rust
for features in "" testing driver testing,driver sqlite postgres capi driver,capi wasm wasm-raft; do
  check "clippy with the features '$features'" \
    cargo clippy -q --no-default-features --features "$features" --lib -- -D warnings
done
check "rustdoc" env RUSTDOCFLAGS=-Dwarnings cargo doc -q --no-deps --all-features
