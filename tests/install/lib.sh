# shellcheck shell=bash disable=SC2034
# What the scripts of tests/ share: where things are, messages, counted checks, tools and their versions.
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit
CARGO_TARGET_DIR=$(realpath -m "${CARGO_TARGET_DIR:-target}")
export CARGO_TARGET_DIR
# Everything that is fetched or built once and outlives a `cargo clean`.
cache=${XDG_CACHE_HOME:-$HOME/.cache}/elector

say() { printf '%s\n' "$*" >&2; }
die() { say "$@"; exit 1; }

# must COMMAND…: runs it and goes on after a failure, which tests/run.sh counts from the line printed here.
must() {
  "$@" || printf 'failed: %s\n' "$*"
}

# check NAME COMMAND…: runs a command that counts as one test of this name.
check() {
  local name=$1
  shift
  if "$@"; then printf 'check %s: passed\n' "$name"; else printf 'check %s: failed\n' "$name"; fi
}

# once NAME COMMAND…: runs it, unless this run of tests/run.sh has done so already; ends the step if it fails.
once() {
  local mark=$CARGO_TARGET_DIR/once-$1
  [ -z "${ELECTOR_RUN:-}" ] || [ "$ELECTOR_RUN" != "$(cat "$mark" 2>/dev/null)" ] || return 0
  "${@:2}" || die "failed: ${*:2}"
  mkdir -p "$CARGO_TARGET_DIR" && printf '%s\n' "${ELECTOR_RUN:-}" >"$mark"
}

# readme_program LANGUAGE: the one code block of the README in this language.
readme_program() { awk -v first='```'"$1" '/^```$/ { here = 0 } here; $0 == first { here = 1 }' README.md; }

# download COMMAND…: runs what fetches packages. tests/run.sh prints the time it took apart from the rest.
download() {
  local from status=0
  from=$(date +%s%3N)
  "$@" || status=$?
  [ -z "${ELECTOR_DOWNLOADS:-}" ] || printf '%s\n' "$(($(date +%s%3N) - from))" >>"$ELECTOR_DOWNLOADS"
  return $status
}

# need TOOL PACKAGE HINT: installs a missing tool where that is possible, and ends the step where it is not.
need() {
  command -v "$1" >/dev/null && return
  [ "$2" = - ] || debian_install "$2" || true
  command -v "$1" >/dev/null || die "$1 is missing: $3"
}

# need_version NAME TOOL LEAST FOUND HINT: ends the step where a tool that is there is too old.
need_version() {
  local oldest
  oldest=$(printf '%s\n' "$3" "$4" | sort -V | head -n 1)
  [ "$oldest" = "$3" ] || die "$1 $3 or newer is needed, but $(command -v "$2") is version '$4': $5"
}

# Installs Debian packages, if this is Debian and we are root.
debian_install() {
  [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || return 1
  say "installing $* with apt-get"
  DEBIAN_FRONTEND=noninteractive download apt-get -qq install -y "$@" >/dev/null 2>&1 && return
  download apt-get -qq update &&
    DEBIAN_FRONTEND=noninteractive download apt-get -qq install -y "$@" >/dev/null
}

# The oldest Rust that Cargo.toml promises.
msrv() { sed -n 's/^rust-version = "\(.*\)"$/\1/p' Cargo.toml; }

# The oldest Rust that compiles the tools of the tests; it is newer than the crate's own.
tests_rust() { sed -n 's/^rust-version = "\(.*\)"$/\1/p' bindings/js/scripts/bindgen/Cargo.toml; }

# need_rust: Rust, a C compiler, and all crates that Cargo.lock names.
need_rust() {
  local hint="run 'rustup update', or install it with rustup (https://rustup.rs)"
  need cargo - "$hint"
  need rustc - "$hint"
  need_version Rust rustc "$(tests_rust)" "$(rustc -V | awk '{print $2}')" "$hint"
  need rustfmt - "run 'rustup component add rustfmt'"
  need cargo-clippy - "run 'rustup component add clippy'"
  need cc gcc "install a C compiler; SQLite is built from source"
  once crates fetch_crates
}

fetch_crates() {
  local host
  host=$(rustc -vV | sed -n 's/^host: //p')
  download cargo fetch -q --locked --target "$host" || die "cargo cannot fetch the crates of Cargo.lock"
}

# need_postgres: the system's PostgreSQL; ELECTOR_TEST_POSTGRES_SYSTEM names the folder of another's programs.
need_postgres() {
  have_postgres || debian_install postgresql || true
  have_postgres || [ -n "${ELECTOR_TEST_POSTGRES_SYSTEM:-}" ] ||
    die "PostgreSQL is missing: install Debian's postgresql, or set ELECTOR_TEST_POSTGRES_SYSTEM"
}

have_postgres() { compgen -G '/usr/lib/postgresql/*/bin/postgres' >/dev/null; }

# need_kit: PostgreSQL, and the program elector-kit, which starts servers for tests in other languages.
need_kit() {
  need_rust
  need_postgres
  # As part of the workspace it is built from the crates that the Rust tests are built from.
  once kit cargo build -q --workspace --all-features --bin elector-kit
  export ELECTOR_TEST_KIT=$CARGO_TARGET_DIR/${CARGO_BUILD_TARGET:+$CARGO_BUILD_TARGET/}debug/elector-kit
}

# need_go [MAKE-ARGUMENTS]: Go, and the library that the package in bindings/go links.
need_go() {
  local least hint="install it from https://go.dev/dl"
  least=$(sed -n 's/^go \([0-9]*\.[0-9]*\).*/\1/p' bindings/go/go.mod)
  need_rust
  need go - "$hint"
  need_version Go go "$least" "$(GOTOOLCHAIN=local go env GOVERSION | sed 's/^go//')" "$hint"
  need make make "install make"
  once go-modules download in_go mod download
  make -C bindings/c go "$@"
  # Go looks neither at what it links nor at a header in another folder; this tells it of every change.
  local sum
  sum=$(cat "$(go_library)" bindings/go/include/elector.h | sha256sum | cut -c 1-16)
  export CGO_CFLAGS="-O2 -g -DELECTOR_BUILD=$sum"
}

# The static libraries that `make -C bindings/c` builds: C's, and the one that the Go package links.
c_library() {
  printf 'bindings/c/build/%s/libelector.a\n' "${CARGO_BUILD_TARGET:-$(rustc -vV | sed -n 's/^host: //p')}"
}
go_library() { printf 'bindings/go/lib/libelector_%s_%s.a\n' "$(go env GOOS)" "$(go env GOARCH)"; }

# in_go ARGUMENTS…: the go command in the package's folder.
in_go() { go -C bindings/go "$@"; }

need_node() {
  local least hint="install it from https://nodejs.org"
  least=$(sed -n 's/^ *"node": ">=\(.*\)"$/\1/p' bindings/js/package.json)
  need node nodejs "$hint"
  need npm npm "$hint"
  need_version Node.js node "$least" "$(node -v | sed 's/^v//')" "$hint"
}

# npm_ci FOLDER: installs what the folder's lock file says, unless that is there.
npm_ci() {
  ! cmp -s "$1/package-lock.json" "$1/node_modules/installed.json" || return 0
  say "npm ci in $1"
  download npm --prefix "$1" ci --no-audit --no-fund --loglevel=error &&
    cp "$1/package-lock.json" "$1/node_modules/installed.json"
}

# need_js: Node, what the npm package is built and tested with, and the package built.
need_js() {
  need_rust
  need_node
  npm_ci bindings/js
  once js-built npm --prefix bindings/js run build
}
