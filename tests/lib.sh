# shellcheck shell=bash disable=SC2034
# What the scripts of tests/ share: where things are, saying, counting, finding tools.
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit
CARGO_TARGET_DIR=$(realpath -m "${CARGO_TARGET_DIR:-target}")
export CARGO_TARGET_DIR
# Everything that is fetched or built once and outlives a `cargo clean`.
cache=${XDG_CACHE_HOME:-$HOME/.cache}/elector
# Test targets that a part of their own runs, alone on the machine, since they measure time.
alone=(guardian kills sqlite_faults conformance_postgres postgres languages)

say() { printf '%s\n' "$*" >&2; }
die() { say "$@"; exit 1; }

# The oldest Rust that Cargo.toml promises.
msrv() { sed -n 's/^rust-version = "\(.*\)"$/\1/p' Cargo.toml; }

# must COMMAND…: goes on after a failure, which tests/run.sh counts from the line printed here.
must() {
  "$@" || printf 'failed: %s\n' "$*"
}

# check NAME COMMAND…: the same, and a success counts as one passed test.
check() {
  local name=$1
  shift
  if "$@"; then printf 'check %s: passed\n' "$name"; else printf 'check %s: failed\n' "$name"; fi
}

# need TOOL PACKAGE HINT: installs a missing tool where that is possible, and ends the part where it is not.
need() {
  command -v "$1" >/dev/null && return
  [ "$2" = - ] || debian_install "$2" || true
  command -v "$1" >/dev/null || die "$1 is missing: $3"
}

# Installs Debian packages, if this is Debian and we are root.
debian_install() {
  [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || return 1
  say "installing $*"
  DEBIAN_FRONTEND=noninteractive apt-get -qq install -y "$@" >/dev/null 2>&1 && return
  apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install -y "$@" >/dev/null
}

need_rust() {
  need cargo - "install Rust $(msrv) or newer with rustup (https://rustup.rs)"
  need rustfmt - "run: rustup component add rustfmt"
  need cargo-clippy - "run: rustup component add clippy"
  need cc gcc "install a C compiler; SQLite is built from source"
}

# need_go: Go, and the library that the package in bindings/go links.
need_go() {
  need_rust
  need go - "install Go 1.24 or newer (https://go.dev/dl)"
  need make make "install make"
  make -C bindings/c go
  # Go looks neither at what it links nor at a header in another folder; this tells it of every change.
  local sum
  sum=$(cat bindings/go/lib/libelector.a bindings/go/include/elector.h | sha256sum | cut -c 1-16)
  export CGO_CFLAGS="-O2 -g -DELECTOR_BUILD=$sum"
}

# in_go ARGUMENTS…: the go command in the package's folder.
in_go() { go -C bindings/go "$@"; }

# need_js: Node, what the npm package is built and tested with, and the package built.
need_js() {
  need_rust
  need node nodejs "install Node.js 20 or newer"
  need npm npm "install npm"
  if ! cmp -s bindings/js/package-lock.json bindings/js/node_modules/installed.json; then
    npm --prefix bindings/js ci --no-audit --no-fund --loglevel=error
    cp bindings/js/package-lock.json bindings/js/node_modules/installed.json
  fi
  # Once a run: its parts change nothing that it is built from.
  local built=$CARGO_TARGET_DIR/js-built
  if [ -z "${ELECTOR_RUN:-}" ] || [ "$ELECTOR_RUN" != "$(cat "$built" 2>/dev/null)" ]; then
    npm --prefix bindings/js run build
    printf '%s\n' "${ELECTOR_RUN:-}" >"$built"
  fi
}
