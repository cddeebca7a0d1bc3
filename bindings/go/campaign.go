package elector

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/elector/elector/bindings/go/internal/library"
)

const (
	// How long Close, and Run when it ends, wait for the store to confirm a release.
	parting = time.Second
	// The maximum time that Release waits after its ctx has ended.
	turn = 20 * time.Millisecond
)

// Whether the program wants its candidate to campaign, and for whom a drained term is kept. A campaign is
// identified by its channel down.
type intent struct {
	sync.Mutex
	// Closed by the call that stands this candidate down; nil while it does not campaign.
	down chan struct{}
	// The campaign whose work is running in Run; nil if no work runs.
	working <-chan struct{}
	// The token of the term that was drained last, and the campaign of that term. That campaign may be over,
	// and a later one may have begun, while the term is kept for work that has not returned.
	kept    uint64
	keptFor <-chan struct{}
	// The number of calls that wait for the store to confirm a release. While there are any, the library does
	// not campaign, because each turn of their waits releases again.
	waiting int
	// Whether Close was called. Set under the lock, before the candidate is stood down.
	over atomic.Bool
}

func (s *intent) standDown() {
	if s.down != nil {
		close(s.down)
		s.down = nil
	}
}

// Whether work of this campaign is running in Run.
func (s *intent) worksUnder(down <-chan struct{}) bool { return down != nil && down == s.working }

// Campaign makes this candidate take part in the election until Release, Drain or Close. After a lost term it
// campaigns again by itself. If it campaigns already, Campaign has no effect. It returns at once.
func (e *Elector) Campaign() error {
	_, err := e.campaign()
	return err
}

// Campaigns, and returns the channel that is closed when this candidate is stood down.
func (e *Elector) campaign() (<-chan struct{}, error) {
	s := &e.intent
	s.Lock()
	defer s.Unlock()
	if s.over.Load() {
		return nil, e.closedError()
	}
	if err := e.campaignNow(); err != nil {
		return nil, err
	}
	if s.down == nil {
		s.down = make(chan struct{})
	}
	return s.down, nil
}

// Makes the library campaign, under the lock. It does nothing in two cases: while calls wait for a release,
// since the last of them makes the library campaign afterwards; and while work of this campaign runs, since
// the library campaigns already, or Run makes it campaign once the work has returned.
func (e *Elector) campaignNow() error {
	s := &e.intent
	return e.call(func() *library.Fault {
		if s.waiting > 0 || s.worksUnder(s.down) {
			return nil
		}
		return e.handle.Campaign()
	})
}

// WaitUntilLeader waits until this candidate leads, and returns the term's token. Call Campaign first.
//
// It fails with the cause of ctx if ctx ends first, and with ErrClosed after Close.
func (e *Elector) WaitUntilLeader(ctx context.Context) (uint64, error) {
	e.fetch()
	at := e.history.last.Load()
	for {
		if token := e.Token(); token != 0 {
			return token, nil
		}
		if at == nil || !e.history.wait(ctx, at) {
			if ctx.Err() != nil {
				return 0, context.Cause(ctx)
			}
			return 0, e.closedError()
		}
		at = at.next
	}
}

// Release stands down: this candidate does not lead from the call on, and does not campaign until the next
// Campaign. Then Release waits until the store has confirmed the release, so that the next candidate can lead
// at once. A second call has no further effect.
//
// A Campaign during the wait does not end it; it takes effect when no Release waits any more.
//
// If ctx ends before the store has confirmed, Release fails with ErrTimeout and the cause of ctx. The
// candidate has stood down nevertheless, and its lease expires by itself. If ctx has ended already, Release
// stands down and does not wait.
func (e *Elector) Release(ctx context.Context) error {
	if err := e.leave(false); err != nil {
		return err
	}
	return e.confirm(ctx)
}

// Stands down. The caller then calls confirm.
func (e *Elector) leave(closing bool) error {
	s := &e.intent
	s.Lock()
	defer s.Unlock()
	if s.over.Load() && !closing {
		return e.closedError()
	}
	if closing {
		s.over.Store(true)
	}
	return e.release()
}

// Stands down, under the lock. After success the caller must call confirm.
func (e *Elector) release() error {
	s := &e.intent
	s.standDown()
	err := e.call(func() *library.Fault { return e.handle.Release(0) })
	if err == nil {
		s.waiting++
	}
	return err
}

