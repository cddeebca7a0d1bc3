package bootclock

import (
	"syscall"
	"unsafe"
)

// CLOCK_BOOTTIME, as the kernel numbers its clocks.
const boottime = 7

// The address of the kernel's function, or 0. Written before main begins, only read afterwards.
var function = find()

// Now is the time since boot in nanoseconds, with that for which the machine was suspended. False: the
// caller must read the clock in another way.
func Now() (uint64, bool) {
	if function == 0 {
		return 0, false
	}
	seconds, nanoseconds, status := call(function, boottime)
	return uint64(seconds)*1e9 + uint64(nanoseconds), status == 0
}

// Calls a function of the vDSO that takes what clock_gettime(2) takes: see clock_linux_amd64.s.
func call(function, clock uintptr) (seconds, nanoseconds int64, status int32)

// Finds the function, and believes it only if it agrees with the system call.
func find() uintptr {
	found := lookUp("__vdso_clock_gettime")
	if found == 0 {
		return 0
	}
	before, asked := ask()
	seconds, nanoseconds, status := call(found, boottime)
	after, askedAgain := ask()
	now := uint64(seconds)*1e9 + uint64(nanoseconds)
	if !asked || !askedAgain || status != 0 || now < before || now > after {
		return 0
	}
	return found
}

// The same by a system call, which costs several times as much.
func ask() (uint64, bool) {
	var time syscall.Timespec
	_, _, failed := syscall.RawSyscall(syscall.SYS_CLOCK_GETTIME, boottime, uintptr(unsafe.Pointer(&time)), 0)
	return uint64(time.Sec)*1e9 + uint64(time.Nsec), failed == 0
}
