# shellcheck shell=bash
# every Rust test and the quick C library, of one graph of crates
need_rust
need make make "install make"
check "every test builds" cargo test -q --all-features --no-run
check "the C library builds" make -s -C bindings/c go PROFILE=dev
