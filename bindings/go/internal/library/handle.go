//go:build unix

package library

// #include <stdlib.h>
// #include "elector.h"
// #cgo noescape elector_campaign
// #cgo nocallback elector_campaign
// #cgo noescape elector_connect
// #cgo nocallback elector_connect
// #cgo noescape elector_release
// #cgo nocallback elector_release
// #cgo noescape elector_drain
// #cgo nocallback elector_drain
// #cgo noescape elector_drain_for
// #cgo nocallback elector_drain_for
// #cgo noescape elector_drained
// #cgo nocallback elector_drained
// #cgo noescape elector_alive
// #cgo nocallback elector_alive
// #cgo noescape elector_get_leadership
// #cgo nocallback elector_get_leadership
// #cgo noescape elector_get_change
// #cgo nocallback elector_get_change
// #cgo noescape elector_leader
// #cgo nocallback elector_leader
// #cgo noescape elector_guard_sql
// #cgo nocallback elector_guard_sql
// #cgo noescape elector_last_error
// #cgo nocallback elector_last_error
// #cgo nocallback elector_am_i_leader
// #cgo nocallback elector_now_ns
// #cgo nocallback elector_wait_any
// #cgo nocallback elector_wake
import "C"

import (
	"math"
	"time"
	"unsafe"
)

// Handle is one elector of the library. After Free no goroutine may use it any more.
type Handle struct {
	elector *C.struct_elector
	view    *C.struct_elector_view
}

// Leadership is one consistent answer to the question whether a candidate leads.
type Leadership struct {
	IsLeader   bool
	Token      uint64
	TrustedFor time.Duration
	WorkFor    time.Duration
	Reason     int
	Revision   uint64
}

// Change is one change of one elector.
type Change struct {
	Event    int
	Revision uint64
	UnixMs   uint64
	Token    uint64
	Reason   int
	Leader   string
}

// Free frees the elector. It does not release.
func (h Handle) Free() { C.elector_free(h.elector) }

// Campaign begins to campaign.
func (h Handle) Campaign() *Fault {
	var fault C.struct_elector_error
	return made(C.elector_campaign(h.elector, &fault), &fault)
}

// Connect opens the store, and waits at most timeout for the result.
func (h Handle) Connect(timeout time.Duration) *Fault {
	var fault C.struct_elector_error
	return made(C.elector_connect(h.elector, milliseconds(timeout), &fault), &fault)
}

// Release stands down, and waits at most timeout for the store to confirm the release.
func (h Handle) Release(timeout time.Duration) *Fault {
	var fault C.struct_elector_error
	return made(C.elector_release(h.elector, milliseconds(timeout), &fault), &fault)
}

// Drain stands down and keeps the lease.
func (h Handle) Drain() *Fault {
	var fault C.struct_elector_error
	return made(C.elector_drain(h.elector, &fault), &fault)
}

// DrainFor stands down and keeps the lease, which it renews for at most drain.
func (h Handle) DrainFor(drain time.Duration) *Fault {
	var fault C.struct_elector_error
	return made(C.elector_drain_for(h.elector, milliseconds(drain), &fault), &fault)
}

// Drained ends a drain and releases the lease.
func (h Handle) Drained() *Fault {
	var fault C.struct_elector_error
	return made(C.elector_drained(h.elector, &fault), &fault)
}

// Alive reports that the program makes progress.
func (h Handle) Alive() *Fault {
	var fault C.struct_elector_error
	return made(C.elector_alive(h.elector, &fault), &fault)
}

// AmILeader asks the library. TrustedUntil gives the same answer at a lower cost.
func (h Handle) AmILeader() bool { return bool(C.elector_am_i_leader(h.elector)) }

// Leadership returns one consistent answer. The answer is also consistent in a forked child, so the status is
// not needed.
func (h Handle) Leadership() Leadership {
	var found C.struct_elector_leadership
	found.struct_size = C.uint32_t(unsafe.Sizeof(found))
	C.elector_get_leadership(h.elector, &found, nil)
	return Leadership{
		IsLeader:   bool(found.is_leader),
		Token:      uint64(found.token),
		TrustedFor: time.Duration(found.trusted_for_ms) * time.Millisecond,
		WorkFor:    time.Duration(found.work_for_ms) * time.Millisecond,
		Reason:     int(found.reason),
		Revision:   uint64(found.revision),
	}
}

// Change returns the change with this number; false if the library does not have it any more, or not yet.
func (h Handle) Change(revision uint64) (Change, bool) {
	var found C.struct_elector_change
	found.struct_size = C.uint32_t(unsafe.Sizeof(found))
	if C.elector_get_change(h.elector, C.uint64_t(revision), &found, nil) != C.ELECTOR_STATUS_OK {
		return Change{}, false
	}
	return Change{
		Event:    int(found.event),
		Revision: uint64(found.revision),
		UnixMs:   uint64(found.at_unix_ms),
		Token:    uint64(found.token),
		Reason:   int(found.reason),
		Leader:   C.GoString(&found.leader[0]),
	}, true
}

// Leader is the leader's name, a NUL and the meta text; "" if the library knows no leader.
func (h Handle) Leader() string {
	return text(func(buffer *C.char, capacity C.size_t) C.size_t {
		return C.elector_leader(h.elector, buffer, capacity)
	})
}

// GuardSQL is the statement that guards a transaction; "" if there is none.
func (h Handle) GuardSQL() string {
	return text(func(buffer *C.char, capacity C.size_t) C.size_t {
		return C.elector_guard_sql(h.elector, buffer, capacity)
	})
}

// LastError is the store's last error; "" if its latest operation succeeded.
func (h Handle) LastError() string {
	return text(func(buffer *C.char, capacity C.size_t) C.size_t {
		return C.elector_last_error(h.elector, buffer, capacity)
	})
}

// Reads a text into a buffer, which it enlarges until the text fits.
func text(write func(*C.char, C.size_t) C.size_t) string {
	for capacity := 512; ; {
		buffer := make([]byte, capacity)
		length := int(write((*C.char)(unsafe.Pointer(&buffer[0])), C.size_t(capacity)))
		if length < capacity {
			return string(buffer[:length])
		}
		capacity = length + 1
	}
}

// WaitAny waits until the count of all changes of this process differs from seen, and returns the count.
func WaitAny(seen uint64, timeout time.Duration) uint64 {
	return uint64(C.elector_wait_any(C.uint64_t(seen), milliseconds(timeout)))
}

// Wake makes every WaitAny return.
func Wake() { C.elector_wake() }

// Now reads the clock on which trust in a lease is measured, in nanoseconds.
func Now() uint64 { return uint64(C.elector_now_ns()) }

// The time in whole milliseconds, rounded up, as the library takes it. The largest number is never used,
// because it means "for ever" to the library.
func milliseconds(timeout time.Duration) C.uint32_t {
	rounded := max(timeout, 0) / time.Millisecond
	if timeout%time.Millisecond > 0 {
		rounded++
	}
	return C.uint32_t(min(rounded, math.MaxUint32-1))
}
