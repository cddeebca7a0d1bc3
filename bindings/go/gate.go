package elector

import (
	"runtime"
	"sync/atomic"
	"time"
	"unsafe"
)

// The counters lie in different cache lines, so that processors that count at once do not wait for each
// other.
const (
	stripeBits = 3
	stripes    = 1 << stripeBits
)

// A gate counts the calls that use the library's memory. It admits calls until it is shut, and then reports
// when the last call has left, so that the memory is freed only when no call can read it. The zero gate is
// shut.
//
// A call increments a counter before it checks that the gate is open. So if the gate was shut first and a
// counter was zero afterwards, every call that increments this counter later sees that the gate is shut.
type gate struct {
	open atomic.Bool
	// Keeps the flag, which every call reads, out of the cache line of a counter.
	_      [128]byte
	inside [stripes]stripe
}

type stripe struct {
	count atomic.Int64
	// Fills two cache lines, because processors fetch them in pairs.
	_ [120]byte
}

// Admits a call and returns its counter, or nil if the gate is shut. The caller must leave with Add(-1) as
// soon as it can, on every path.
func (g *gate) enter() *atomic.Int64 {
	if !g.open.Load() {
		return nil
	}
	// Goroutines have different stacks, so the stack's address mostly selects different stripes. Stacks begin
	// at multiples of their size, so all bits of the address are mixed: multiplicative hashing with the
	// golden ratio (Knuth).
	var here byte
	page := uint64(uintptr(unsafe.Pointer(&here)) >> 11)
	count := &g.inside[page*0x9e3779b97f4a7c15>>(64-stripeBits)].count
	count.Add(1)
	if !g.open.Load() {
		count.Add(-1)
		return nil
	}
	return count
}

// Admits no further call.
func (g *gate) shut() { g.open.Store(false) }

// Waits until the last call has left a gate that is shut. Returns whether that happened in time.
func (g *gate) empty(patience time.Duration) bool {
	started := time.Now()
	for at := range g.inside {
		for turns := 0; g.inside[at].count.Load() != 0; turns++ {
			switch {
			case turns < 100:
				runtime.Gosched()
			case time.Since(started) > patience:
				return false
			default:
				time.Sleep(100 * time.Microsecond)
			}
		}
	}
	return true
}
