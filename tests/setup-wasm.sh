#!/usr/bin/env bash
# Makes `cargo build --target wasm32-unknown-unknown` work, and prints the settings that it needs:
#   eval "$(tests/setup-wasm.sh)"
# A toolchain that has the target is used as it is. Else, on Debian, the compiler of tests/setup-msrv.sh gets
# a standard library built from Debian's own source package, in the cache (half a minute, once).
# When this crate depends on wasm-bindgen, its command line of just the locked version is put there too.
set -euo pipefail
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/lib.sh"
target=wasm32-unknown-unknown

has_target() { # rustc
  echo 'pub fn f() -> String { 1.to_string() }' |
    "$1" --edition 2024 --target $target --crate-type cdylib -o "$cache/probe.wasm" - >/dev/null 2>&1
}

build_std() { # directory of Debian's Rust
  local build=$1/build lib=$1/usr/lib/rustlib/$target/lib
  say "building the standard library for $target"
  # rustup's cargo drives it; RUSTC_BOOTSTRAP lets a release compiler build its own standard library.
  (
    cd "$1/library/sysroot"
    unset RUSTFLAGS CARGO_ENCODED_RUSTFLAGS CARGO_BUILD_TARGET RUSTC_WRAPPER
    RUSTC_BOOTSTRAP=1 RUSTC=$1/bin/rustc CARGO_TARGET_DIR=$build CARGO_INCREMENTAL=0 \
      CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUSTFLAGS=-Zforce-unstable-if-unmarked \
      cargo build --quiet --locked --release --target $target >"$cache/std.log" 2>&1
  ) || die "building the standard library failed: see $cache/std.log"
  mkdir -p "$lib"
  cp "$build/$target/release/deps/"*.rlib "$lib"
  rm -r "$lib"/libsysroot-*.rlib "$build"
}

wasm_bindgen() {
  local version
  grep -q '^wasm-bindgen = ' Cargo.toml || return 0
  version=$(awk '/^name = "wasm-bindgen"$/ {getline; gsub(/[^0-9.]/, ""); print; exit}' Cargo.lock)
  if [ "$("$cache/bin/wasm-bindgen" --version 2>/dev/null)" != "wasm-bindgen $version" ]; then
    say "building wasm-bindgen $version, which takes minutes"
    # It runs on this machine, so it is built by its own compiler. Its TLS is only for remote browsers. Built
    # for speed it would take minutes more to build, and its work here is a matter of a second.
    (
      cd /
      unset RUSTFLAGS RUSTC CARGO_BUILD_TARGET CARGO_TARGET_DIR
      CARGO_PROFILE_DEV_DEBUG=0 cargo install --quiet --debug --force --root "$cache" \
        wasm-bindgen-cli --version "=$version" --no-default-features >&2
    )
  fi
  printf 'export PATH=%q\n' "$cache/bin:$PATH"
}

mkdir -p "$cache"
exec 8>"$cache/wasm.lock" && flock 8
if ! has_target rustc; then
  rustc=$(tests/setup-msrv.sh --debian) || die "or run 'rustup target add $target'"
  has_target "$rustc" || build_std "$(dirname "$(dirname "$rustc")")"
  has_target "$rustc" || die "this compiler cannot link for $target; run 'rustup target add $target'"
  printf 'export RUSTC=%q\n' "$rustc"
fi
wasm_bindgen
