#!/usr/bin/env bash
# Makes `cargo build --target wasm32-unknown-unknown` work, and prints the settings that it needs:
#   eval "$(tests/install/wasm.sh)"
# A toolchain that has the target is used as it is. Else, on Debian, the compiler of tests/install/msrv.sh
# gets a standard library built from Debian's own source package, in the cache (half a minute, once).
set -euo pipefail
# shellcheck source=tests/install/lib.sh
. "$(dirname "$0")/lib.sh"
target=wasm32-unknown-unknown

has_target() { # rustc
  echo 'pub fn f() -> String { 1.to_string() }' |
    "$1" --edition 2024 --target $target --crate-type cdylib -o "$cache/probe.wasm" - >/dev/null 2>&1
}

build_std() { # directory of Debian's Rust
  local build=$1/build lib=$1/usr/lib/rustlib/$target/lib
  say "building the standard library for $target (once, about half a minute)"
  # rustup's cargo drives it; RUSTC_BOOTSTRAP lets a release compiler build its own standard library.
  (
    cd "$1/library/sysroot"
    export RUSTC_BOOTSTRAP=1
    download cargo fetch --quiet --locked --target $target || exit
    unset RUSTFLAGS CARGO_ENCODED_RUSTFLAGS CARGO_BUILD_TARGET RUSTC_WRAPPER
    RUSTC=$1/bin/rustc CARGO_TARGET_DIR=$build CARGO_INCREMENTAL=0 \
      CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUSTFLAGS=-Zforce-unstable-if-unmarked \
      cargo build --quiet --locked --release --target $target >"$cache/std.log" 2>&1
  ) || die "building the standard library failed: see $cache/std.log"
  mkdir -p "$lib"
  cp "$build/$target/release/deps/"*.rlib "$lib"
  rm -r "$lib"/libsysroot-*.rlib "$build"
}

mkdir -p "$cache"
exec 8>"$cache/wasm.lock" && flock 8
if ! has_target rustc; then
  rustc=$(tests/install/msrv.sh --debian) || die "or run 'rustup target add $target'"
  has_target "$rustc" || build_std "$(dirname "$(dirname "$rustc")")"
  has_target "$rustc" || die "this compiler cannot link for $target; run 'rustup target add $target'"
  printf 'export RUSTC=%q\n' "$rustc"
fi
