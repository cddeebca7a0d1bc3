package elector_test

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"runtime"
	"runtime/pprof"
	"strings"
	"sync"
	"testing"
	"time"

	elector "github.com/elector/elector/bindings/go"
)

func TestClosingStandsDown(t *testing.T) {
	onEachStore(t, func(t *testing.T, store string) {
		first := candidate(t, long(elector.Options{Store: store, Candidate: "a"}))
		second := candidate(t, long(elector.Options{Store: store, Candidate: "b"}))
		old := lead(t, first)
		must(t, second.Campaign())
		changes := first.Changes(context.Background())
		end(t, first)
		if first.IsLeader() {
			t.Error("closed")
		}
		if token := awaitLeader(t, second); token <= old {
			t.Errorf("token %d after %d", token, old)
		}
		deposed := false
		for change := range changes {
			deposed = deposed || change.Event == elector.EventDeposed && change.Reason == elector.ReasonReleased
		}
		if !deposed {
			t.Error("the stream ends, and does not say why the term did")
		}
	})
}

func TestAClosedElectorAndTheZeroOneAnswerEverything(t *testing.T) {
	t.Parallel()
	closed := candidate(t, long(elector.Options{Store: memory(t)}))
	lead(t, closed)
	end(t, closed)
	end(t, closed)
	var zero elector.Elector
	for _, subject := range []*elector.Elector{closed, &zero} {
		leader, known := subject.Leader()
		if subject.IsLeader() || subject.Token() != 0 || known || leader != (elector.Leader{}) ||
			subject.Leadership() != (elector.Leadership{}) || subject.LastError() != nil {
			t.Error("it does not answer as a closed elector")
		}
		for range subject.Changes(context.Background()) {
			t.Error("it has a change")
		}
		ctx := within(t, soon)
		_, waited := subject.WaitUntilLeader(ctx)
		_, guarded := subject.GuardSQL()
		failures := map[string]error{
			"Campaign": subject.Campaign(),
			"Release":  subject.Release(ctx),
			"Drain":    subject.Drain(),
			"Drained":  subject.Drained(),
			"Alive":    subject.Alive(),
			"Connect":  subject.Connect(ctx),
			"Run":      subject.Run(ctx, func(context.Context, elector.Term) error { return nil }),
			"GuardTx":  subject.GuardTx(ctx, new(sql.Tx)),
			"Wait":     waited,
			"GuardSQL": guarded,
		}
		for name, err := range failures {
			if !errors.Is(err, elector.ErrClosed) {
				t.Errorf("%s: %v", name, err)
			}
		}
		must(t, subject.Close())
	}
	var term elector.Term
	if term.IsCurrent() || term.TrustedFor() != 0 || term.GuardTx(context.Background(), nil) == nil {
		t.Error("the zero term is over")
	}
}

func TestClosingSaysWhenTheStoreDoesNotConfirm(t *testing.T) {
	t.Parallel()
	file := newFile(t)
	subject := candidate(t, long(elector.Options{Store: file.store()}))
	lead(t, subject)
	file.hang()
	released := make(chan error, 1)
	go func() { released <- subject.Release(context.Background()) }()
	eventually(t, "the release begins", func() bool { return !subject.IsLeader() })
	if err := subject.Close(); !errors.Is(err, elector.ErrTimeout) || !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	if err := subject.Close(); !errors.Is(err, elector.ErrTimeout) {
		t.Errorf("the second Close: %v", err)
	}
	if err := <-released; !errors.Is(err, elector.ErrClosed) {
		t.Errorf("a release that waited: %v", err)
	}
	file.work()
}

func TestAReleaseIsConfirmedAlthoughACampaignFollows(t *testing.T) {
	t.Parallel()
	file := newFile(t)
	subject := candidate(t, brisk(elector.Options{Store: file.store()}))
	old := lead(t, subject)
	file.hang()
	released := make(chan error, 1)
	go func() { released <- subject.Release(within(t, soon)) }()
	eventually(t, "the release begins", func() bool { return !subject.IsLeader() })
	must(t, subject.Campaign())
	select {
	case err := <-released:
		t.Fatalf("the store cannot have confirmed it, and Release says %v", err)
	case <-time.After(200 * time.Millisecond):
	}
	file.work()
	must(t, <-released)
	if token := awaitLeader(t, subject); token <= old {
		t.Errorf("token %d after %d", token, old)
	}
}

