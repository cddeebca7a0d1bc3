package bootclock

import (
	"runtime"
	"runtime/pprof"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
	"unsafe"
)

// Reads the clock by a system call, which is correct everywhere on Linux.
func bySystemCall(t testing.TB) uint64 {
	const boottime = 7
	var now syscall.Timespec
	_, _, failed := syscall.RawSyscall(syscall.SYS_CLOCK_GETTIME, boottime, uintptr(unsafe.Pointer(&now)), 0)
	if failed != 0 {
		t.Fatal(failed)
	}
	return uint64(now.Sec)*1e9 + uint64(now.Nsec)
}

func need(t testing.TB) {
	if _, ok := Now(); !ok {
		if runtime.GOOS == "linux" && runtime.GOARCH == "amd64" {
			t.Error("the kernel's function was not found")
		}
		t.Skip("the clock is read by the library here")
	}
}

func TestItIsTheClockThatCountsSuspendedTime(t *testing.T) {
	need(t)
	for range 100_000 {
		before := bySystemCall(t)
		now, ok := Now()
		if after := bySystemCall(t); !ok || now < before || now > after {
			t.Fatalf("%d is not between %d and %d", now, before, after)
		}
	}
}

// Calls Now with stacks of all sizes and at all alignments, also where the stack must grow for the call.
//
//go:noinline
func deep(depth int) (uint64, byte) {
	var frame [40]byte
	frame[depth%len(frame)] = byte(depth)
	now, _ := Now()
	if depth > 0 {
		deeper, mark := deep(depth - 1)
		return max(now, deeper), mark + frame[depth%len(frame)]
	}
	return now, frame[0]
}

//go:noinline
func deepUnaligned(depth int) uint64 {
	var frame [9]byte
	frame[depth%len(frame)] = 1
	now, _ := Now()
	if depth > 0 {
		return max(now, deepUnaligned(depth-1)) + uint64(frame[8]&2)
	}
	return now
}

// The garbage collector moves and shrinks stacks, a profiler's signals interrupt at any instruction, and
// other goroutines preempt: the readings stay correct, and memory is not corrupted.
func TestItStandsTheCollectorTheProfilerAndGrowingStacks(t *testing.T) {
	need(t)
	var profile strings.Builder
	// Twenty times as often as usual. The profiler reports on stderr that the rate was already set.
	runtime.SetCPUProfileRate(2000)
	if err := pprof.StartCPUProfile(&profile); err != nil {
		t.Fatal(err)
	}
	defer pprof.StopCPUProfile()
	var group sync.WaitGroup
	var over atomic.Bool
	work := func(step func()) {
		group.Add(1)
		go func() {
			defer group.Done()
			for !over.Load() {
				step()
			}
		}()
	}
	for size := range 4 {
		work(func() {
			var last uint64
			for range 200 {
				ended := make(chan uint64)
				go func() {
					now, _ := deep(50 * size)
					ended <- max(now, deepUnaligned(30*size))
				}()
				now := <-ended
				if now < last {
					t.Errorf("%d after %d", now, last)
				}
				last = now
			}
		})
	}
	work(func() {
		first, _ := Now()
		for range 100_000 {
			second, ok := Now()
			if !ok || second < first {
				t.Errorf("%d after %d", second, first)
				return
			}
			first = second
		}
	})
	work(func() { runtime.GC(); time.Sleep(time.Millisecond) })
	work(func() {
		stacks := make([]byte, 1<<16)
		runtime.Stack(stacks, true)
		time.Sleep(time.Millisecond)
	})
	time.Sleep(3 * time.Second)
	over.Store(true)
	group.Wait()
}

func BenchmarkNow(b *testing.B) {
	need(b)
	for b.Loop() {
		Now()
	}
}
