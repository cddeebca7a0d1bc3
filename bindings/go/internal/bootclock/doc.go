// Package bootclock reads the clock that also counts the time for which the machine was suspended, which is
// the one that leases are trusted by, without a system call and without cgo.
//
// Go's own clocks stand still in a suspended machine. A system call, or a call into C, costs more than the
// whole question whether a candidate leads may cost. So this calls the function that the kernel maps into
// each process for just that purpose, see vdso(7). It is a package of its own because Go's assembly cannot
// live in a package that uses cgo.
//
// Linux on amd64 only. Elsewhere, and where the function is not found, [Now] says so.
package bootclock