// Waits until the store has confirmed that this candidate stood down.
func (e *Elector) confirm(ctx context.Context) error {
	defer e.confirmed()
	for ctx.Err() == nil {
		// The library does not know ctx, so the wait is divided into turns. The library does not campaign
		// meanwhile, so the release that begins each turn changes nothing.
		patience := turn
		if deadline, limited := ctx.Deadline(); limited {
			patience = max(min(turn, time.Until(deadline)), time.Millisecond)
		}
		err := e.call(func() *library.Fault { return e.handle.Release(patience) })
		if !errors.Is(err, ErrTimeout) {
			return err
		}
	}
	return e.unconfirmed(ctx, "the store did not confirm the release in time, so the lease expires by itself")
}

// Ends the wait of one call. If it was the last and the program has called Campaign meanwhile, it makes the
// library campaign.
func (e *Elector) confirmed() {
	s := &e.intent
	s.Lock()
	defer s.Unlock()
	s.waiting--
	if s.down != nil {
		_ = e.campaignNow()
	}
}

// The error of a call whose ctx ended before the store answered.
func (e *Elector) unconfirmed(ctx context.Context, what string) error {
	hint := "check that the store is reachable, or wait longer"
	if lastError := e.LastError(); lastError != nil {
		hint = fmt.Sprintf("the store's last error was: %v", lastError)
	}
	failure := e.failure(ErrTimeout, "%s; %s", what, hint)
	failure.kinds = append(failure.kinds, context.Cause(ctx))
	return failure
}

// Drain stands down once the work in progress is done. This candidate does not lead from the call on, but it
// keeps the lease, so that no other candidate begins, until Drained or until the lease can be renewed no
// longer. For work of Run, Run calls Drained once the work has returned, and until then renews for at most
// Options.Drain. If this candidate does not lead, Drain is Release without the wait for the store.
func (e *Elector) Drain() error { return e.drainBy(e.drains) }

// DrainFor is Drain with a bound: the lease is renewed for at most drain. Work that takes longer keeps the
// remaining time of the lease, and the next leader is elected when the lease has expired. If several bounds
// are given, the earliest counts.
func (e *Elector) DrainFor(drain time.Duration) error {
	return e.drainBy(func(<-chan struct{}) *library.Fault { return e.handle.DrainFor(drain) })
}

func (e *Elector) drainBy(drain func(down <-chan struct{}) *library.Fault) error {
	s := &e.intent
	s.Lock()
	defer s.Unlock()
	down := s.down
	s.standDown()
	return e.keep(down, drain)
}

// Makes the library drain. A term that is kept already stays assigned to its campaign.
func (e *Elector) keep(down <-chan struct{}, drain func(down <-chan struct{}) *library.Fault) error {
	s := &e.intent
	return e.call(func() *library.Fault {
		fault := drain(down)
		if token := e.handle.Leadership().Token; token != s.kept {
			s.kept, s.keptFor = token, down
		}
		return fault
	})
}

// Drains, with a bound for work of Run: work that hangs must not keep its term for ever.
func (e *Elector) drains(down <-chan struct{}) *library.Fault {
	if e.intent.worksUnder(down) {
		return e.handle.DrainFor(e.drain)
	}
	return e.handle.Drain()
}

// Drained reports that the work in progress is done, which ends the drain and releases the lease. If this
// candidate does not drain, it has no effect.
func (e *Elector) Drained() error {
	// The lock makes a concurrent call of Drain begin its drain before this call ends it.
	e.intent.Lock()
	defer e.intent.Unlock()
	return e.call(func() *library.Fault { return e.handle.Drained() })
}

// Close stands down, and waits up to one second for the store to confirm the release, so that the next
// candidate can lead at once. It ends everything that this elector began: contexts of Run, iterators of
// Changes, goroutines, and, if it was the last elector of its store, the library's threads and connection.
// IsLeader is false from the call on.
//
// It fails with ErrTimeout if the store did not confirm. The elector is closed nevertheless, and its lease
// expires by itself. The first call closes; every later or concurrent call returns the result of the first.
//
// If the process ends without Close, the other candidates wait until the lease has expired.
func (e *Elector) Close() error {
	e.closing.Do(func() { e.closed = e.close() })
	return e.closed
}

func (e *Elector) close() error {
	if !e.gate.open.Load() {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), parting)
	defer cancel()
	err := e.leave(true)
	if err == nil {
		err = e.confirm(ctx)
	}
	poller.remove(e)
	e.fetch()
	e.gate.shut()
	if e.gate.empty(parting) {
		e.handle.Free()
	} else {
		// A call of Connect waits in the library, for some seconds at most.
		go func() {
			for !e.gate.empty(time.Hour) {
			}
			e.handle.Free()
		}()
	}
	close(e.history.ended)
	return err
}
