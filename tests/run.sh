#!/usr/bin/env bash
# The whole check.
#   tests/run.sh           every part
#   tests/run.sh PART…     some
#   tests/run.sh --list    their names
# A part is a file of tests/parts; adding one means naming it here. Whatever a part misses it installs, or it
# fails and says how to install it: nothing is left out silently. The last line sums up all tests that ran.
set -euo pipefail
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/lib.sh"
parts=(rust pure msrv sim faults postgres c go js nest edge languages mutants bench)

list() {
  local part
  for part in "${parts[@]}"; do
    printf '%-9s%s\n' "$part" "$(sed -n '2s/^# //p' "tests/parts/$part.sh")"
  done
}

# Adds up what a part printed: the closing lines of test runners, and of `check` and `must`.
count() { # status log
  awk -v status="$1" '
    /^test result: / { passed += $4; failed += $6; ignored += $8 }
    /^[0-9]+ passed, [0-9]+ failed$/ { passed += $1; failed += $3 }
    /^check .*: passed$/ { passed++ }
    /^check .*: failed$/ { failed++ }
    /^failed: / { commands++ }
    END {
      if (failed < commands) failed = commands
      if (failed == 0 && (status != 0 || passed == 0)) failed = 1
      print passed + 0, failed + 0, ignored + 0
    }' "$2"
}

# What a part printed about its failures, for the end of a log that is long.
again() { # part log
  local marks='^ *✖|^not ok|^ *--- FAIL|FAILED|panicked at|: failed$|^failed: |^SURVIVED|^error|TOO MUCH'
  printf '\n== %s, what failed, once more\n' "$1"
  if grep -qE "$marks" "$2"; then grep -E -A 20 "$marks" "$2" | tail -n 100; else tail -n 40 "$2"; fi |
    sed 's/^/  | /'
}

run() { # part
  local from=$SECONDS status=0 log passed failed ignored note=''
  log=$(mktemp)
  printf '\n== %s\n' "$1"
  bash -euo pipefail -c '. tests/lib.sh; . "tests/parts/$1.sh"' part "$1" 2>&1 | tee "$log" || status=$?
  read -r passed failed ignored < <(count "$status" "$log")
  [ "$failed" = 0 ] || failures+=$(again "$1" "$log")$'\n'
  rm "$log"
  [ "$ignored" = 0 ] || note=", $ignored ignored"
  closing+=("$1: $passed passed, $failed failed$note ($((SECONDS - from)) s)")
  printf '%s\n' "${closing[-1]}"
  all_passed=$((all_passed + passed)) all_failed=$((all_failed + failed))
}

if [ "${1:-}" = --list ]; then
  list
  exit
fi
for part; do
  [ -f "tests/parts/$part.sh" ] || die "there is no part '$part'; the parts are: ${parts[*]}"
done
[ $# -gt 0 ] || set -- "${parts[@]}"
all_passed=0 all_failed=0 closing=() failures=''
# What is built once for all parts of a run knows it by this.
ELECTOR_RUN=$$-$(date +%s)
export ELECTOR_RUN
for part; do run "$part"; done
printf '%s\n' "$failures"
printf '%s\n' "${closing[@]}"
printf '%s passed, %s failed\n' "$all_passed" "$all_failed"
[ "$all_failed" = 0 ]
