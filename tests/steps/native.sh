# shellcheck shell=bash
# the C and the Go package on the quick library: the whole C suite, gofmt, go vet, go test
need_go PROFILE=dev
. tests/c/suite.sh
. tests/go/builds.sh
start_postgres

formatted() {
  local files
  files=$(gofmt -l bindings/go) || return
  [ -z "$files" ] || { say "run gofmt -w on" "$files"; return 1; }
}

# The README's program in C.
readme_in_c() {
  local said
  readme_program c >"$work/readme.c"
  gcc -std=c11 "${strict[@]}" "$work/readme.c" "$(go_library)" "${needs[@]}" -o "$work/readme" &&
    said=$("$work/readme") || return
  grep -q '^only one process prints this, under token [0-9]' <<<"$said" || { say "it says: $said"; return 1; }
}

must build_suite "$work/tests" "$(go_library)"
must suite 1 "$work/tests" ordinary limits
check "README's program in C" readme_in_c
check "gofmt" formatted
check "go vet" in_go vet ./...
# Then no test may be skipped for lack of a server.
check "go test, examples included" env ELECTOR_TEST_ALL=1 go -C bindings/go test -count=1 ./...
check "README's program in Go builds with the vendored package, and runs" vendored
check "without cgo one line names the cure" without_cgo
check "on another platform, too" elsewhere
check "without the library, too" without_the_library
