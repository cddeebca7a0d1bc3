// Package library is Elector's C interface in Go's types. No other package of this module calls C.
//
// No C function calls back: C has no pointer to a Go function, so no thread of the library ever runs Go code.
// A function that waits occupies one thread of the operating system while it waits. All other functions
// return at once and perform no I/O.
package library
