//go:build timed

package elector_test

import (
	"context"
	"errors"
	"testing"
	"time"

	elector "github.com/elector/elector/bindings/go"
)

// Tests that measure real time: `go test -tags timed`, on a quiet machine.

// Close wakes the poller, which would otherwise poll once a second. The fastest of many runs counts, because
// a busy machine delays it least.
func TestClosingTheLastElectorsWakesThePoller(t *testing.T) {
	witnessed(t, func(witness *witness) error {
		fastest := soon
		for range 25 {
			var electors []*elector.Elector
			for _, store := range []string{memory(t), newFile(t).store()} {
				for _, name := range []string{"a", "b"} {
					subject := candidate(t, long(elector.Options{Store: store, Candidate: name}))
					must(t, subject.Run(within(t, soon), func(context.Context, elector.Term) error { return nil }))
					electors = append(electors, subject)
				}
			}
			witness.reset()
			started := time.Now()
			for _, subject := range electors {
				must(t, subject.Close())
			}
			fastest = min(fastest, time.Since(started))
		}
		return witness.atMost(t, fastest, 300*time.Millisecond, "the fastest closing")
	})
}

func TestClosingALeaderIsConfirmedWithinASecond(t *testing.T) {
	for _, store := range []string{memory(t), newFile(t).store()} {
		witnessed(t, func(witness *witness) error {
			subject := candidate(t, long(elector.Options{Store: store}))
			lead(t, subject)
			witness.reset()
			err := subject.Close()
			if errors.Is(err, elector.ErrTimeout) {
				return witness.missed(t, time.Second, "the store did not confirm within a second")
			}
			must(t, err)
			return nil
		})
	}
}

func TestClosingTakesAtMostTenSecondsWhenTheStoreHangs(t *testing.T) {
	witnessed(t, func(witness *witness) error {
		file := newFile(t)
		subject := candidate(t, long(elector.Options{Store: file.store()}))
		lead(t, subject)
		file.hang()
		witness.reset()
		started := time.Now()
		if err := subject.Close(); !errors.Is(err, elector.ErrTimeout) {
			t.Error(err)
		}
		took := time.Since(started)
		// The release must succeed before the file is removed: otherwise the threads stay for the rest of the
		// lease.
		file.work()
		eventually(t, "its threads end", func() bool { return libraryThreads(t) == 0 })
		return witness.atMost(t, took, 10*time.Second, "closing")
	})
}
