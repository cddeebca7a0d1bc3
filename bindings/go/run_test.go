package elector_test

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	elector "github.com/elector/elector/bindings/go"
)

// Waits for the end of the work's context, and returns its cause.
func untilOver(t testing.TB, ctx context.Context) error {
	t.Helper()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(soon):
		t.Error("the context does not end")
		return nil
	}
}

func TestWorkRunsUnderATermAndReturns(t *testing.T) {
	onEachStore(t, func(t *testing.T, store string) {
		runner := candidate(t, long(elector.Options{Store: store}))
		failure := errors.New("what the work said")
		var ran elector.Term
		err := runner.Run(within(t, soon), func(ctx context.Context, term elector.Term) error {
			if !term.IsCurrent() || term.TrustedFor() <= 0 || term.Token != runner.Token() || !runner.IsLeader() {
				t.Errorf("%+v", term)
			}
			if now := runner.Leadership(); term.WorkFor() <= 0 || now.WorkFor >= now.TrustedFor {
				t.Errorf("the soft deadline comes before the hard one: %+v, %v", now, term.WorkFor())
			}
			ran = term
			if ctx.Err() != nil {
				t.Error(ctx.Err())
			}
			return failure
		})
		if err != failure {
			t.Error(err)
		}
		if ran.TrustedFor() != 0 || ran.WorkFor() != 0 {
			t.Errorf("of a term that is over: %v, %v", ran.TrustedFor(), ran.WorkFor())
		}
		if runner.IsLeader() || runner.Leadership().Reason != elector.ReasonReleased {
			t.Errorf("%+v", runner.Leadership())
		}
		must(t, runner.Run(within(t, soon), func(context.Context, elector.Term) error { return nil }))
	})
}

func TestWorkIsCancelledAtTheSoftDeadlineAndCalledAgainUnderALargerToken(t *testing.T) {
	t.Parallel()
	file := newFile(t)
	runner := candidate(t, elector.Options{
		Election: "nightly", Store: file.store(), Lease: 3 * time.Second, Margin: 100 * time.Millisecond,
	})
	var tokens []uint64
	err := runner.Run(within(t, soon), func(ctx context.Context, term elector.Term) error {
		tokens = append(tokens, term.Token)
		if len(tokens) > 1 {
			return nil
		}
		file.hang()
		// Trust lasts at least until then.
		until := time.Now()
		until = until.Add(term.TrustedFor())
		cause := untilOver(t, ctx)
		left := runner.Leadership()
		if !errors.Is(cause, elector.ErrTermOver) || ctx.Err() != context.Canceled {
			t.Errorf("%v, %v", cause, ctx.Err())
		}
		// On a busy machine trust may have ended by now.
		kept := left.Token == term.Token && left.TrustedFor > 0
		if left.IsLeader || !kept && time.Now().Before(until) {
			t.Errorf("the lease is kept while the work winds down, and it does not lead: %+v", left)
		}
		file.work()
		return errors.New("cut off")
	})
	must(t, err)
	if len(tokens) < 2 || tokens[1] <= tokens[0] {
		t.Errorf("tokens %v", tokens)
	}
}

func TestWorkIsCancelledWhenItsTermIsLost(t *testing.T) {
	t.Parallel()
	file := newFile(t)
	runner := candidate(t, short(elector.Options{Store: file.store()}))
	var tokens []uint64
	must(t, runner.Run(within(t, soon), func(ctx context.Context, term elector.Term) error {
		tokens = append(tokens, term.Token)
		if len(tokens) > 1 {
			return nil
		}
		file.remove()
		if cause := untilOver(t, ctx); !errors.Is(cause, elector.ErrTermOver) {
			t.Error(cause)
		}
		if term.IsCurrent() || runner.IsLeader() {
			t.Error("the term is over")
		}
		// Until this work has returned, this candidate must not be elected again: it would lead without
		// working.
		time.Sleep(time.Second)
		if runner.IsLeader() {
			t.Error("it leads, and no work runs")
		}
		return nil
	}))
	if len(tokens) < 2 || tokens[1] <= tokens[0] {
		t.Errorf("tokens %v", tokens)
	}
}

func TestWorkThatReturnsBeforeTheLossIsReportedIsCalledAgain(t *testing.T) {
	t.Parallel()
	for range 5 {
		file := newFile(t)
		runner := candidate(t, short(elector.Options{Store: file.store()}))
		var tokens []uint64
		must(t, runner.Run(within(t, soon), func(_ context.Context, term elector.Term) error {
			tokens = append(tokens, term.Token)
			if len(tokens) == 1 {
				file.remove()
				for term.IsCurrent() {
					runtime.Gosched()
				}
			}
			return nil
		}))
		if len(tokens) < 2 || tokens[1] <= tokens[0] {
			t.Errorf("tokens %v", tokens)
		}
		end(t, runner)
	}
}

