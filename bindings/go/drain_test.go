package elector_test

import (
	"testing"
	"time"

	"github.com/elector/elector/bindings/go"
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
