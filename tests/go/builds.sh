# shellcheck shell=bash
# Ways to build a program with the Go package, and where that cannot be: what the compiler says then.
go_work=$CARGO_TARGET_DIR/go-builds
rm -rf "$go_work" && mkdir -p "$go_work"

# The README's program, in a module of its own that has copied its dependencies.
vendored_program() {
  local module=$go_work/host
  mkdir -p "$module"
  readme_program go >"$module/main.go"
  local name=github.com/elector/elector/bindings/go
  (cd "$module" && exec 2>&1 && go mod init example.com/host && go mod edit -require "$name@v0.0.0" \
    -replace "$name=$OLDPWD/bindings/go" && go mod tidy && go mod vendor) >"$go_work/log" ||
    { cat "$go_work/log"; return 1; }
}

vendored() {
  local said
  vendored_program && go -C "$go_work/host" build -mod=vendor -o "$go_work/vendored" . || return
  said=$("$go_work/vendored")
  said=$(tr '\n' ';' <<<"$said")
  [[ $said =~ ^only\ one\ process\ prints\ this,\ under\ token\ [0-9]+\;done:\ \<nil\>\;$ ]] ||
    { say "it says: $said"; return 1; }
}

# What the compiler says of a build that cannot be is one line, which names the cure.
says() { # line folder settings…
  local said
  if said=$(env "${@:3}" go -C "$2" build -o /dev/null . 2>&1); then
    say "it is built"
    return 1
  fi
  # Package names begin with #; the C compiler quotes the line and underlines it.
  said=$(grep -E '(error|undefined):' <<<"$said")
  if [ "$(wc -l <<<"$said")" != 1 ] || ! grep -q "$1" <<<"$said"; then
    say "it says: $said"
    return 1
  fi
}

needs_cgo='elector_needs_cgo_on_Linux_or_macOS__set_CGO_ENABLED_1'
without_cgo() { says "$needs_cgo" bindings/go CGO_ENABLED=0; }
elsewhere() { says "$needs_cgo" bindings/go GOOS=windows GOARCH=amd64; }

without_the_library() {
  rm -f "$go_work"/host/vendor/github.com/elector/elector/bindings/go/lib/*.a
  # Else an earlier build of the same sources would do.
  says 'make -C bindings/c go' "$go_work/host" GOFLAGS=-mod=vendor CGO_CFLAGS="-DWITHOUT=$RANDOM"
}

# Needs nothing of the system it runs on: not libgcc_s, and no C library of the same version.
static() {
  in_go test -c -ldflags '-linkmode external -extldflags "-static"' -o "$go_work/static" . 2>"$go_work/log" ||
    { cat "$go_work/log"; return 1; }
  if readelf -d "$go_work/static" | grep NEEDED; then return 1; fi
  (cd bindings/go && "$go_work/static" -test.count=1 -test.run 'TestWork|TestCancelling|TestTerms')
}
