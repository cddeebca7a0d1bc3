# shellcheck shell=bash
# each patch in the folders of tests/mutants breaks one safety rule, and the suites must notice
# limit: 7200
#
# A patch is a diff of src. Above it stand `# rule: …`, the rule that it breaks, and `# tests: …`, arguments
# of `cargo test` that run the suites which must fail. They are built with all features, or, where the core
# alone will do, with those that they name, which is sooner. ELECTOR_MUTANTS names some patches; unset means
# all.
need_rust
need patch patch "install patch"
settings=$(tests/install/postgres.sh)
eval "$settings"
tree=$CARGO_TARGET_DIR/mutants/tree
log=$CARGO_TARGET_DIR/mutants/log
export CARGO_TARGET_DIR=$CARGO_TARGET_DIR/mutants/target
# No mutant is debugged; without debug information each is compiled and linked sooner.
export CARGO_PROFILE_DEV_DEBUG=0
# A mutant may loop for ever; that, too, is noticed.
patience=600

header() { sed -n "s/^# $1: //p" "$2"; }

# Runs cargo in the copy of the tree, whose path never changes, so that only this crate is compiled again.
suites() { # arguments in one string, options…
  local features=--all-features
  case $1 in --no-default-features*) features='' ;; esac
  # shellcheck disable=SC2086
  (cd "$tree" && timeout "$patience" cargo test -q $features "${@:2}" $1 >"$log" 2>&1)
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
  if ! suites "$1"; then
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
  if ! suites "$tests" --no-run; then
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
