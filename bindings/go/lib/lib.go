// Package lib holds the static library of each platform, which `make -C bindings/c go` builds. It has no
// code:
// `go mod vendor` copies the folders of imported packages only, with all that is in them.
package lib
