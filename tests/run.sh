#!/usr/bin/env bash
# The check.
#   tests/run.sh           the quick level: all tests that a busy machine cannot fail
#   tests/run.sh all       both levels: also what measures time, sanitizers, mutants, benches
#   tests/run.sh STEP…     some steps of either level
#   tests/run.sh --list    their names
# A step is a file of tests/steps; adding one means naming it here. Its second line says what it checks. It
# installs the tools that it lacks, or fails and says how to install them: nothing is skipped silently. A step
# that does not end within its limit fails: `# limit: SECONDS` in its file, else 1200.
# The last lines name what failed and count the tests that ran.
set -euo pipefail
# shellcheck source=tests/install/lib.sh
. "$(dirname "$0")/install/lib.sh"
quick=(check build pure rust stores guardian native wasm js nest)
deep=(features package msrv sim replay fuzz coverage times postgres c go js-deep nest-deep edge languages
  bench mutants)

list() {
  local level step
  for level in quick deep; do
    printf '%s\n' "$level:"
    local -n steps=$level
    for step in "${steps[@]}"; do
      printf '  %-10s%s\n' "$step" "$(sed -n '2s/^# //p' "tests/steps/$step.sh")"
    done
  done
}

# Adds up what a step printed: the closing lines of test runners, and of `check` and `must`.
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

# The names of what failed in a step's log, one a line, as each runner writes them; else its last line.
names() { # step log
  local found
  found=$(awk -v step="$1" '
    /^failures:$/ { listed = ""; next }
    /^    [^ ]+$/ { listed = listed step ": " $1 "\n"; next }
    /^test result: FAILED/ { printf "%s", listed; listed = ""; next }
    /^ *--- FAIL: / { print step ": " $3; next }
    /^ *✖ failing tests:$/ { next }
    /^ *✖ / { sub(/^ *✖ /, ""); sub(/ \([0-9.]+ms\)$/, ""); print step ": " $0; next }
    /^not ok / { sub(/^not ok [0-9]* ?-? ?/, ""); print step ": " $0; next }
    /^FAILED / { sub(/^FAILED /, ""); print step ": " $0; next }
    / TOO MUCH$/ { print step ": " $0; next }
    /^check .*: failed$/ { sub(/^check /, ""); sub(/: failed$/, ""); print step ": " $0; next }
    /^failed: / { sub(/^failed: /, ""); print step ": " $0; next }' "$2" | awk '!seen[$0]++')
  [ -n "$found" ] || found="$1: $(grep -v '^ *$' "$2" | tail -n 1)"
  printf '%s\n' "$found"
}

# What a step printed about its failures, for the end of a log that is long.
again() { # step log
  local marks='^ *✖|^not ok|^ *--- FAIL|FAILED|panicked at|: failed$|^failed: |^SURVIVED|^error|TOO MUCH'
  printf '\n== %s, what failed, once more\n' "$1"
  if grep -qE "$marks" "$2"; then grep -E -A 20 "$marks" "$2" | tail -n 100; else tail -n 40 "$2"; fi |
    sed 's/^/  | /'
}

run() { # step
  local from=$SECONDS status=0 log passed failed ignored note='' limit
  log=$work/$1
  limit=$(sed -n 's/^# limit: //p' "tests/steps/$1.sh")
  limit=${limit:-1200}
  printf '\n== %s\n' "$1"
  : >"$log"
  # Its output goes to a file, which is shown meanwhile: a process that a step left behind holds up nothing.
  # shellcheck disable=SC2016
  timeout --kill-after=30 "$limit" \
    bash -euo pipefail -c '. tests/install/lib.sh; . "tests/steps/$1.sh"' step "$1" >"$log" 2>&1 &
  running=$!
  tail -n +1 -s 0.2 --pid=$running -f "$log" &
  wait $running || status=$?
  wait $! || true
  running=''
  if [ $status = 124 ] || [ $status = 137 ]; then
    printf 'failed: the step %s did not end within its limit of %s s\n' "$1" "$limit" | tee -a "$log"
  fi
  read -r passed failed ignored < <(count "$status" "$log")
  if [ "$failed" != 0 ]; then
    failures+=$(again "$1" "$log")$'\n'
    failed_names+=$(names "$1" "$log")$'\n'
  fi
  advice+=$(sed -n 's/^warning: \(.*:[0-9]*: .*\)/\1/p' "$log")
  [ "$ignored" = 0 ] || note=", $ignored ignored"
  closing+=("$1: $passed passed, $failed failed$note ($((SECONDS - from)) s)")
  printf '%s\n' "${closing[-1]}"
  all_passed=$((all_passed + passed)) all_failed=$((all_failed + failed))
}

# Printed in any case, also when the run is interrupted; then what has not run counts as failed.
summary() {
  local status=$?
  [ -z "$running" ] || kill "$running" 2>/dev/null || true
  [ $status = 0 ] || [ $all_failed != 0 ] || all_failed=1
  printf '%s\n' "$failures"
  [ -z "$advice" ] || printf 'style, to be mended:\n%s\n\n' "$advice"
  [ ${#closing[@]} = 0 ] || printf '%s\n' "${closing[@]}"
  printf '%s s, of which downloads took %s s\n' $SECONDS \
    "$(awk '{ ms += $1 } END { printf "%.0f", ms / 1000 }' "$ELECTOR_DOWNLOADS")"
  [ ${#left[@]} = 0 ] || printf 'not run: %s\n' "${left[*]}"
  [ -z "$failed_names" ] || printf 'failed:\n%s' "$failed_names" | sed '2,$s/^/  /'
  printf '%s passed, %s failed\n' "$all_passed" "$all_failed"
  rm -rf "$work"
  [ "$all_failed" = 0 ] || exit 1
}

if [ "${1:-}" = --list ]; then
  list
  exit
fi
case "$*" in
  '') set -- "${quick[@]}" ;;
  all) set -- "${quick[@]}" "${deep[@]}" ;;
esac
for step; do
  [ -f "tests/steps/$step.sh" ] || die "there is no step '$step'; the steps are: ${quick[*]} ${deep[*]}"
done
all_passed=0 all_failed=0 closing=() failures='' failed_names='' advice='' running='' left=("$@")
work=$(mktemp -d)
# What is done once for all steps of a run knows it by this.
ELECTOR_RUN=$$-$(date +%s)
ELECTOR_DOWNLOADS=$work/downloads
export ELECTOR_RUN ELECTOR_DOWNLOADS
: >"$ELECTOR_DOWNLOADS"
trap summary EXIT
trap 'exit 130' INT TERM
for step; do
  run "$step"
  left=("${left[@]:1}")
done
