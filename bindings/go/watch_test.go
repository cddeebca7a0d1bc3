package elector

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"
)

// The test blocks the fetching of changes, as if the poller hung. The clock ends the work's context
// nevertheless, and not before trust ends, which renewals extend although no change is reported.
func TestWorkIsCancelledByTheClockAloneWhenNoNewsCome(t *testing.T) {
	// Not in parallel with other tests, because the poller hangs for them too.
	const lease = time.Second
	subject, err := New(Options{
		Election: "watched", Store: "memory:" + t.Name(), Lease: lease, ProgressGate: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer subject.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	shown := false
	err = subject.Run(ctx, func(ctx context.Context, term Term) error {
		if shown {
			return nil
		}
		subject.history.fetching.Lock()
		defer subject.history.fetching.Unlock()
		for lively := time.Now(); time.Since(lively) < 2*lease && ctx.Err() == nil; {
			time.Sleep(10 * time.Millisecond)
			if err := subject.Alive(); err != nil {
				t.Error(err)
			}
		}
		<-ctx.Done()
		cause := context.Cause(ctx)
		if !errors.Is(cause, ErrTermOver) {
			t.Error(cause)
		}
		if subject.IsLeader() || term.IsCurrent() {
			t.Error("the term is over")
		}
		// On a busy machine the end may have been reported before the poller hung. Then the next term shows
		// it.
		shown = strings.Contains(cause.Error(), "the trust of term")
		// A term that is drained, as this one is now, keeps its token as long as it is trusted.
		if shown && subject.Leadership().Token == term.Token {
			t.Errorf("it is trusted: %v", cause)
		}
		return subject.Alive()
	})
	if err != nil || !shown {
		t.Errorf("shown: %v, %v", shown, err)
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