func TestWorkGoesOnThroughRenewals(t *testing.T) {
	t.Parallel()
	runner := candidate(t, brisk(elector.Options{Store: memory(t), Renew: time.Second}))
	calls := 0
	must(t, runner.Run(within(t, soon), func(ctx context.Context, term elector.Term) error {
		calls++
		// Longer than one lease.
		select {
		case <-ctx.Done():
			t.Error(context.Cause(ctx))
		case <-time.After(11 * time.Second):
		}
		if !term.IsCurrent() {
			t.Error("the term is renewed")
		}
		return nil
	}))
	if calls != 1 {
		t.Errorf("%d terms", calls)
	}
}

func TestWorkEndsWithAnErrorWhenAnotherCallReleasesDrainsOrCloses(t *testing.T) {
	t.Parallel()
	giveUps := map[string]struct {
		do   func(*elector.Elector) error
		kind error
	}{
		"release": {func(e *elector.Elector) error { return e.Release(within(t, soon)) }, elector.ErrReleased},
		"drain":   {(*elector.Elector).Drain, elector.ErrReleased},
		"close":   {func(e *elector.Elector) error { end(t, e); return nil }, elector.ErrClosed},
	}
	for name, giveUp := range giveUps {
		runner := candidate(t, long(elector.Options{Store: memory(t), Election: name}))
		err := runner.Run(within(t, soon), func(ctx context.Context, _ elector.Term) error {
			must(t, giveUp.do(runner))
			if cause := untilOver(t, ctx); !errors.Is(cause, giveUp.kind) {
				t.Errorf("%s: %v", name, cause)
			}
			return nil
		})
		if !errors.Is(err, giveUp.kind) {
			t.Errorf("%s: %v", name, err)
		}
		eventually(t, "nothing is kept", func() bool { return runner.Leadership().Token == 0 })
	}
}

// The result of Run does not depend on which is noticed first: that the work has returned, or that another
// call stood the candidate down.
func TestWorkThatReturnsAsItIsStoodDownEndsWithAnError(t *testing.T) {
	t.Parallel()
	for name, giveUp := range map[string]func(*elector.Elector) error{
		"release": func(e *elector.Elector) error { return e.Release(within(t, soon)) },
		"drain":   (*elector.Elector).Drain,
	} {
		for range 20 {
			runner := candidate(t, long(elector.Options{Store: memory(t), Election: name}))
			err := runner.Run(within(t, soon), func(context.Context, elector.Term) error { return giveUp(runner) })
			if !errors.Is(err, elector.ErrReleased) {
				t.Errorf("%s: %v", name, err)
			}
			if token := runner.Leadership().Token; token != 0 {
				t.Fatalf("%s: the work has returned, and term %d is kept", name, token)
			}
			end(t, runner)
		}
	}
}

func TestNoTermIsKeptAfterWorkThatReturnsDuringADrain(t *testing.T) {
	t.Parallel()
	for range 40 {
		runner := candidate(t, long(elector.Options{Store: memory(t)}))
		drained := make(chan error, 1)
		err := runner.Run(within(t, soon), func(ctx context.Context, _ elector.Term) error {
			go func() { drained <- runner.Drain() }()
			untilOver(t, ctx)
			return nil
		})
		if !errors.Is(err, elector.ErrReleased) {
			t.Error(err)
		}
		must(t, <-drained)
		if token := runner.Leadership().Token; token != 0 {
			t.Fatalf("the work has returned, and term %d is kept", token)
		}
		end(t, runner)
	}
}

func TestNoTermIsKeptAfterAPanicOfWorkInADrain(t *testing.T) {
	t.Parallel()
	runner := candidate(t, long(elector.Options{Store: memory(t)}))
	func() {
		defer func() {
			if said := recover(); said != "planted" {
				t.Error(said)
			}
		}()
		_ = runner.Run(within(t, soon), func(ctx context.Context, _ elector.Term) error {
			must(t, runner.Drain())
			untilOver(t, ctx)
			panic("planted")
		})
	}()
	if token := runner.Leadership().Token; token != 0 {
		t.Errorf("the work has panicked, and term %d is kept", token)
	}
}

// Work of a Run that returns when the test calls finish.
type piece struct {
	term  elector.Term
	ctx   context.Context
	end   chan struct{}
	ended chan error
}

