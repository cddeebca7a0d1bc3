#!/bin/sh
# sizes.sh BUILD: how large the stripped shared libraries are, each beside its limit. Fails above one.
set -eu
failed=0
size() { # what file limit-in-KiB
  bytes=$(wc -c <"$2")
  kib=$(((bytes + 1023) / 1024))
  verdict=ok
  [ "$kib" -le "$3" ] || { verdict='TOO MUCH'; failed=1; }
  printf '%-42s %6d KiB  limit %6d KiB  %s\n' "$1" "$kib" "$3" "$verdict"
}
suffix=so
[ -f "$1/libelector.so" ] || suffix=dylib
size 'PostgreSQL, TLS and SQLite' "$1/libelector.$suffix" 6144
size 'the pure machine alone' "$1/pure/libelector.$suffix" 300
exit $failed
