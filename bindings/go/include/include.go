// Package include holds the C header. It has no code: `go mod vendor` copies the folders of imported packages
// only, with all that is in them.
package include
