package elector_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/elector/elector/bindings/go"
)

func TestWorkHearsOfTheEndOnlyOnceItsCandidateDoesNotLead(t *testing.T) {
	t.Parallel()
	runner := candidate(t, long(elector.Options{Store: memory(t)}))
	why := errors.New("enough")
	for range 5 {
		ctx, cancel := context.WithCancelCause(context.WithValue(context.Background(), key{}, "kept"))
		err := runner.Run(ctx, func(ctx context.Context, term elector.Term) error {
			go cancel(why)
			<-ctx.Done()
			if runner.IsLeader() || !term.IsCurrent() {
				t.Error("it leads when its work is told to stop, or has no term to finish under")
			}
			if context.Cause(ctx) != why || ctx.Value(key{}) != "kept" {
				t.Errorf("%v, %v", context.Cause(ctx), ctx.Value(key{}))
			}
			return nil
		})
		must(t, err)
	}
}

type key struct{}

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
