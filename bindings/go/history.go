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

// A history holds all changes of one elector, as a linked list that grows at its end. Each reader holds the
// link that it reads next. So no change is dropped for a slow reader, and a reader needs no call to end: the
// garbage collector frees links to which no reader refers.
type history struct {
	// Closed when no further change will come. Nil in the zero elector, which has no changes.
	ended chan struct{}
	last  atomic.Pointer[link]
	// The token of the term that must start no new work; 0 if there is none.
	stopped atomic.Uint64
	// Held while changes are fetched from the library.
	fetching sync.Mutex
	// The number of the latest change that was fetched.
	fetched uint64
}

// A link of the list. Its change and its next link are set when ready is closed.
type link struct {
	ready  chan struct{}
	change Change
	next   *link
}

func (h *history) begin() {
	h.ended = make(chan struct{})
	h.last.Store(&link{ready: make(chan struct{})})
}

func (h *history) append(change Change) {
	last := h.last.Load()
	last.change, last.next = change, &link{ready: make(chan struct{})}
	switch change.Event {
	case EventStopNewWork:
		h.stopped.Store(change.Token)
	case EventElected, EventRenewed, EventDeposed:
		h.stopped.Store(0)
	}
	h.last.Store(last.next)
	close(last.ready)
}

// Fetches new changes from the library. Without new changes it costs a lock and an atomic load. Any goroutine
// may call it.
func (e *Elector) fetch() {
	inside := e.gate.enter()
	if inside == nil {
		return
	}
	defer inside.Add(-1)
	h := &e.history
	h.fetching.Lock()
	defer h.fetching.Unlock()
	for {
		latest := e.handle.Revision()
		if h.fetched >= latest {
			return
		}
		change, known := e.handle.Change(h.fetched + 1)
		switch {
		case known:
			h.fetched++
			h.append(made(change))
		case latest-h.fetched > mostKept:
			// This process was stopped for so long that the library dropped the oldest changes. The gap in
			// the revisions shows it.
			h.fetched = latest - mostKept
		default:
			// The library numbers a change a moment before it can be fetched, and wakes the poller then.
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

// Changes returns an iterator over every change from this call on, in order and without gaps, changes of the
// leader included. Ranging over it waits for each change. It ends when ctx ends, or after the last change of
// a closed elector. A second range statement continues where the first ended. Only one goroutine at a time
// may use an iterator.
//
// All changes that are not read yet are kept in memory, without a limit. An iterator that is not used any
// more needs no call to end. If this process is stopped, for example by a debugger, while more than 1000
// changes come, the oldest of them are lost; a gap in the revisions shows it.
//
// A renewal is a change only if it ends a risk: after EventAtRisk or EventStopNewWork.
func (e *Elector) Changes(ctx context.Context) iter.Seq[Change] {
	e.fetch()
	at := e.history.last.Load()
	return func(yield func(Change) bool) {
		for at != nil && ctx.Err() == nil {
			if !e.history.wait(ctx, at) {
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

// Waits until a link is ready; false if it never will be, or if ctx ended first.
func (h *history) wait(ctx context.Context, at *link) bool {
	select {
	case <-at.ready:
		return true
	case <-ctx.Done():
		return false
	case <-h.ended:
		return at.isReady()
	}
}

func (l *link) isReady() bool { return isClosed(l.ready) }

func isClosed(channel <-chan struct{}) bool {
	select {
	case <-channel:
		return true
	default:
		return false
	}
}