func startPiece(t testing.TB, runner *elector.Elector) *piece {
	t.Helper()
	work := &piece{end: make(chan struct{}), ended: make(chan error, 1)}
	began := make(chan struct{})
	go func() {
		work.ended <- runner.Run(within(t, soon), func(ctx context.Context, term elector.Term) error {
			work.term, work.ctx = term, ctx
			close(began)
			<-work.end
			return nil
		})
	}()
	select {
	case <-began:
	case err := <-work.ended:
		t.Fatalf("no work: %v", err)
	}
	return work
}

// Ends the work, and returns the result of its Run.
func (p *piece) finish() error {
	close(p.end)
	return <-p.ended
}

func TestWorkOfAnEarlierTermDoesNotEndTheDrainOfALaterTerm(t *testing.T) {
	t.Parallel()
	runner := candidate(t, long(elector.Options{Store: memory(t)}))
	late := startPiece(t, runner)
	must(t, runner.Release(within(t, soon)))
	next := lead(t, runner)
	must(t, runner.Drain())
	if err := late.finish(); !errors.Is(err, elector.ErrReleased) {
		t.Error(err)
	}
	if token := runner.Leadership().Token; token != next {
		t.Errorf("the work of term %d goes on, but its lease is not kept: the token is %d", next, token)
	}
	must(t, runner.Drained())
	keepsNothing(t, runner)
}

func TestACandidateThatWaitsForDrainedWorkIsElectedAfterIt(t *testing.T) {
	t.Parallel()
	runner := candidate(t, long(elector.Options{Store: memory(t)}))
	work := startPiece(t, runner)
	must(t, runner.Drain())
	must(t, runner.Campaign())
	time.Sleep(50 * time.Millisecond)
	if token := runner.Leadership().Token; token != work.term.Token {
		t.Errorf("the work goes on, and its term is not kept: %d", token)
	}
	if err := work.finish(); !errors.Is(err, elector.ErrReleased) {
		t.Error(err)
	}
	awaitLarger(t, runner, work.term.Token)
}

func TestASecondDrainKeepsTheTermOfWorkThatGoesOn(t *testing.T) {
	t.Parallel()
	runner := candidate(t, long(elector.Options{Store: memory(t)}))
	work := startPiece(t, runner)
	must(t, runner.Drain())
	must(t, runner.Campaign())
	must(t, runner.Drain())
	if token := runner.Leadership().Token; token != work.term.Token {
		t.Errorf("the work goes on, and its term is not kept: %d", token)
	}
	if err := work.finish(); !errors.Is(err, elector.ErrReleased) {
		t.Error(err)
	}
	keepsNothing(t, runner)
}

func TestAnElectorRunsOnePieceOfWorkAtATime(t *testing.T) {
	t.Parallel()
	runner := candidate(t, long(elector.Options{Store: memory(t)}))
	work := startPiece(t, runner)
	err := runner.Run(within(t, soon), func(context.Context, elector.Term) error {
		t.Error("two at once")
		return nil
	})
	if !errors.Is(err, elector.ErrBusy) || !strings.Contains(err.Error(), "other work") {
		t.Error(err)
	}
	must(t, runner.Campaign())
	if !work.term.IsCurrent() || work.ctx.Err() != nil {
		t.Error("the second Run ended the work of the first")
	}
	must(t, work.finish())
	must(t, runner.Run(within(t, soon), func(context.Context, elector.Term) error { return nil }))
}

func TestTheEndOfARunDoesNotUndoALaterCampaign(t *testing.T) {
	t.Parallel()
	over, cancel := context.WithCancel(context.Background())
	cancel()
	for range 100 {
		runner := candidate(t, long(elector.Options{Store: memory(t)}))
		work := startPiece(t, runner)
		close(work.end)
		if err := runner.Release(over); !errors.Is(err, elector.ErrTimeout) {
			t.Error(err)
		}
		must(t, runner.Campaign())
		if err := <-work.ended; err != nil && !errors.Is(err, elector.ErrReleased) {
			t.Error(err)
		}
		awaitLeader(t, runner)
		end(t, runner)
	}
}

func TestAWaitingRunEndsWhenAnotherCallReleasesOrCloses(t *testing.T) {
	t.Parallel()
	lead(t, candidate(t, long(elector.Options{Store: memory(t), Candidate: "a"})))
	for kind, giveUp := range map[error]func(*elector.Elector) error{
		elector.ErrReleased: func(e *elector.Elector) error { return e.Release(within(t, soon)) },
		elector.ErrClosed:   (*elector.Elector).Close,
	} {
		waiting := candidate(t, long(elector.Options{Store: memory(t), Candidate: "b"}))
		go func() {
			// Only a candidate that campaigns knows the leader.
			for known := false; !known; time.Sleep(time.Millisecond) {
				_, known = waiting.Leader()
			}
			giveUp(waiting)
		}()
		err := waiting.Run(within(t, soon), func(context.Context, elector.Term) error { return nil })
		if !errors.Is(err, kind) {
			t.Errorf("%v instead of %v", err, kind)
		}
	}
}

