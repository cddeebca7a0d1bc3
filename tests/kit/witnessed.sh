# shellcheck shell=bash
# Runs Rust tests whose subject is real time. Each records a witness: how long the machine kept it waiting.
# Where an upper bound fails beside a witness too large to tell, the test says "inconclusive: " and is run
# once more, alone. Inconclusive again is a failure, named so. All other failures are failures at once.

# witnessed SUITE TEST-OPTIONS…: one test target of cargo. Prints its own closing line.
witnessed() {
  local suite=$1 log=$CARGO_TARGET_DIR/witnessed.log status=0 name passed failed=0
  shift
  cargo test -q --no-fail-fast --all-features --test "$suite" -- "$@" >"$log" 2>&1 || status=$?
  # Marked as a quotation, so that only the closing line below is counted.
  sed 's/^/  | /' "$log"
  passed=$(awk '/^test result: / { passed += $4 } END { print passed + 0 }' "$log")
  if [ $status != 0 ]; then
    while IFS= read -r name; do
      if ! is_inconclusive "$name" "$log"; then
        printf 'FAILED %s\n' "$name"
        failed=$((failed + 1))
      elif alone "$suite" "$name" "$log.again"; then
        printf '%s was inconclusive, and passed alone\n' "$name"
        passed=$((passed + 1))
      elif is_inconclusive "$name" "$log.again"; then
        printf 'FAILED %s: inconclusive twice: the machine is too busy to tell\n' "$name"
        failed=$((failed + 1))
      else
        printf 'FAILED %s\n' "$name"
        failed=$((failed + 1))
      fi
    done < <(failed_tests "$log")
    # It did not compile, or did not come to its end.
    [ "$failed" != 0 ] || grep -q '^failures:$' "$log" || failed=1
  fi
  printf '%s passed, %s failed\n' "$passed" "$failed"
  [ "$failed" = 0 ]
}

alone() { # suite test log
  local status=0
  cargo test -q --all-features --test "$1" -- --exact "$2" --test-threads=1 \
    </dev/null >"$3" 2>&1 || status=$?
  sed 's/^/  | /' "$3"
  return $status
}

failed_tests() { # log
  awk '/^failures:$/ { names = ""; next }
    /^    [^ ]+$/ { names = names $1 "\n"; next }
    /^test result: FAILED/ { printf "%s", names; names = "" }' "$1"
}

# Is the first panic that this test's output shows one that could not tell?
is_inconclusive() { # test log
  awk -v header="---- $1 stdout ----" '
    $0 == header { here = 1; next }
    here && /^---- / { exit }
    here && panicked { found = /^inconclusive: /; exit }
    here && /^thread .* panicked at / { panicked = 1 }
    END { exit !found }' "$2"
}
