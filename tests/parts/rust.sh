# shellcheck shell=bash
# formatting, lints, documentation, and every Rust test that does not measure time
need_rust
need shellcheck shellcheck "install shellcheck"
# Connecting is tested with a server of the system's release.
settings=$(tests/setup-postgres.sh)
eval "$settings"
suites=()
for file in tests/*.rs tests/*/main.rs; do
  [ -f "$file" ] || continue
  suite=${file%/main.rs}
  suite=$(basename "$suite" .rs)
  # shellcheck disable=SC2154
  case " ${alone[*]} " in *" $suite "*) ;; *) suites+=(--test "$suite") ;; esac
done
must shellcheck -x tests/*.sh tests/parts/*.sh .ci/run
must cargo fmt --check
must cargo clippy -q --all-features --all-targets -- -D warnings
# Each layer stands without those above it.
for features in "" driver sqlite postgres capi driver,capi; do
  must cargo clippy -q --no-default-features --features "$features" --lib -- -D warnings
done
must env RUSTDOCFLAGS=-Dwarnings cargo doc -q --no-deps --all-features
must cargo test -q --no-fail-fast --all-features --lib --bins "${suites[@]}"
must cargo test -q --no-fail-fast --all-features --doc
