// Package bootclock reads the clock on which trust in a lease is measured: the clock that also counts the
// time for which the machine was suspended. It needs neither a system call nor cgo.
//
// Go's own clocks stand still while the machine is suspended. A system call, or a call into C, costs more
// than the whole IsLeader may cost. So this package calls the function that the kernel maps into each process
// for this purpose: see vdso(7). It is a separate package because Go's assembler cannot be used in a package
// with cgo.
//
// It works on Linux and amd64 only. Elsewhere, and if the function is not found, [Now] returns false.
package bootclock
