# shellcheck shell=bash
# What runs the tests of the C library: how they are built, and the PostgreSQL on which guards are tested.
need make make "install make"
need psql postgresql-client "install the clients of PostgreSQL"
work=$CARGO_TARGET_DIR/c
rm -rf "$work" && mkdir -p "$work"
strict=(-Wall -Wextra -Wpedantic -Werror -Iinclude)
needs=(-lpthread -lm -ldl)

# Builds the tests with a library: the options go to the compiler.
build_suite() { # program library options…
  gcc -g -std=c11 "${strict[@]}" "${@:3}" tests/c/*.c "$2" "${needs[@]}" -o "$1"
}

# Guards are tested on the server of ELECTOR_TEST_POSTGRES, a superuser's URL, or on one that ends with this
# shell.
start_postgres() {
  need_kit
  coproc kit { exec "$ELECTOR_TEST_KIT" postgres 2>"$work/postgres"; }
  read -r ELECTOR_TEST_POSTGRES_C <&"${kit[0]:-0}" ||
    die "PostgreSQL does not start:" "$(cat "$work/postgres")"
  export ELECTOR_TEST_POSTGRES_C
}

# Each run has a folder of its own for the stores in files.
suite() { # slowness command…
  local folder
  folder=$(mktemp -d "$work/stores.XXXXXX")
  ELECTOR_TEST_FOLDER=$folder ELECTOR_TEST_SLOW=$1 "${@:2}"
}
