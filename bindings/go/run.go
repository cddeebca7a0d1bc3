package elector

import (
	"context"
	"errors"
	"time"

	"github.com/elector/elector/bindings/go/internal/library"
)

// Term is the term under which Run called its work.
type Term struct {
	// Token is the fencing token, for every resource that checks it.
	Token   uint64
	elector *Elector
}

// IsCurrent reports whether this term is still trusted, also while it is kept for work that must stop.
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
	// A term that is kept for work that must stop is still trusted, although this candidate does not lead.
	if kept := t.elector.Leadership(); kept.Token == t.Token {
		return kept.TrustedFor
	}
	return 0
}

// WorkFor is the time from this call until the soft deadline, which comes a tenth of the lease before the
// hard deadline; 0 after the soft deadline, and once the term is over. A renewal extends it. Start no new
// work after the soft deadline: at that instant Run ends the context of the work. While Run drains after its
// context has ended, start no new work at all: WorkFor is then how long the work in progress may still run.
func (t Term) WorkFor() time.Duration {
	if t.elector == nil {
		return 0
	}
	if found := t.elector.Leadership(); found.Token == t.Token {
		return found.WorkFor
	}
	return 0
}

// Run campaigns, and calls work as soon as this candidate is elected. When work returns, Run releases, waits
// up to a second for the store to confirm the release, and returns the result of work.
//
// # The end of a term
//
// The context of work ends before the term does: at the soft deadline if renewals fail, when the term is
// lost, and at the latest when trust ends by the clock, even if this package receives no change. The cause of
// the context is then an ErrTermOver that says why. Go cannot stop work from outside: work must watch its
// context, and return. When the context ends, this candidate already does not lead any more. It keeps a lease
// that it still has until work has returned, if the lease can be renewed. Then Run calls work again as soon
// as this candidate is elected again, under a larger token. It ignores the late result of work, so a nil from
// work ends Run only if the term lasted until work returned.
//
// # To stop
//
// To stop Run, as on SIGTERM, end ctx. The context of work ends with ctx, and this candidate stands down a
// moment later. The lease is kept for work that is ending, so that the next leader begins after it: the lease
// is renewed for at most Options.Drain, and then expires. Run returns when work has returned, with the result
// of work. It returns the cause of ctx if the lease ended before work returned, or if ctx ended before this
// candidate was elected.
//
// # Other calls
//
// One elector runs one piece of work at a time: another Run fails with ErrBusy until the first has returned.
// Campaign has no effect on a Run in progress.
//
// If another call stands this candidate down, the context of work ends with ErrReleased, and Run fails with
// ErrReleased once work has returned; with ErrClosed after Close. A panic of work passes through Run, which
// releases.
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
		if err := e.campaignAgain(down); err != nil {
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
		// The end of the history is read first, so that watch receives every change after the token and state.
		at := e.history.last.Load()
		token := e.Token()
		switch {
		case isClosed(down):
			// Checked after the token, which may belong to a later campaign by another call.
			return 0, nil, e.downError()
		case token != 0 && token != e.history.stopped.Load():
			return token, at, nil
		}
		select {
		case <-at.ready:
		case <-ctx.Done():
		case <-down:
		}
	}
}

// Runs work under a term. Returns the result of work, and why the term ended if it ended before work
// returned.
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

// Whether work may begin: not if this candidate was stood down.
func (e *Elector) beginWork(down <-chan struct{}) bool {
	s := &e.intent
	s.Lock()
	defer s.Unlock()
	if s.down != down {
		return false
	}
	s.working = down
	return true
}

func (e *Elector) endWork() {
	s := &e.intent
	s.Lock()
	defer s.Unlock()
	s.working = nil
}

