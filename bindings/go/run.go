package elector

import (
	"context"
	"errors"
	"time"

	"github.com/elector/elector/bindings/go/internal/library"
)

// Term is the term that a piece of work runs under.
type Term struct {
	// Token is the fencing token, for every resource that checks it.
	Token   uint64
	elector *Elector
}

// IsCurrent is whether this very term is still trusted. It is while it is kept for work that is to stop.
func (t Term) IsCurrent() bool { return t.TrustedFor() > 0 }

// TrustedFor is the time from this call until the hard deadline, when trust in this term ends; 0 once the
// term is over. A renewal extends it. Everything that only the leader may do must have ended by then: another
// candidate can lead from that instant on.
func (t Term) TrustedFor() time.Duration {
	if t.elector == nil {
		return 0
	}
	token, trustedFor := t.elector.term()
	if token == t.Token {
		return trustedFor
	}
	// A term that is kept for work that is to stop is no leadership, and lasts.
	if kept := t.elector.Leadership(); kept.Token == t.Token {
		return kept.TrustedFor
	}
	return 0
}

// WorkFor is the time from this call until the soft deadline, a tenth of the lease before the hard one; 0
// past it and once the term is over. A renewal extends it. Start nothing new by then: at that instant Run
// ends the context of the work. While a run that was told to stop drains, start nothing new at all: this is
// how long the work in progress may still run.
func (t Term) WorkFor() time.Duration {
	if t.elector == nil {
		return 0
	}
	if found := t.elector.Leadership(); found.Token == t.Token {
		return found.WorkFor
	}
	return 0
}

// Run campaigns, and calls work as soon as this candidate is elected. When work returns, it releases, waits
// up to a second for the store to confirm that, and returns what work did.
//
// The context that work gets ends before the term does: when renewals fail and the term may end soon, when
// it is lost, and at the latest when its trust ends by the clock, even if no news comes. Its cause is then an
// ErrTermOver that says why. Go cannot stop work from outside: it must heed its context, and return. By then
// this candidate does not lead any more; a lease that it still has is kept until work has returned, if that
// is possible. Then work is called again as soon as this candidate is elected anew, under
// a larger token: what it returned, late as it was, does not count. So a nil from work ends Run only if the
// term lasted.
//
// To stop it, as on SIGTERM, end ctx. The context of work ends with it, and this candidate stands down a
// moment later. The lease is kept for work that winds down, so that the next leader begins after it: it is
// renewed for at most Options.Drain, and what is left of it then ends by itself. Run returns when work has,
// with what work returned; with the cause of ctx if the lease ended before, or if ctx ended while Run
// waited to be elected.
//
// One elector runs one piece of work at a time: another Run is refused with ErrBusy until the first one has
// returned. Campaign has no effect on a Run that goes on.
//
// When another call stands this candidate down, the context ends with ErrReleased, and so does Run
// once work has returned; ErrClosed with Close. A panic of work goes through Run, which releases.
func (e *Elector) Run(ctx context.Context, work func(ctx context.Context, term Term) error) error {
	if !e.running.CompareAndSwap(false, true) {
		return e.busy()
	}
	defer e.running.Store(false)
	down, err := e.campaign()
	if err != nil {
		return err
	}
	defer e.standDownAfter(down)
	for {
		token, at, err := e.elected(ctx, down)
		if err != nil {
			return err
		}
		result, over := e.serve(ctx, down, token, at, work)
		if over == nil {
			return result
		}
		e.noteLate(ctx, result, over)
		if !errors.Is(over, ErrTermOver) {
			return over
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err := e.standAgain(down); err != nil {
			return err
		}
	}
}

// Waits for a term in which work may be started.
func (e *Elector) elected(ctx context.Context, down <-chan struct{}) (uint64, *link, error) {
	for {
		if ctx.Err() != nil {
			return 0, nil, context.Cause(ctx)
		}
		// Taken before the questions, so that what comes after the answers is seen by who watches the term.
		at := e.feed.last.Load()
		token := e.Token()
		switch {
		case isClosed(down):
			// Asked after the token, which may be that of others who stand since then.
			return 0, nil, e.downError()
		case token != 0 && token != e.feed.stopped.Load():
			return token, at, nil
		}
		select {
		case <-at.told:
		case <-ctx.Done():
		case <-down:
		}
	}
}

// Runs work under a term. Gives what it returned, and why the term ended if that was first.
func (e *Elector) serve(
	ctx context.Context, down <-chan struct{}, token uint64, at *link,
	work func(context.Context, Term) error,
) (result, over error) {
	if !e.beginWork(down) {
		return nil, e.downError()
	}
	defer e.endWork()
	underTerm, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	returned, watched := make(chan struct{}), make(chan error, 1)
	go func() { watched <- e.watch(ctx.Done(), returned, down, token, at, cancel) }()
	defer func() {
		close(returned)
		over = <-watched
	}()
	return work(underTerm, Term{Token: token, elector: e}), nil
}

// Whether work may begin: not once this candidate was stood down.
func (e *Elector) beginWork(down <-chan struct{}) bool {
	s := &e.standing
	s.Lock()
	defer s.Unlock()
	if s.down != down {
		return false
	}
	s.working = down
	return true
}

func (e *Elector) endWork() {
	s := &e.standing
	s.Lock()
	defer s.Unlock()
	s.working = nil
}

// Watches a term until work has returned, and cancels its context when the term ends; then it says why. When
// it is asked to stop, it has the term kept for the work.
func (e *Elector) watch(
	stop, returned, down <-chan struct{}, token uint64, at *link, cancel context.CancelCauseFunc,
) error {
	// Even if the machine is suspended meanwhile, which Go's timers do not notice, it looks once a second.
	const longest = time.Second
	stopping := false
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		var over error
		select {
		case <-returned:
			// Work itself may be the first to notice the end of the term, before any news of it. Whether
			// somebody released is asked after that: who does so says it before trust is withdrawn.
			if (Term{token, e}).IsCurrent() && !isClosed(down) {
				return nil
			}
			over = e.failure(ErrTermOver, "term %d was over when its work returned", token)
		case <-down:
			over = e.downError()
		case <-stop:
			// The context of the work has ended with that of Run.
			stop, stopping = nil, true
			e.keepFor(down)
		case <-at.told:
			// Of a term that is kept, only the end is news.
			if !stopping || at.change.Event == EventDeposed {
				over = e.ends(at.change, token)
			}
			at = at.next
		case <-timer.C:
			// A renewal is told to nobody, so the clock is asked again.
			trustedFor := Term{token, e}.TrustedFor()
			timer.Reset(min(trustedFor, longest))
			if trustedFor == 0 {
				over = e.failure(ErrTermOver, "the trust of term %d ended before it was renewed", token)
			}
		}
		if over != nil {
			// Whatever else was noticed first, this is the cause.
			if isClosed(down) {
				over = e.downError()
			} else {
				e.keepFor(down)
			}
			cancel(over)
			return over
		}
	}
}

