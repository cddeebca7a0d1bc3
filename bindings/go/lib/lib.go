// Package lib holds the static library of each platform, which `make -C bindings/c go` builds. It has no
// code. It is a package because `go mod vendor` copies only folders of imported packages, with all their
// files.
package lib
