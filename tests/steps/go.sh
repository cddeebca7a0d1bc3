# shellcheck shell=bash
# the Go package on the library as released: staticcheck, race detector, what measures time, both ways to link
need_go
. tests/go/builds.sh
need pkg-config pkg-config "install pkg-config"
# Guards are tested on a real server.
need_kit
# Then no test may be skipped for lack of one.
export ELECTOR_TEST_ALL=1
staticcheck=honnef.co/go/tools/cmd/staticcheck@v0.8.2
installed=$CARGO_TARGET_DIR/go/installed

# The go command, for programs that link the installed library.
on_system() { # command options…
  PKG_CONFIG_PATH=$installed/lib/pkgconfig LD_LIBRARY_PATH=$installed/lib \
    in_go "$1" -tags elector_system "${@:2}"
}

tests_on_system() { on_system vet ./... && on_system test -count=1 -run 'TestThe|Example' ./...; }

links_the_system() {
  on_system build -o "$installed/driver" ./cmd/driver &&
    LD_LIBRARY_PATH=$installed/lib ldd "$installed/driver" | grep "$installed/lib/libelector"
}

links_no_library_of_ours() {
  in_go build -o "$installed/driver" ./cmd/driver && ! ldd "$installed/driver" | grep libelector
}

must make -C bindings/c install PREFIX="$installed"
check "staticcheck" in_go run "$staticcheck" ./...
check "go.mod is tidy" in_go mod tidy -diff
check "go test, with what measures time" in_go test -count=1 -tags timed ./...
check "go test -race" in_go test -count=1 -race ./...
check "the static library is all that a program needs" links_no_library_of_ours
check "a static binary links and works" static
check "elector_system: tests" tests_on_system
check "elector_system: the installed library is linked" links_the_system
