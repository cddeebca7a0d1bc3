#!/usr/bin/env bash
# Finds a compiler of exactly the Rust version that Cargo.toml promises, and prints the path of its rustc:
# rustup's if it is there, else Debian's package, unpacked into the cache and never installed.
set -euo pipefail
# shellcheck source=tests/install/lib.sh
. "$(dirname "$0")/lib.sh"
want=$(msrv)
dir=$cache/rust-$want

found() { # rustc: is it the promised version?
  case $("$1" -V 2>/dev/null) in "rustc $want."*) printf '%s\n' "$1"; exit ;; esac
}

# Debian 12 carries this version as `rustc-web`, next to whatever its security updates bring.
unpack_debian() {
  local version package host
  command -v apt-get >/dev/null || return 1
  version=$(apt-cache madison rustc-web 2>/dev/null | awk -v v="$want." 'index($3, v) == 1 {print $3; exit}')
  if [ -z "$version" ] && [ "$(id -u)" = 0 ]; then
    download apt-get -qq update
    version=$(apt-cache madison rustc-web | awk -v v="$want." 'index($3, v) == 1 {print $3; exit}')
  fi
  [ -n "$version" ] || return 1
  say "unpacking Debian's Rust $version into $dir"
  rm -rf "$dir.new" && mkdir -p "$dir.new/debs" "$dir.new/bin"
  (
    cd "$dir.new/debs"
    download apt-get -qq -o APT::Sandbox::User=root download \
      "rustc-web=$version" "libstd-rust-web-dev=$version" \
      "libstd-rust-web-$want=$version" "rust-web-src=$version" libllvm19 lld-19
    dpkg-deb --fsys-tarfile rust-web-src_*.deb |
      tar -x -C .. --strip-components=4 "./usr/src/rustc-${version%%+*}/library"
    rm rust-web-src_*.deb
    for package in *.deb; do dpkg -x "$package" ..; done
  )
  # Where cargo looks for it when a program wants a standard library of its own.
  mkdir -p "$dir.new/usr/lib/rustlib/src/rust"
  ln -s ../../../../../library "$dir.new/usr/lib/rustlib/src/rust/library"
  rm -r "$dir.new/debs"
  for package in rustc rustdoc; do wrap "usr/bin/$package" "bin/$package"; done
  # For wasm, rustc looks for LLVM's linker under this name in its own directories.
  host=$("$dir.new/bin/rustc" -vV | sed -n 's/^host: //p')
  wrap usr/lib/llvm-19/bin/lld "usr/lib/rustlib/$host/bin/rust-lld"
  rm -rf "$dir" && mv "$dir.new" "$dir"
}

# A program of a private prefix must be told where its libraries are.
wrap() {
  mkdir -p "$dir.new/$(dirname "$2")"
  cat >"$dir.new/$2" <<WRAPPER
#!/bin/sh
prefix=\$(dirname "\$(realpath "\$0")")$(dirname "/$2" | sed 's|/[^/]*|/..|g')
LD_LIBRARY_PATH=\$(echo "\$prefix"/usr/lib/*-linux-gnu) exec "\$prefix/$1" "\$@"
WRAPPER
  chmod +x "$dir.new/$2"
}

[ "${1:-}" = --debian ] || {
  found "$(command -v rustc)"
  found "$(rustup which --toolchain "$want" rustc 2>/dev/null)"
}
mkdir -p "$cache"
exec 9>"$cache/rust.lock" && flock 9
found "$dir/bin/rustc"
unpack_debian || die "Rust $want is missing: run 'rustup toolchain install $want'"
found "$dir/bin/rustc"
# The compiler loads a few libraries that a bare machine lacks.
debian_install libedit2 libxml2 libz3-4 || true
found "$dir/bin/rustc"
die "Debian's Rust $want does not start: $("$dir/bin/rustc" -V 2>&1)"
