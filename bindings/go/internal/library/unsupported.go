//go:build !cgo || !unix

package library

// This package is linked with a C library. Where linking is impossible, the compiler's error quotes the next
// line.
const _ = elector_needs_cgo_on_Linux_or_macOS__set_CGO_ENABLED_1_and_CC_to_a_C_compiler_for_the_target
