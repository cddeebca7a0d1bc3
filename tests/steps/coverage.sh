# shellcheck shell=bash
# the tests of the Raft core reach at least 98 % of its lines; prints the others, and the percentage
need_rust
least=98
llvm=$(rustc -vV | sed -n 's/^LLVM version: \([0-9]*\).*/\1/p')
host=$(rustc -vV | sed -n 's/^host: //p')

# The path of a tool of the compiler's own LLVM; another version cannot read what the tests write.
tool() { # cov or profdata
  local own
  own=$(rustc --print sysroot)/lib/rustlib/$host/bin/llvm-$1
  if [ ! -x "$own" ]; then
    need "llvm-$1-$llvm" "llvm-$llvm" "run 'rustup component add llvm-tools'"
    own=llvm-$1-$llvm
  fi
  printf '%s\n' "$own"
}

cov=$(tool cov)
profdata=$(tool profdata)
work=$CARGO_TARGET_DIR/coverage
rm -rf "$work" && mkdir -p "$work"
# Only this crate is instrumented, so that its dependencies are not compiled again.
printf '#!/bin/sh\nexec "$@" -C instrument-coverage\n' >"$work/rustc" && chmod +x "$work/rustc"
export RUSTC_WORKSPACE_WRAPPER=$work/rustc LLVM_PROFILE_FILE=$work/%p-%m.profraw
tests=(--lib --test raft --no-default-features --features testing)
built=$(cargo test --no-run "${tests[@]}" 2>&1)
mapfile -t programs < <(sed -n 's/^ *Executable .*(\(.*\))$/--object=\1/p' <<<"$built")
must cargo test -q "${tests[@]}"
"$profdata" merge -sparse "$work"/*.profraw -o "$work/profile"
"$cov" export "${programs[@]}" -instr-profile="$work/profile" -format=lcov \
  --sources src/core/raft >"$work/lines"
awk -F'[:,]' -v root="$PWD/" '/^SF:/ { file = substr($2, length(root) + 1) }
  /^DA:/ { all++; reached += $3 > 0 }
  /^DA:/ && $3 == 0 { print "not reached: " file ":" $2 }
  END { printf "%.2f\n", 100 * reached / all }' "$work/lines" | tee "$work/report"
check "the tests reach $least % of the lines of src/core/raft" \
  awk "BEGIN { exit !($(tail -n 1 "$work/report") >= $least) }"
