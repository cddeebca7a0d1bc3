package elector

import (
	"context"
	"errors"
	"testing"
	"time"
)

// A candidate in a store of its own, with a lease that does not expire within a test.
func alone(t *testing.T) (*Elector, context.Context) {
	t.Helper()
	e, err := New(Options{Election: "nightly", Store: "memory:" + t.Name(), Lease: 30 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(func() { cancel(); e.Close() })
	return e, ctx
}

func TestARunThatWasStoodDownDoesNotWorkInTheTermOfALaterCampaign(t *testing.T) {
	t.Parallel()
	e, ctx := alone(t)
	down, err := e.campaign()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.WaitUntilLeader(ctx); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(e.Release(ctx), e.Campaign()); err != nil {
		t.Fatal(err)
	}
	if _, err := e.WaitUntilLeader(ctx); err != nil {
		t.Fatal(err)
	}
	// A Run of the first campaign that checks only now whether it was elected.
	if token, _, err := e.elected(ctx, down); !errors.Is(err, ErrReleased) {
		t.Errorf("token %d, %v", token, err)
	}
}
