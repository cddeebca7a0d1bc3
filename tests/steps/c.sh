# shellcheck shell=bash
# the C library as released: its header in four languages, its tests under valgrind and sanitizers, its sizes
# limit: 2400
need_rust
. tests/c/suite.sh
need g++ g++ "install a C++ compiler"
need valgrind valgrind "install valgrind"
need pkg-config pkg-config "install pkg-config"
need aarch64-linux-gnu-gcc gcc-aarch64-linux-gnu "install a C compiler for 64-bit ARM"
need cmake cmake "install CMake"
archive=$(c_library)

# Every standard, with and without the declarations that let the inline question read the clock itself. A
# second include changes nothing.
compiles() { # compiler standard language
  local more
  for more in -UNOTHING -D_GNU_SOURCE; do
    printf '#include <elector.h>\n#include <elector.h>\nstruct elector_error error;\nelector_view *view;\n' |
      "$1" "-std=$2" "$more" "${strict[@]}" -x "$3" -fsyntax-only - || return
  done
}

# Its own scheduler may let threads that are never idle starve the others, so it is asked to be fair.
# A forked child abandons what its parent kept, by design, so only the first process is asked for leaks;
# errors count wherever they are.
under_valgrind() {
  local log=$work/valgrind
  # shellcheck disable=SC2016
  suite 10 sh -c 'echo $$ >"$0.pid"
    exec valgrind -q --fair-sched=yes --error-exitcode=9 \
    --leak-check=full --show-leak-kinds=definite,indirect --errors-for-leak-kinds=none \
    --log-file="$0.%p" "$1" ordinary' "$log" "$work/tests" || { cat "$log".[0-9]*; return 1; }
  if grep -E 'are (definitely|indirectly) lost' "$log.$(cat "$log.pid")"; then
    cat "$log.$(cat "$log.pid")"
    return 1
  fi
}

# A planted fault must be found, or what looks for it is not there.
finds() { # text code options…
  printf '%s\n' "$2" | gcc -g -x c "${@:3}" - -o "$work/planted"
  if "$work/planted" >"$work/planted.log" 2>&1 || ! grep -q "$1" "$work/planted.log"; then
    say "the sanitizer does not find: $2"
    return 1
  fi
}
memory='#include <stdlib.h>
int main(int count, char **names) { char *a = malloc(1); (void)names; a[count] = 1; return a[count]; }'
overflow='int main(int count, char **names) { volatile int a = 2147483647; (void)names; return a + count; }'
sanitize=('-fsanitize=address,undefined' -fno-sanitize-recover=all)

installed=$work/installed
install_library() { make -s -C bindings/c install PREFIX="$installed" >/dev/null; }

is_for() { # machine file…
  local file
  for file in "${@:2}"; do
    readelf -h "$file" | grep -q "Machine:.*$1" || { say "$file is not for $1"; return 1; }
  done
}

# What was built for one machine is never installed or linked for another: first a foreign one, then our own.
# How fast the foreign library is does not matter.
targets_are_apart() {
  local triple=aarch64-unknown-linux-gnu tool=aarch64-linux-gnu-
  local cross=("CARGO_BUILD_TARGET=$triple" "CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=${tool}gcc"
    "LD=${tool}ld" "AR=${tool}ar" "NM=${tool}nm" "OBJCOPY=${tool}objcopy")
  rustup target add "$triple" 2>/dev/null ||
    { say "Rust's library for $triple is missing: install Rust with rustup (https://rustup.rs)"; return 1; }
  export CARGO_PROFILE_RELEASE_OPT_LEVEL=0 CARGO_PROFILE_RELEASE_LTO=off
  make -s -C bindings/c install go PREFIX="$work/foreign" "${cross[@]}" >/dev/null || return
  # Where only cargo's own settings name the target, what lies there is of an earlier build.
  if make -s -C bindings/c install PREFIX="$work/unnamed" "${cross[@]:1}" \
    CARGO="cargo --config build.target='\"$triple\"'" >"$work/unnamed.log" 2>&1 ||
    ! grep -q 'set CARGO_BUILD_TARGET' "$work/unnamed.log"; then
    say "a target that cargo's settings name is not refused"
    cat "$work/unnamed.log"
    return 1
  fi
  unset CARGO_PROFILE_RELEASE_OPT_LEVEL CARGO_PROFILE_RELEASE_LTO
  is_for AArch64 "$work/foreign/lib/"libelector.{so,a} bindings/go/lib/libelector_linux_arm64.a || return
  make -s -C bindings/c install go PREFIX="$work/foreign" >/dev/null || return
  is_for X86-64 "$work/foreign/lib/"libelector.{so,a} "$(go_library)" || return
  GOARCH=arm64 CGO_ENABLED=1 CC=${tool}gcc in_go build -o "$work/foreign/driver" ./cmd/driver &&
    is_for AArch64 "$work/foreign/driver"
}

only_ours() { # library
  local others
  others=$(nm -D --defined-only "$1" | awk '$3 !~ /^elector_/ {print $3}') || return
  [ -z "$others" ] || { say "it also exports: $others"; return 1; }
}

runs_example() { # options…
  local said
  gcc -std=c11 bindings/c/example.c "$@" -o "$work/example" &&
    said=$(LD_LIBRARY_PATH=$installed/lib "$work/example") &&
    grep -q 'only one process prints this' <<<"$said"
}

with_pkg_config() {
  local flags
  read -ra flags < <(PKG_CONFIG_PATH=$installed/lib/pkgconfig pkg-config --cflags --libs elector)
  runs_example "${flags[@]}"
}

