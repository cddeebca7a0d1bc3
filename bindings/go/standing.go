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
	// How long Close, and Run at its end, wait for the store to confirm a release.
	parting = time.Second
	// For so long at most Release still waits once its ctx has ended.
	turn = 20 * time.Millisecond
)

// Whether this program wants its candidate to stand.
type standing struct {
	sync.Mutex
	// Closed by the call that stands it down; nil while it does not stand.
	down chan struct{}
	// That channel as it was when work of Run began, until that has returned.
	working <-chan struct{}
	// The term that was drained last, and the channel of those who stood under it. They may have stood down
	// and others may stand already, while that term is kept for work that goes on.
	kept    uint64
	keptFor <-chan struct{}
	// How many calls wait for the store to confirm that it was stood down. Until they do not any more the
	// library does not campaign, which their next turns would undo.
	waiting int
	// Whether the elector is being closed. Set under the lock, and before it is stood down.
	over atomic.Bool
}

func (s *standing) standDown() {
	if s.down != nil {
		close(s.down)
		s.down = nil
	}
}

// Whether work of Run goes on that began under this channel.
func (s *standing) worksUnder(down <-chan struct{}) bool { return down != nil && down == s.working }

// Campaign stands for election until Release. After a loss it stands again by itself. Standing already: no
// effect. It returns at once.
func (e *Elector) Campaign() error {
	_, err := e.campaign()
	return err
}

// The same; gives the channel that is closed when this candidate is stood down.
func (e *Elector) campaign() (<-chan struct{}, error) {
	s := &e.standing
	s.Lock()
	defer s.Unlock()
	if s.over.Load() {
		return nil, e.closedError()
	}
	if err := e.stand(); err != nil {
		return nil, err
	}
	if s.down == nil {
		s.down = make(chan struct{})
	}
	return s.down, nil
}

// Has the library campaign: now, or through the last one who waits. While work of Run goes on it campaigns
// already, or is not to until that has returned, and then Run has it do so. Under the lock.
func (e *Elector) stand() error {
	s := &e.standing
	return e.call(func() *library.Fault {
		if s.waiting > 0 || s.worksUnder(s.down) {
			return nil
		}
		return e.handle.Campaign()
	})
}

// WaitUntilLeader waits until this candidate leads, and returns the term's token. It must stand already.
//
// It fails with the cause of ctx, or with ErrClosed.
func (e *Elector) WaitUntilLeader(ctx context.Context) (uint64, error) {
	e.fetch()
	at := e.feed.last.Load()
	for {
		if token := e.Token(); token != 0 {
			return token, nil
		}
		if at == nil || !e.feed.wait(ctx, at) {
			if ctx.Err() != nil {
				return 0, context.Cause(ctx)
			}
			return 0, e.closedError()
		}
		at = at.next
	}
}

// Release stands down: not leader from the call on, and no candidate until the next Campaign. Then it waits
// until the store has confirmed it, so that the next candidate leads at once. Again: no effect.
//
// A Campaign meanwhile does not end the wait; it takes effect as soon as nobody waits any more.
//
// When ctx ends before that, it fails with ErrTimeout and the cause of ctx; the lease then ends by itself
// all the same. With a ctx that is over already it stands down and does not wait.
func (e *Elector) Release(ctx context.Context) error {
	if err := e.leave(false); err != nil {
		return err
	}
	return e.confirm(ctx)
}

// Stands down, for a call of confirm.
func (e *Elector) leave(closing bool) error {
	s := &e.standing
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

// The same, under the lock already.
func (e *Elector) release() error {
	s := &e.standing
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
		// The library waits in turns, since it does not know ctx. It does not stand, so that the release that
		// begins each turn changes nothing.
		patience := turn
		if deadline, limited := ctx.Deadline(); limited {
			patience = max(min(turn, time.Until(deadline)), time.Millisecond)
		}
		err := e.call(func() *library.Fault { return e.handle.Release(patience) })
		if !errors.Is(err, ErrTimeout) {
			return err
		}
	}
	return e.unconfirmed(ctx, "the store did not confirm the release in time, so the lease ends by itself")
}

// One waits no more. The last one has the library stand for who campaigned meanwhile.
func (e *Elector) confirmed() {
	s := &e.standing
	s.Lock()
	defer s.Unlock()
	s.waiting--
	if s.down != nil {
		_ = e.stand()
	}
}

// What is said when ctx ends before the store answered.
func (e *Elector) unconfirmed(ctx context.Context, what string) error {
	hint := "check that it is reachable, or wait longer"
	if complaint := e.LastError(); complaint != nil {
		hint = fmt.Sprintf("its last error was: %v", complaint)
	}
	failure := e.failure(ErrTimeout, "%s; %s", what, hint)
	failure.kinds = append(failure.kinds, context.Cause(ctx))
	return failure
}

// Drain stands down once the work in progress is done: not leader from the call on, but the lease is kept, so
// that nobody else starts, until Drained or until it can be kept no longer. For work of Run, it is Run that
// says Drained once the work has returned, and Options.Drain is how long the lease is renewed until then. Not
// leader: as Release, without waiting for the store.
func (e *Elector) Drain() error { return e.drainBy(e.drains) }

// DrainFor is Drain, and the lease is renewed for drain at most. Work that takes longer keeps the rest of
// the lease, and the next leader is elected when that has ended by itself. Of several bounds the earliest
// counts.
func (e *Elector) DrainFor(drain time.Duration) error {
	return e.drainBy(func(<-chan struct{}) *library.Fault { return e.handle.DrainFor(drain) })
}

func (e *Elector) drainBy(drain func(down <-chan struct{}) *library.Fault) error {
	s := &e.standing
	s.Lock()
	defer s.Unlock()
	down := s.down
	s.standDown()
	return e.keep(down, drain)
}

// Has the library drain. A term that is kept already is still that of those who stood under it.
func (e *Elector) keep(down <-chan struct{}, drain func(down <-chan struct{}) *library.Fault) error {
	s := &e.standing
	return e.call(func() *library.Fault {
		fault := drain(down)
		if token := e.handle.Leadership().Token; token != s.kept {
			s.kept, s.keptFor = token, down
		}
		return fault
	})
}

// Work of Run that hangs must not keep its term for ever.
func (e *Elector) drains(down <-chan struct{}) *library.Fault {
	if e.standing.worksUnder(down) {
		return e.handle.DrainFor(e.drain)
	}
	return e.handle.Drain()
}

// Drained says that the work in progress is done: ends what Drain began. Not draining: no effect.
func (e *Elector) Drained() error {
	// A drain that is under way in another goroutine has begun before this ends it.
	e.standing.Lock()
	defer e.standing.Unlock()
	return e.call(func() *library.Fault { return e.handle.Drained() })
}

// Close stands down, and gives the store up to one second to confirm it, so that the next candidate leads
// at once. It ends all that this elector began: contexts of Run, iterators of Changes, goroutines, and, if
// it was the last one of its store, the library's threads and connection. From the call on IsLeader is
// false.
//
// It fails with ErrTimeout if the store did not confirm; the lease then ends by itself, and the elector is
// closed all the same. Again, or from several goroutines: the first call does it, and all return the same.
//
// To leave the lease to end by itself, which is rarely wanted, end the process without Close.
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
	pump.remove(e)
	e.fetch()
	e.gate.shut()
	if e.gate.empty(parting) {
		e.handle.Free()
	} else {
		// Somebody waits in Connect, for some seconds at most.
		go func() {
			for !e.gate.empty(time.Hour) {
			}
			e.handle.Free()
		}()
	}
	close(e.feed.ended)
	return err
}
