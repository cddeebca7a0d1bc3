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

must build_suite "$work/tests" "$(go_library)"
must suite 1 "$work/tests" ordinary limits
check "gofmt" formatted
check "go vet" in_go vet ./...
# Then no test may be skipped for lack of a server.
check "go test, examples included" env ELECTOR_TEST_ALL=1 go -C bindings/go test -count=1 ./...
check "a program that vendors the Go package builds and runs" vendored
check "without cgo one line names the cure" without_cgo
check "on another platform, too" elsewhere
check "without the library, too" without_the_library
