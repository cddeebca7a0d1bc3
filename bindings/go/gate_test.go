package elector

import (
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// What a gate guards is used by many, and freed when it says that nobody is inside: then nobody may be.
func TestNobodyIsInsideAGateThatIsShutAndEmpty(t *testing.T) {
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
						t.Error("freed while somebody is inside")
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
			t.Fatal("they all leave")
		}
		freed.Store(true)
		group.Wait()
	}
}

func TestAGateWaitsOnlySoLong(t *testing.T) {
	var guarded gate
	if guarded.enter() != nil {
		t.Fatal("the zero gate is shut")
	}
	guarded.open.Store(true)
	inside := guarded.enter()
	guarded.shut()
	if guarded.enter() != nil || guarded.empty(time.Millisecond) {
		t.Error("one is inside, and no second one comes in")
	}
	inside.Add(-1)
	if !guarded.empty(0) {
		t.Error("nobody is inside")
	}
}
