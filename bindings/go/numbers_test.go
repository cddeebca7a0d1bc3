package elector

import (
	"errors"
	"testing"

	"github.com/elector/elector/bindings/go/internal/library"
)

// The constants of this package have the numbers of the C header, which the compiler reads.
func TestTheNumbersAreThoseOfTheHeader(t *testing.T) {
	events := map[Event]int{
		0:                      library.EventNone,
		EventElected:           library.EventElected,
		EventRenewed:           library.EventRenewed,
		EventAtRisk:            library.EventAtRisk,
		EventStopNewWork:       library.EventStopNewWork,
		EventDeposed:           library.EventDeposed,
		EventLeaderChanged:     library.EventLeaderChanged,
		EventStoreClockStepped: library.EventStoreClockStepped,
		EventTimelineChanged:   library.EventTimelineChanged,
		EventPoisonedRow:       library.EventPoisonedRow,
	}
	for event, number := range events {
		if int(event) != number {
			t.Errorf("%v is %d in the header", event, number)
		}
	}
	reasons := map[Reason]int{
		ReasonNone:     library.ReasonNone,
		ReasonReleased: library.ReasonReleased,
		ReasonExpired:  library.ReasonExpired,
		ReasonLost:     library.ReasonLost,
		ReasonStalled:  library.ReasonStalled,
		ReasonRevoked:  library.ReasonRevoked,
		ReasonForked:   library.ReasonForked,
	}
	for reason, number := range reasons {
		if int(reason) != number {
			t.Errorf("%v is %d in the header", reason, number)
		}
	}
	if len(eventNames) != len(events)-1 || len(reasonNames) != len(reasons) {
		t.Error("each has a name")
	}
	if Event(99).String() != "event 99" || Reason(99).String() != "reason 99" {
		t.Error("an unknown event or reason is not shown as a number")
	}
}

func TestEachStatusIsAnError(t *testing.T) {
	for status := library.StatusOK + 1; status <= library.StatusNoRandom; status++ {
		err := failed(&library.Fault{Status: status, Message: "what the library said"})
		if !errors.Is(err, sentinels[status]) || err.Error() != "what the library said" {
			t.Errorf("status %d: %v", status, err)
		}
	}
	if err := failed(&library.Fault{Status: 99, Message: "new"}); !errors.Is(err, ErrInternal) {
		t.Error(err)
	}
	if failed(nil) != nil {
		t.Error("no fault is no error")
	}
}

// This package and the library read the same clock.
func TestTheClockIsTheLibrarys(t *testing.T) {
	for range 10_000 {
		before := library.Now()
		now := now()
		if after := library.Now(); now < before || now > after {
			t.Fatalf("%d is not between %d and %d", now, before, after)
		}
	}
}

// IsLeader and the library's function give the same answer. IsLeader must never return true after the library
// has returned false.
func TestTheViewAgreesWithTheLibrary(t *testing.T) {
	subject, err := New(Options{Election: "view", Store: "memory:" + t.Name()})
	if err != nil {
		t.Fatal(err)
	}
	defer subject.Close()
	for range 3 {
		if err := subject.Campaign(); err != nil {
			t.Fatal(err)
		}
		if _, err := subject.WaitUntilLeader(t.Context()); err != nil {
			t.Fatal(err)
		}
		found := subject.handle.Leadership()
		if !found.IsLeader || !subject.handle.AmILeader() || !subject.IsLeader() ||
			found.Token != subject.Token() {
			t.Errorf("%+v", found)
		}
		if err := subject.Release(t.Context()); err != nil {
			t.Fatal(err)
		}
		if subject.handle.AmILeader() || subject.IsLeader() || subject.Token() != 0 {
			t.Error("released")
		}
	}
}

func BenchmarkIsLeader(b *testing.B) {
	subject := leading(b)
	for b.Loop() {
		subject.IsLeader()
	}
}

func BenchmarkIsLeaderOnAllProcessors(b *testing.B) {
	subject := leading(b)
	b.RunParallel(func(b *testing.PB) {
		for b.Next() {
			subject.IsLeader()
		}
	})
}

func BenchmarkIsLeaderByACallIntoC(b *testing.B) {
	subject := leading(b)
	for b.Loop() {
		subject.handle.AmILeader()
	}
}

func leading(b *testing.B) *Elector {
	subject, err := New(Options{Election: "bench", Store: "memory:bench"})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { subject.Close() })
	if err := subject.Campaign(); err != nil {
		b.Fatal(err)
	}
	if _, err := subject.WaitUntilLeader(b.Context()); err != nil {
		b.Fatal(err)
	}
	return subject
}
