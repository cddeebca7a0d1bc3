//go:build timed

package elector_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	elector "github.com/elector/elector/bindings/go"
)

// The times of a job.
type job struct{ began, ended time.Time }

// Measures roll-outs: each runner must stop while a job runs that does not stop at once, and the next runner
// campaigns already.
func TestInTwentyRollOutsNoTwoJobsRunAtOnce(t *testing.T) {
	witnessed(t, func(witness *witness) error {
		store := newFile(t).store()
		jobs, began := make(chan job, 100), make(chan struct{}, 100)
		roll := func(name string) (stop func()) {
			runner := candidate(t, elector.Options{Election: "nightly", Store: store, Candidate: name})
			ctx, cancel := context.WithCancel(context.Background())
			done := make(chan error, 1)
			go func() {
				done <- runner.Run(ctx, func(ctx context.Context, _ elector.Term) error {
					for ctx.Err() == nil {
						ran := job{began: time.Now()}
						began <- struct{}{}
						time.Sleep(1500 * time.Millisecond)
						ran.ended = time.Now()
						jobs <- ran
					}
					return nil
				})
			}()
			return func() {
				cancel()
				if err := <-done; err != nil && !errors.Is(err, context.Canceled) {
					t.Error(err)
				}
				end(t, runner)
			}
		}
		stop := roll("0")
		for turn := 1; turn <= 20; turn++ {
			<-began
			next := roll(fmt.Sprint(turn))
			time.Sleep(200 * time.Millisecond)
			stop()
			stop = next
		}
		<-began
		stop()
		close(jobs)
		var gaps []time.Duration
		var last job
		for ran := range jobs {
			if ran.began.Before(last.ended) {
				t.Errorf("two jobs ran at once for %v", last.ended.Sub(ran.began))
			}
			if !last.ended.IsZero() {
				gaps = append(gaps, ran.began.Sub(last.ended))
			}
			last = ran
		}
		if len(gaps) < 20 {
			t.Fatalf("%d jobs", len(gaps)+1)
		}
		slices.Sort(gaps)
		t.Logf("%d jobs, 0 ms of overlap; from the end of a job to the next one: %v", len(gaps)+1, gaps)
		return witness.atMost(t, gaps[len(gaps)-1], 5*time.Second, "the hand-over")
	})
}
