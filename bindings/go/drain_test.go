package elector_test

import (
	"context"
	"errors"
	"testing"
	"time"

	elector "github.com/elector/elector/bindings/go"
)

func TestADrainWithABoundIsRenewedNoMoreAfterIt(t *testing.T) {
	t.Parallel()
	first := candidate(t, short(elector.Options{Store: memory(t), Candidate: "a"}))
	second := candidate(t, long(elector.Options{Store: memory(t), Candidate: "b"}))
	lead(t, first)
	must(t, first.DrainFor(time.Millisecond))
	if first.IsLeader() {
		t.Error("it drains")
	}
	must(t, second.Campaign())
	awaitLeader(t, second)
	if reason := first.Leadership().Reason; reason != elector.ReasonStalled && reason != elector.ReasonExpired {
		t.Error(reason)
	}
}

// If the library campaigned at once, this candidate would lead while earlier work has not returned.
func TestACampaignBeginsOnlyWhenTheWorkOfATermThatIsOverHasReturned(t *testing.T) {
	t.Parallel()
	for name, lose := range map[string]func(file *file, stop func()){
		"lost":    func(file *file, _ func()) { file.remove() },
		"stopped": func(_ *file, stop func()) { stop() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := newFile(t)
			runner := candidate(t, short(elector.Options{Store: file.store(), Drain: time.Millisecond}))
			ctx, stop := context.WithCancel(within(t, soon))
			defer stop()
			calls := 0
			err := runner.Run(ctx, func(ctx context.Context, term elector.Term) error {
				if calls++; calls > 1 {
					return nil
				}
				lose(file, stop)
				untilOver(t, ctx)
				eventually(t, "it does not lead", func() bool { return !runner.IsLeader() })
				must(t, runner.Campaign())
				eventually(t, "the term is over", func() bool { return !term.IsCurrent() })
				for until := time.Now().Add(2 * time.Second); time.Now().Before(until); {
					if runner.IsLeader() {
						t.Error("it leads, and the work of an earlier term has not returned")
						break
					}
					time.Sleep(time.Millisecond)
				}
				return nil
			})
			if err != nil && !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
		})
	}
}

func TestARunThatWasNotElectedEndsNoDrainOfOtherWork(t *testing.T) {
	t.Parallel()
	runner := candidate(t, long(elector.Options{Store: memory(t)}))
	kept := lead(t, runner)
	must(t, runner.Drain())
	over, cancel := context.WithCancel(context.Background())
	cancel()
	err := runner.Run(over, func(context.Context, elector.Term) error {
		t.Error("it is not elected")
		return nil
	})
	if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if token := runner.Leadership().Token; token != kept {
		t.Errorf("the work of term %d goes on, but its lease is not kept: the token is %d", kept, token)
	}
	must(t, runner.Drained())
	keepsNothing(t, runner)
	time.Sleep(100 * time.Millisecond)
	if runner.IsLeader() {
		t.Error("it campaigns without a call of Campaign")
	}
}
