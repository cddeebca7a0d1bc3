package elector

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"
)

// Nobody hands on any news here, as though the pump hung. The clock ends the work's context all the same, and
// not before renewals, of which nobody is told either, fail to come.
func TestWorkIsCancelledByTheClockAloneWhenNoNewsCome(t *testing.T) {
	const lease = time.Second
	subject, err := New(Options{
		Election: "watched", Store: "memory:" + t.Name(), Lease: lease, ProgressGate: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer subject.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	calls := 0
	err = subject.Run(ctx, func(ctx context.Context, term Term) error {
		if calls++; calls > 1 {
			return nil
		}
		subject.feed.fetching.Lock()
		defer subject.feed.fetching.Unlock()
		for lively := time.Now(); time.Since(lively) < 2*lease; time.Sleep(10 * time.Millisecond) {
			if err := subject.Alive(); err != nil {
				t.Error(err)
			}
		}
		if ctx.Err() != nil {
			t.Logf("this machine is slow: %v", context.Cause(ctx))
		}
		<-ctx.Done()
		cause := context.Cause(ctx)
		if !errors.Is(cause, ErrTermOver) || !strings.Contains(cause.Error(), "the trust of term") {
			t.Error(cause)
		}
		if subject.IsLeader() || term.IsCurrent() {
			t.Error("the term is over")
		}
		return subject.Alive()
	})
	if err != nil || calls != 2 {
		t.Errorf("%d calls, %v", calls, err)
	}
}

func TestTheQuestionsAllocateNothing(t *testing.T) {
	subject, err := New(Options{Election: "lean", Store: "memory:" + t.Name()})
	if err != nil {
		t.Fatal(err)
	}
	defer subject.Close()
	found := testing.AllocsPerRun(1000, func() {
		subject.IsLeader()
		subject.Token()
		subject.Leadership()
	})
	if found != 0 {
		t.Errorf("%v allocations", found)
	}
}
