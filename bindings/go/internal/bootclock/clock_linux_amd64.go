package bootclock

import (
	"syscall"
	"unsafe"
)

// The kernel's number of CLOCK_BOOTTIME.
const boottime = 7

// The address of the kernel's function, or 0. It is written before main begins, and only read afterwards.
var function = find()

// Now is the time since boot in nanoseconds, including the time for which the machine was suspended. If it
// returns false, the caller must read the clock in another way.
func Now() (uint64, bool) {
	if function == 0 {
		return 0, false
	}
	seconds, nanoseconds, status := call(function, boottime)
	return uint64(seconds)*1e9 + uint64(nanoseconds), status == 0
}

// Calls a function of the vDSO with the parameters of clock_gettime(2): see clock_linux_amd64.s.
func call(function, clock uintptr) (seconds, nanoseconds int64, status int32)

// Finds the function. Returns 0 if the function disagrees with the system call.
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

// Reads the clock by a system call, which costs several times as much.
func ask() (uint64, bool) {
	var time syscall.Timespec
	_, _, failed := syscall.RawSyscall(syscall.SYS_CLOCK_GETTIME, boottime, uintptr(unsafe.Pointer(&time)), 0)
	return uint64(time.Sec)*1e9 + uint64(time.Nsec), failed == 0
}
