# shellcheck shell=bash
# each patch in the folders of tests/mutants breaks one safety rule, and the suites must notice
# limit: 7200
#
# A patch is a diff of src or bindings/js/src. Above it stand `# rule: …`, the rule that it breaks, and
# `# tests: …`, the suites which must fail: arguments of `cargo test`, or `npm` and those of `npm test`. Rust
# is built with all features, unless the arguments begin with `--no-default-features`: then only with those
# that they name, which is faster. ELECTOR_MUTANTS names some patches; unset means all.
need_rust
need patch patch "install patch"
settings=$(tests/install/postgres.sh)
eval "$settings"
tree=$CARGO_TARGET_DIR/mutants/tree
log=$CARGO_TARGET_DIR/mutants/log
targets=$CARGO_TARGET_DIR
export CARGO_TARGET_DIR=$CARGO_TARGET_DIR/mutants/target
# No mutant is debugged; without debug information each is compiled and linked sooner.
export CARGO_PROFILE_DEV_DEBUG=0
# A mutant may loop for ever; that, too, is noticed.
patience=600

header() { sed -n "s/^# $1: //p" "$2"; }

# Compiles the suites in the copy of the tree, whose path never changes, so that only this crate is compiled
# again, and in JavaScript only the TypeScript.
compiles() { # arguments in one string
  case $1 in
    npm\ *)
      js_tree && (cd "$tree/bindings/js" && node scripts/build.mjs --cjs >"$log" 2>&1)
      ;;
    *) in_cargo "$1" --no-run ;;
  esac
}

suites() { # arguments in one string
  case $1 in
    npm\ *)
      # shellcheck disable=SC2086
      (cd "$tree/bindings/js" && timeout "$patience" npm test -- ${1#npm } >"$log" 2>&1)
      ;;
    *) in_cargo "$1" ;;
  esac
}

in_cargo() { # arguments in one string, options…
  local features=--all-features
  case $1 in --no-default-features*) features='' ;; esac
  # shellcheck disable=SC2086
  (cd "$tree" && timeout "$patience" cargo test -q $features "${@:2}" $1 >"$log" 2>&1)
}

# Gives the copy of the tree what was built and installed for JavaScript.
js_tree() {
  [ ! -e "$tree/bindings/js/node_modules" ] || return 0
  (unset CARGO_PROFILE_DEV_DEBUG && export CARGO_TARGET_DIR=$targets && need_js) || return 1
  cp -r bindings/js/node_modules bindings/js/build bindings/js/dist "$tree/bindings/js"
  cp -r bindings/js/src/wasm "$tree/bindings/js/src"
}

# Marked as a quotation, so that its closing lines are not counted as this run's.
quote_log() { tail -n 30 "$log" | sed 's/^/  | /'; }

copy_tree() {
  rm -rf "$tree" && mkdir -p "$tree"
  git ls-files -z --cached --others --exclude-standard | while IFS= read -r -d '' file; do
    [ ! -f "$file" ] || printf '%s\0' "$file"
  done | xargs -0 cp --parents -t "$tree"
}

# Without its patch everything must pass, or a failure would prove nothing.
sound() { # test arguments
  case $known in *"|$1|"*) return ;; esac
  if ! { compiles "$1" && suites "$1"; }; then
    quote_log
    say "the suites '$1' fail without any patch"
    return 1
  fi
  known="$known|$1|"
}

killed() { # patch
  local tests
  tests=$(header tests "$1")
  [ -n "$tests" ] || { say "$1 has no line '# tests: …'"; return 1; }
  sound "$tests" || return 1
  if ! patch -s -p1 --dry-run -d "$tree" <"$1"; then
    say "$1 no longer applies: renew it"
    return 1
  fi
  patch -s -p1 --no-backup-if-mismatch -d "$tree" <"$1"
  local verdict=1
  if ! compiles "$tests"; then
    quote_log
    say "$1 does not compile, so it shows nothing: renew it"
  elif suites "$tests"; then
    say "SURVIVED: $1: no test notices the broken rule"
  else
    verdict=0
  fi
  patch -s -p1 -R --no-backup-if-mismatch -d "$tree" <"$1"
  return $verdict
}

copy_tree
known=''
for mutant in tests/mutants/*/*.patch; do
  name=$(basename "$mutant" .patch)
  case " ${ELECTOR_MUTANTS:-$name} " in *" $name "*) ;; *) continue ;; esac
  check "$name killed ($(header rule "$mutant"))" killed "$mutant"
done
