package elector

import (
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Many calls use the memory that a gate protects. It is freed when the gate is shut and empty, and no call
// may use it then.
func TestNoCallIsInsideAGateThatIsShutAndEmpty(t *testing.T) {
	for range 10 {
		var guarded gate
		guarded.open.Store(true)
		var freed atomic.Bool
		var entered atomic.Int64
		var group sync.WaitGroup
		for range 8 {
			group.Add(1)
			go func() {
				defer group.Done()
				for {
					inside := guarded.enter()
					if inside == nil {
						return
					}
					entered.Add(1)
					if entered.Load()%7 == 0 {
						runtime.Gosched()
					}
					if freed.Load() {
						t.Error("freed while a call is inside")
					}
					inside.Add(-1)
				}
			}()
		}
		for entered.Load() < 100 {
			runtime.Gosched()
		}
		guarded.shut()
		if !guarded.empty(time.Minute) {
			t.Fatal("a call is still inside after a minute")
		}
		freed.Store(true)
		group.Wait()
	}
}

func TestAGateWaitsNoLongerThanItsPatience(t *testing.T) {
	var guarded gate
	if guarded.enter() != nil {
		t.Fatal("the zero gate is shut")
	}
	guarded.open.Store(true)
	inside := guarded.enter()
	guarded.shut()
	if guarded.enter() != nil || guarded.empty(time.Millisecond) {
		t.Error("a shut gate admits a call, or is empty while a call is inside")
	}
	inside.Add(-1)
	if !guarded.empty(0) {
		t.Error("the last call has left, and the gate is not empty")
	}
}