// Watches a term until work has returned. If the term ends first, it cancels the context of work and returns
// why. When stop is closed, it drains, so that the term is kept for the work.
func (e *Elector) watch(
	stop, returned, down <-chan struct{}, token uint64, at *link, cancel context.CancelCauseFunc,
) error {
	// Go's timers do not count the time for which the machine is suspended, so the clock is checked every
	// second.
	const longest = time.Second
	stopping := false
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		var over error
		select {
		case <-returned:
			// Work may have returned because it noticed the end of the term before any change was reported.
			// down is checked after the term: a release closes down before trust is withdrawn.
			if (Term{token, e}).IsCurrent() && !isClosed(down) {
				return nil
			}
			over = e.failure(ErrTermOver, "term %d was over when its work returned", token)
		case <-down:
			over = e.downError()
		case <-stop:
			// The context of work has ended with the context of Run.
			stop, stopping = nil, true
			e.keepFor(down)
		case <-at.ready:
			// In a term that is kept, only its end matters.
			if !stopping || at.change.Event == EventDeposed {
				over = e.ends(at.change, token)
			}
			at = at.next
		case <-timer.C:
			// A renewal is not reported, so the timer is set by the present end of trust.
			trustedFor := Term{token, e}.TrustedFor()
			timer.Reset(min(trustedFor, longest))
			if trustedFor == 0 {
				over = e.failure(ErrTermOver, "the trust of term %d ended before it was renewed", token)
			}
		}
		if over != nil {
			// If another call stood this candidate down, that is the cause, whatever was noticed first.
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
		return e.failure(ErrTermOver, "term %d may end soon: no renewal succeeded", token)
	case change.Event != EventDeposed:
		return nil
	case change.Reason == ReasonReleased:
		return e.downError()
	default:
		return e.failure(ErrTermOver, "term %d is over: %v", token, change.Reason)
	}
}

// Drains, so that neither another candidate nor this one begins a term before the cancelled work has
// returned.
func (e *Elector) keepFor(down <-chan struct{}) {
	s := &e.intent
	s.Lock()
	defer s.Unlock()
	if s.down == down {
		_ = e.keep(down, e.drains)
	}
}

// Releases a term whose work was cancelled, and campaigns again.
func (e *Elector) campaignAgain(down <-chan struct{}) error {
	s := &e.intent
	s.Lock()
	defer s.Unlock()
	if s.down != down {
		return e.downError()
	}
	if err := e.call(func() *library.Fault { return e.handle.Release(0) }); err != nil {
		return err
	}
	return e.campaignNow()
}

// Releases at the end of Run, unless another call stood this candidate down.
func (e *Elector) standDownAfter(down <-chan struct{}) {
	if e.leaveAfter(down) {
		ctx, cancel := context.WithTimeout(context.Background(), parting)
		defer cancel()
		// A lease whose release the store does not confirm expires by itself.
		_ = e.confirm(ctx)
	}
}

// Stands down at the end of Run. Returns whether the caller must wait for the store to confirm a release. If
// another call stood this candidate down with a drain of this Run's term, the drain is ended, because the
// work has returned or was never begun. A term that is kept for the work of another campaign stays kept.
func (e *Elector) leaveAfter(down <-chan struct{}) bool {
	s := &e.intent
	s.Lock()
	defer s.Unlock()
	switch down {
	case s.down:
		if e.keepsForOthers(down) {
			s.standDown()
			// The drain in progress continues, and the library does not campaign after it.
			_ = e.call(func() *library.Fault { return e.handle.Drain() })
			return false
		}
		return e.release() == nil
	case s.keptFor:
		_ = e.call(func() *library.Fault { return e.handle.Drained() })
	}
	return false
}

// Whether the library drains a term of another campaign than this one.
func (e *Elector) keepsForOthers(down <-chan struct{}) bool {
	s := &e.intent
	now := e.Leadership()
	return s.keptFor != down && now.Token != 0 && now.Token == s.kept && !now.IsLeader
}

// Why this candidate was stood down.
func (e *Elector) downError() error {
	if e.intent.over.Load() {
		return e.closedError()
	}
	return e.released()
}
