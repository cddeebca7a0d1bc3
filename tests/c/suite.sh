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

# Guards are tested on the server of ELECTOR_TEST_POSTGRES, a superuser's URL, or on one of our own, which has
# only a socket in its folder. It runs as nobody if we are root, as whom it would not.
start_postgres() {
  ELECTOR_TEST_POSTGRES_C=${ELECTOR_TEST_POSTGRES:-}
  export ELECTOR_TEST_POSTGRES_C
  [ -z "$ELECTOR_TEST_POSTGRES_C" ] || return 0
  need_postgres
  programs=$(printf '%s\n' /usr/lib/postgresql/*/bin | sort -V | tail -n 1)
  cluster=$(mktemp -d /tmp/elector-c.XXXXXX)
  [ "$(id -u)" != 0 ] || chown nobody "$cluster"
  trap stop_postgres EXIT
  local settings="-c listen_addresses= -c unix_socket_directories=$cluster -c fsync=off"
  { of_postgres initdb -U postgres -A trust -N -E UTF8 --locale=C &&
    of_postgres pg_ctl start -w -l "$cluster/log" -o "$settings"; } >"$work/postgres" 2>&1 ||
    die "PostgreSQL does not start:" "$(cat "$work/postgres" "$cluster/log")"
  ELECTOR_TEST_POSTGRES_C="postgres:///postgres?host=$cluster&user=postgres"
}

of_postgres() { # program options…
  local user=()
  [ "$(id -u)" != 0 ] || user=(setpriv --reuid=nobody "--regid=$(id -g nobody)" --clear-groups)
  (cd / && "${user[@]}" env -i LC_ALL=C TZ=UTC "$programs/$1" "${@:2}" -D "$cluster/data")
}

stop_postgres() {
  of_postgres pg_ctl stop -s -m immediate || true
  rm -rf "$cluster"
}

# Each run has a folder of its own for the stores in files.
suite() { # slowness command…
  local folder
  folder=$(mktemp -d "$work/stores.XXXXXX")
  ELECTOR_TEST_FOLDER=$folder ELECTOR_TEST_SLOW=$1 "${@:2}"
}