func TestCancellingARunCancelsTheWorkAndReleasesAfterIt(t *testing.T) {
	t.Parallel()
	first := candidate(t, long(elector.Options{Store: memory(t), Candidate: "a"}))
	second := candidate(t, long(elector.Options{Store: memory(t), Candidate: "b"}))
	why := errors.New("enough")
	ctx, cancel := context.WithCancelCause(context.Background())
	err := first.Run(ctx, func(ctx context.Context, term elector.Term) error {
		must(t, second.Campaign())
		cancel(why)
		cause := untilOver(t, ctx)
		eventually(t, "the candidate does not lead", func() bool { return !first.IsLeader() })
		time.Sleep(300 * time.Millisecond)
		if !term.IsCurrent() || second.IsLeader() {
			t.Error("the term is not kept while the work ends")
		}
		return cause
	})
	if err != why || first.IsLeader() {
		t.Errorf("%v, leader: %v", err, first.IsLeader())
	}
	awaitLeader(t, second)
	// A Run that waits to be elected ends at once, and the candidate does not campaign any more.
	ctx, cancel = context.WithCancelCause(context.Background())
	time.AfterFunc(50*time.Millisecond, func() { cancel(why) })
	if err := first.Run(ctx, func(context.Context, elector.Term) error { return nil }); err != why {
		t.Error(err)
	}
	must(t, second.Release(within(t, soon)))
	time.Sleep(300 * time.Millisecond)
	if first.IsLeader() {
		t.Error("it campaigns after its Run has ended")
	}
}

// The next leader is elected when the lease has expired, although the work has not returned.
func TestWorkThatDoesNotStopKeepsItsTermOnlyUntilTheLeaseExpires(t *testing.T) {
	t.Parallel()
	first := candidate(t, short(elector.Options{Store: memory(t), Candidate: "a", Drain: time.Millisecond}))
	second := candidate(t, long(elector.Options{Store: memory(t), Candidate: "b"}))
	why := errors.New("enough")
	ctx, cancel := context.WithCancelCause(context.Background())
	err := first.Run(ctx, func(_ context.Context, term elector.Term) error {
		cancel(why)
		eventually(t, "it drains", func() bool { return !first.IsLeader() })
		must(t, second.Campaign())
		awaitLeader(t, second)
		if term.IsCurrent() || term.Token == first.Leadership().Token {
			t.Error("the term is over")
		}
		return nil
	})
	if err != why {
		t.Errorf("its term was over when it returned: %v", err)
	}
	if reason := first.Leadership().Reason; reason != elector.ReasonStalled && reason != elector.ReasonExpired {
		t.Error(reason)
	}
}

func TestAPanicOfTheWorkPassesThroughRunWhichReleases(t *testing.T) {
	t.Parallel()
	runner := candidate(t, long(elector.Options{Store: memory(t)}))
	func() {
		defer func() {
			if said := recover(); said != "planted" {
				t.Error(said)
			}
		}()
		_ = runner.Run(within(t, soon), func(context.Context, elector.Term) error { panic("planted") })
	}()
	if runner.IsLeader() {
		t.Error("released")
	}
}

func TestTermsAreSerial(t *testing.T) {
	t.Parallel()
	store := memory(t)
	var working atomic.Int32
	ctx, cancel := context.WithCancel(within(t, soon))
	defer cancel()
	var terms atomic.Int32
	done := make(chan error)
	for range 4 {
		runner := candidate(t, brisk(elector.Options{Store: store}))
		go func() {
			for {
				err := runner.Run(ctx, func(context.Context, elector.Term) error {
					if working.Add(1) != 1 {
						t.Error("two at once")
					}
					runtime.Gosched()
					working.Add(-1)
					if terms.Add(1) == 40 {
						cancel()
					}
					return nil
				})
				if err != nil {
					done <- err
					return
				}
				if ctx.Err() != nil {
					done <- nil
					return
				}
			}
		}()
	}
	for range 4 {
		if err := <-done; err != nil && !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	}
	if served := terms.Load(); served < 40 {
		t.Errorf("%d terms", served)
	}
}

// Fails the test if a term is still kept, which would delay the next leader.
func keepsNothing(t *testing.T, candidate *elector.Elector) {
	t.Helper()
	if token := candidate.Leadership().Token; token != 0 {
		t.Errorf("term %d is kept", token)
	}
}
