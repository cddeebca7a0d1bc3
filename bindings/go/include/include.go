// Package include holds the C header. It has no code. It is a package because `go mod vendor` copies only
// folders of imported packages, with all their files.
package include
