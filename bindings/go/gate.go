package elector

import (
	"runtime"
	"sync/atomic"
	"time"
	"unsafe"
)

// Counters in different lines of the cache, so that processors which ask at once do not wait for each other.
const (
	stripeBits = 3
	stripes    = 1 << stripeBits
)

// A gate lets calls in until it is shut, and then tells when the last one is out: memory of the library is
// freed only when nobody can be reading it. The zero gate is shut.
//
// A reader counts itself in before it looks whether the gate is open. So when the gate was shut first and a
// counter read zero afterwards, whoever counts himself in there later sees that it is shut.
type gate struct {
	open atomic.Bool
	// What everybody reads is not in the line of a counter.
	_      [128]byte
	inside [stripes]stripe
}

type stripe struct {
	count atomic.Int64
	// Two lines: processors fetch them in pairs.
	_ [120]byte
}

// Lets a call in. Not nil: the caller counts itself out by Add(-1) as soon as it can, and on every way.
func (g *gate) enter() *atomic.Int64 {
	if !g.open.Load() {
		return nil
	}
	// Goroutines have different stacks, and so mostly different stripes. Stacks begin at multiples of their
	// size, so all bits of the address are mixed: by the golden ratio, as Knuth does it.
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

// Lets nobody in any more.
func (g *gate) shut() { g.open.Store(false) }

// Waits until everybody is out of a gate that is shut; whether that came to be in time.
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
