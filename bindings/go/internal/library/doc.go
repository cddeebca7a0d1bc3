// Package library is Elector's C interface in Go's types. Nothing else of this module calls C.
//
// No function of it calls back: C has no pointer to any Go function, so no thread of the library ever runs
// Go. Those that wait hold up one thread of the operating system for as long as they do; all others return
// at once and do no I/O.
package library