// Why a change ends the term; nil if it does not.
func (e *Elector) ends(change Change, token uint64) error {
	switch {
	case change.Token != token:
		return nil
	case change.Event == EventStopNewWork:
		return e.failure(ErrTermOver, "term %d may end soon: no renewal came through", token)
	case change.Event != EventDeposed:
		return nil
	case change.Reason == ReasonReleased:
		return e.downError()
	default:
		return e.failure(ErrTermOver, "term %d is over: %v", token, change.Reason)
	}
}

// While work that is cancelled returns, nobody else should start. Nor should this candidate, without working.
func (e *Elector) keepFor(down <-chan struct{}) {
	s := &e.standing
	s.Lock()
	defer s.Unlock()
	if s.down == down {
		_ = e.keep(down, e.drains)
	}
}

// Begins anew after a term: the rest of that one is of no use to work that was cut off.
func (e *Elector) standAgain(down <-chan struct{}) error {
	s := &e.standing
	s.Lock()
	defer s.Unlock()
	if s.down != down {
		return e.downError()
	}
	if err := e.call(func() *library.Fault { return e.handle.Release(0) }); err != nil {
		return err
	}
	return e.stand()
}

// Releases at the end of Run, unless somebody else stood this candidate down.
func (e *Elector) standDownAfter(down <-chan struct{}) {
	if e.leaveAfter(down) {
		ctx, cancel := context.WithTimeout(context.Background(), parting)
		defer cancel()
		// What the store does not confirm ends by itself.
		_ = e.confirm(ctx)
	}
}

// Whether a release is to be confirmed. If somebody else stood this candidate down, Run ends a drain of its
// own term all the same: whoever began that, the work is done, or was never begun. A term that is kept for
// work of others it leaves to them.
func (e *Elector) leaveAfter(down <-chan struct{}) bool {
	s := &e.standing
	s.Lock()
	defer s.Unlock()
	switch down {
	case s.down:
		if e.keepsForOthers(down) {
			s.standDown()
			// What is drained goes on so, and does not stand afterwards.
			_ = e.call(func() *library.Fault { return e.handle.Drain() })
			return false
		}
		return e.release() == nil
	case s.keptFor:
		_ = e.call(func() *library.Fault { return e.handle.Drained() })
	}
	return false
}

// Whether the term that the library drains is that of others than those who stand now.
func (e *Elector) keepsForOthers(down <-chan struct{}) bool {
	s := &e.standing
	now := e.Leadership()
	return s.keptFor != down && now.Token != 0 && now.Token == s.kept && !now.IsLeader
}

// Why this candidate was stood down.
func (e *Elector) downError() error {
	if e.standing.over.Load() {
		return e.closedError()
	}
	return e.released()
}
