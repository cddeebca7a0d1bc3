package elector

import (
	"context"
	"iter"
	"sync"
	"sync/atomic"
	"time"

	"github.com/elector/elector/bindings/go/internal/library"
)

// mostKept is the maximum number of changes that the library keeps for each elector.
const mostKept = 1000

// A feed is all changes of one elector, as a chain that grows at its end. Whoever reads it holds a link and
// goes on from there. So nothing is ever dropped for a reader that is slow; and a reader that is gone needs
// no goodbye, since the links that nobody holds are garbage.
type feed struct {
	// Closed when there will be no more. Nil in the zero elector, which has none.
	ended chan struct{}
	last  atomic.Pointer[link]
	// The token of the term that may start no new work; 0: none.
	stopped atomic.Uint64
	// Held while changes are fetched: the number of the latest that was.
	fetching sync.Mutex
	fetched  uint64
}

// A link of the chain: what comes next, once that is told.
type link struct {
	told   chan struct{}
	change Change
	next   *link
}

func (f *feed) begin() {
	f.ended = make(chan struct{})
	f.last.Store(&link{told: make(chan struct{})})
}

func (f *feed) grow(change Change) {
	last := f.last.Load()
	last.change, last.next = change, &link{told: make(chan struct{})}
	switch change.Event {
	case EventStopNewWork:
		f.stopped.Store(change.Token)
	case EventElected, EventRenewed, EventDeposed:
		f.stopped.Store(0)
	}
	f.last.Store(last.next)
	close(last.told)
}

// Fetches what the library told since. Costs an atomic load if that is nothing. Any goroutine may do it.
func (e *Elector) fetch() {
	inside := e.gate.enter()
	if inside == nil {
		return
	}
	defer inside.Add(-1)
	f := &e.feed
	f.fetching.Lock()
	defer f.fetching.Unlock()
	for {
		latest := e.handle.Revision()
		if f.fetched >= latest {
			return
		}
		change, known := e.handle.Change(f.fetched + 1)
		switch {
		case known:
			f.fetched++
			f.grow(made(change))
		case latest-f.fetched > mostKept:
			// This process was stopped for so long that the oldest are gone. The numbers show it.
			f.fetched = latest - mostKept
		default:
			// It is numbered a moment before it can be fetched; the library tells when that is.
			return
		}
	}
}

func made(change library.Change) Change {
	return Change{
		Event:    Event(change.Event),
		Revision: change.Revision,
		At:       time.UnixMilli(int64(change.UnixMs)),
		Token:    change.Token,
		Reason:   Reason(change.Reason),
		Leader:   change.Leader,
	}
}

// Changes is everything that happens from this call on, in order and with nothing left out, who leads
// included. Ranging over it waits for each change, and ends when ctx does, or after the last change of an
// elector that was closed. Ranging again goes on where the last time ended; one goroutine at a time.
//
// What is not read yet is kept, however much it is; an iterator that is not used any more needs no call.
// Only if this process is stopped, by a debugger say, while more than 1000 changes come, the oldest of them
// are lost, and a gap in the revisions shows it.
//
// Renewals are no changes, but for one that tells that a risk is over.
func (e *Elector) Changes(ctx context.Context) iter.Seq[Change] {
	e.fetch()
	at := e.feed.last.Load()
	return func(yield func(Change) bool) {
		for at != nil && ctx.Err() == nil {
			if !e.feed.wait(ctx, at) {
				return
			}
			change := at.change
			at = at.next
			if !yield(change) {
				return
			}
		}
	}
}

// Waits until a link is told; false if it never will be, or ctx ended before.
func (f *feed) wait(ctx context.Context, at *link) bool {
	select {
	case <-at.told:
		return true
	case <-ctx.Done():
		return false
	case <-f.ended:
		return at.isTold()
	}
}

func (l *link) isTold() bool { return isClosed(l.told) }

func isClosed(channel <-chan struct{}) bool {
	select {
	case <-channel:
		return true
	default:
		return false
	}
}
