#!/usr/bin/env bash
# Installs what the tests of the PostgreSQL store start, and prints where it is:
#   eval "$(tests/setup-postgres.sh)"
# From Debian: PostgreSQL and PgBouncer, whose services stay as they are. From npm, into a cache: the newest
# PostgreSQL, and nest-leader-election with what it needs, all as tests/postgres/peer/package-lock.json says.
set -euo pipefail
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/lib.sh"

# The servers run as nobody, who cannot look into root's home.
[ "$(id -u)" != 0 ] || cache=/var/cache/elector
peer=${ELECTOR_TEST_PEER:-$cache/peer}

have_postgres() { compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null; }
have_postgres || debian_install postgresql || true
have_postgres || [ -n "${ELECTOR_TEST_POSTGRES_SYSTEM:-}" ] ||
  die "PostgreSQL is missing: install the package postgresql, or set ELECTOR_TEST_POSTGRES_SYSTEM"
PATH=$PATH:/usr/sbin need pgbouncer pgbouncer "install PgBouncer"
need node nodejs "install Node.js 20 or newer"
need npm npm "install npm"

mkdir -p "$peer"
chmod a+rx "$peer"
exec 9>"$peer.lock" && flock 9
# The sources lie beside their modules, where Node looks for them.
cp tests/postgres/peer/{package.json,package-lock.json,peer.mjs} "$peer"
if ! cmp -s "$peer/package-lock.json" "$peer/node_modules/installed.json"; then
  say "installing the newest PostgreSQL and nest-leader-election into $peer"
  (cd "$peer" && npm ci --omit=optional --no-audit --no-fund --loglevel=error >&2) ||
    die "npm ci failed in $peer"
  chmod -R a+rX "$peer"
  cp "$peer/package-lock.json" "$peer/node_modules/installed.json"
fi
printf 'export ELECTOR_TEST_PEER=%q\n' "$peer"