with_cmake() {
  mkdir -p "$work/cmake" && cp bindings/c/example.c "$work/cmake"
  cat >"$work/cmake/CMakeLists.txt" <<'CMAKE'
cmake_minimum_required(VERSION 3.16)
project(example C)
find_package(Elector REQUIRED)
foreach(kind elector elector_static)
  add_executable(with_${kind} example.c)
  target_link_libraries(with_${kind} Elector::${kind})
endforeach()
CMAKE
  cmake -S "$work/cmake" -B "$work/cmake/build" -DCMAKE_PREFIX_PATH="$installed" >/dev/null &&
    cmake --build "$work/cmake/build" >/dev/null &&
    "$work/cmake/build/with_elector" >/dev/null && "$work/cmake/build/with_elector_static" >/dev/null
}

# A host that has an SQLite of its own is not disturbed by ours.
beside_another_sqlite() {
  printf '%s\n' 'const char *sqlite3_libversion(void) { return "mine"; }' >"$work/sqlite.c"
  runs_example "$work/sqlite.c" -Iinclude "$archive" "${needs[@]}"
}

# Prints a compiler that has the source of its standard library, which can then be built to our needs.
with_std_source() {
  local rustc
  rustc=$(command -v "${RUSTC:-rustc}")
  if [ -d "$("$rustc" --print sysroot)/lib/rustlib/src/rust/library" ]; then
    printf '%s\n' "$rustc"
  else
    tests/install/msrv.sh --debian || die "or run: rustup component add rust-src"
  fi
}

# The pure machine is small only with a standard library of its own.
sizes() {
  local rustc
  rustc=$(with_std_source) &&
    RUSTC=$rustc make -s -C bindings/c pure && make -s -C bindings/c all &&
    bindings/c/sizes.sh "$(dirname "$archive")"
}

# Races are found in Rust and C alike if both are compiled to be watched, the standard library included. What
# watches comes with rustup's compilers.
watched_build() { # program
  local rustc host runtime
  host=$(rustc -vV | sed -n 's/^host: //p')
  runtime=$(compgen -G "$(rustc --print sysroot)/lib/rustlib/$host/lib/librustc-*_rt.tsan.a") ||
    { say "the thread sanitizer is missing: install Rust with rustup (https://rustup.rs)"; return 1; }
  rustc=$(with_std_source) &&
    RUSTC=$rustc RUSTC_BOOTSTRAP=1 CARGO_TARGET_DIR=$CARGO_TARGET_DIR/tsan CARGO_PROFILE_DEV_DEBUG=0 \
      CFLAGS=-fsanitize=thread RUSTFLAGS='-Zsanitizer=thread -Zexternal-clangrt' \
      cargo rustc -q --lib --no-default-features --features capi,sqlite,postgres --crate-type staticlib \
      -Z build-std=std,panic_unwind --target "$host" || return
  watch_race=(-fsanitize=thread -c -g -Iinclude)
  watch_link=('-Wl,--whole-archive' "$runtime" '-Wl,--no-whole-archive' "${needs[@]}" -lrt -lresolv -rdynamic)
  local file
  for file in tests/c/*.c; do
    gcc -std=c11 "${watch_race[@]}" "$file" -o "$work/$(basename "$file").o" || return
  done
  gcc "$work"/*.c.o "$CARGO_TARGET_DIR/tsan/$host/debug/libelector.a" "${watch_link[@]}" -o "$1"
  printf '%s\n' "$race" >"$work/race.c"
  gcc "${watch_race[@]}" "$work/race.c" -o "$work/race.o" &&
    gcc "$work/race.o" "${watch_link[@]}" -o "$1.race"
}

finds_the_race() { ! "$work/watched.race" >"$work/race.log" 2>&1 && grep -q 'data race' "$work/race.log"; }

# tokio registers a socket by a duplicate of the descriptor that it polls, so the sanitizer does not see what
# orders the two.
without_races() {
  local options="die_after_fork=0 suppressions=$work/suppressions log_path=$work/races"
  printf 'race:tokio::runtime::io::driver\n' >"$work/suppressions"
  suite 10 env TSAN_OPTIONS="$options" "$work/watched" ordinary || { cat "$work"/races.*; return 1; }
}
race='#include <pthread.h>
int count; void *add(void *data) { count++; return data; }
int main(void) { pthread_t t; pthread_create(&t, 0, add, 0); count++; return pthread_join(t, 0); }'

start_postgres
must make -s -C bindings/c all
for standard in c99 c11 c17; do
  check "the header is $standard" compiles gcc $standard c
done
check "the header is c++17" compiles g++ c++17 c++
must build_suite "$work/tests" "$archive"
must suite 1 "$work/tests" ordinary limits timed
check "valgrind finds no error and no leak" under_valgrind
check "the address sanitizer is there" finds AddressSanitizer "$memory" "${sanitize[@]}"
check "the sanitizer of undefined behaviour is there" \
  finds 'signed integer overflow' "$overflow" "${sanitize[@]}"
must build_suite "$work/sanitized" "$archive" "${sanitize[@]}"
must suite 3 "$work/sanitized" ordinary
must watched_build "$work/watched"
check "the thread sanitizer is there" finds_the_race
must without_races
check "it installs" install_library
check "what is built for another machine is not installed for this one" targets_are_apart
check "the shared library exports elector_… only" only_ours "$installed/lib/libelector.so"
check "the example runs with pkg-config" with_pkg_config
check "the example runs with CMake, shared and static" with_cmake
check "the static library leaves a host its own SQLite" beside_another_sqlite
check "the libraries are as small as they should be" sizes