func TestACampaignDuringAReleaseStandsWhenThatGivesUp(t *testing.T) {
	t.Parallel()
	file := newFile(t)
	subject := candidate(t, brisk(elector.Options{Store: file.store()}))
	old := lead(t, subject)
	file.hang()
	ctx, cancel := context.WithCancel(context.Background())
	released := make(chan error, 1)
	go func() { released <- subject.Release(ctx) }()
	eventually(t, "the release begins", func() bool { return !subject.IsLeader() })
	must(t, subject.Campaign())
	cancel()
	if err := <-released; !errors.Is(err, elector.ErrTimeout) || !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	file.work()
	if token := awaitLeader(t, subject); token <= old {
		t.Errorf("token %d after %d", token, old)
	}
}

// Many goroutines call all methods at once, and two call Close meanwhile: no call may crash, race or hang.
func TestCloseMayRaceWithEverything(t *testing.T) {
	t.Parallel()
	for range 25 {
		subject := candidate(t, short(elector.Options{Store: memory(t)}))
		ctx, cancel := context.WithCancel(context.Background())
		calls := []func(){
			func() { subject.IsLeader() },
			func() { subject.Token() },
			func() { subject.Leadership() },
			func() { subject.Leader() },
			func() { _ = subject.LastError() },
			func() { _ = subject.Campaign() },
			func() { _ = subject.Release(ctx) },
			func() { _ = subject.Drain(); _ = subject.Drained() },
			func() { _ = subject.Connect(ctx) },
			func() { _, _ = subject.GuardSQL() },
			func() {
				err := subject.Run(ctx, func(context.Context, elector.Term) error { return nil })
				// Other calls stand it down, close it and cancel; it must not end for another reason.
				if err != nil && !errors.Is(err, elector.ErrReleased) && !errors.Is(err, elector.ErrClosed) &&
					!errors.Is(err, context.Canceled) {
					t.Error(err)
				}
			},
			func() {
				for range subject.Changes(ctx) {
					break
				}
			},
		}
		var group sync.WaitGroup
		for _, call := range calls {
			group.Add(1)
			go func() {
				defer group.Done()
				for ctx.Err() == nil {
					call()
				}
			}()
		}
		time.Sleep(10 * time.Millisecond)
		for range 2 {
			group.Add(1)
			go func() {
				defer group.Done()
				_ = subject.Close()
				if subject.IsLeader() {
					t.Error("closed, and leader")
				}
			}()
		}
		time.Sleep(5 * time.Millisecond)
		cancel()
		group.Wait()
	}
}

// The stacks of this module's goroutines, except those of the tests.
func goroutines() (found []string) {
	var all strings.Builder
	_ = pprof.Lookup("goroutine").WriteTo(&all, 2)
	for _, stack := range strings.Split(all.String(), "\n\n") {
		if strings.Contains(stack, "bindings/go.(*") && !strings.Contains(stack, "testing.tRunner") {
			found = append(found, stack)
		}
	}
	return found
}

func threads(t testing.TB) int {
	tasks, err := os.ReadDir("/proc/self/task")
	must(t, err)
	return len(tasks)
}

func TestNoGoroutineAndNoThreadIsLeftAfterClose(t *testing.T) {
	// Not in parallel with other tests, so that all goroutines and threads belong to this test.
	eventually(t, "the goroutines of other tests end", func() bool { return len(goroutines()) == 0 })
	round := func() {
		var electors []*elector.Elector
		for _, store := range []string{memory(t), newFile(t).store()} {
			for _, name := range []string{"a", "b"} {
				electors = append(electors, candidate(t, long(elector.Options{Store: store, Candidate: name})))
			}
		}
		var group sync.WaitGroup
		for _, subject := range electors {
			group.Add(1)
			go func() {
				defer group.Done()
				err := subject.Run(within(t, soon), func(context.Context, elector.Term) error { return nil })
				if err != nil {
					t.Error(err)
				}
			}()
			_ = subject.Changes(context.Background())
		}
		group.Wait()
		for _, subject := range electors {
			end(t, subject)
		}
		// The goroutines are about to return, but may need a moment.
		eventually(t, "the goroutines end", func() bool { return len(goroutines()) == 0 })
	}
	// Go keeps threads that it once needed, so the first rounds may add threads.
	for range 5 {
		round()
	}
	before, goroutinesBefore := threads(t), runtime.NumGoroutine()
	const rounds = 20
	for range rounds {
		round()
	}
	eventually(t, "the library's threads end", func() bool { return libraryThreads(t) == 0 })
	// On a busy machine Go may need more threads, but fewer than one in each round.
	if after := threads(t); after >= before+rounds {
		t.Errorf("%d threads, then %d", before, after)
	}
	eventually(t, "goroutines", func() bool { return runtime.NumGoroutine() <= goroutinesBefore })
}
