#!/usr/bin/env bash
# Installs all that the tests of the PostgreSQL store start, and prints where it is:
#   eval "$(tests/install/postgres.sh)"
# From Debian: PostgreSQL and PgBouncer, whose services stay as they are. From npm, into a cache: the newest
# PostgreSQL, and nest-leader-election with what it needs, as tests/postgres/peer/package-lock.json says. The
# quick level of tests/run.sh needs only what is Debian's: `tests/install/postgres.sh --system` installs that.
set -euo pipefail
# shellcheck source=tests/install/lib.sh
. "$(dirname "$0")/lib.sh"

need_postgres
PATH=$PATH:/usr/sbin need pgbouncer pgbouncer "install PgBouncer"
[ "${1:-}" != --system ] || exit 0

# The servers run as the user nobody, who cannot read root's home.
[ "$(id -u)" != 0 ] || cache=/var/cache/elector
peer=${ELECTOR_TEST_PEER:-$cache/peer}
need_node
mkdir -p "$peer"
chmod a+rx "$peer"
exec 9>"$peer.lock" && flock 9
# The sources lie beside their modules, where Node looks for them.
cp tests/postgres/peer/{package.json,package-lock.json,peer.mjs} "$peer"
if ! cmp -s "$peer/package-lock.json" "$peer/node_modules/installed.json"; then
  say "installing the newest PostgreSQL and nest-leader-election into $peer"
  (cd "$peer" && download npm ci --omit=optional --no-audit --no-fund --loglevel=error >&2) ||
    die "npm ci failed in $peer"
  chmod -R a+rX "$peer"
  cp "$peer/package-lock.json" "$peer/node_modules/installed.json"
fi
printf 'export ELECTOR_TEST_PEER=%q\n' "$peer"
