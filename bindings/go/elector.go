package elector

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/elector/elector/bindings/go/internal/bootclock"
	"github.com/elector/elector/bindings/go/internal/library"
)

// Options describe a candidate. Only Election is required: whatever else is zero has a default.
type Options struct {
	// Election is the election's name, 1 to 255 bytes.
	Election string
	// Store is where leases are kept: "postgres://USER@HOST/DATABASE", "sqlite:PATH" or "memory:NAME".
	// Default: the environment variable ELECTOR_STORE, else an SQLite file in the user's state directory.
	Store string
	// Candidate is this candidate's name, 1 to 255 bytes. Default: host name and process id, "api-1-4711". Two
	// candidates may share a name; they are still told apart.
	Candidate string
	// Meta is a text for others to read while this candidate leads: an address, a version. At most 64 KiB.
	// Default: none.
	Meta string
	// Schema is that of the table in PostgreSQL, any identifier of 1 to 63 bytes; it is always quoted. Default:
	// what the store URL says, else "public". Other stores refuse it.
	Schema string
	// CreateTable is whether a table that is missing in PostgreSQL is made. Default: what the store URL says,
	// else true. Other stores make their tables always.
	CreateTable *bool
	// Lease is how long a grant or a renewal lasts, 100 ms to 24 h; default 10 s. It bounds how long a crashed
	// leader blocks the next one. This and the other times are whole milliseconds.
	Lease time.Duration
	// Renew is the latest time from one renewal to the next, at least 10 ms. Default: 30 % of the lease.
	Renew time.Duration
	// Jitter is how much earlier than that a renewal may be sent, drawn anew each time. Default: 20 % of the
	// lease, at most two thirds of the renewal time.
	Jitter time.Duration
	// Margin is how much earlier than it must a leader stops trusting its lease. Default: the larger of 250 ms
	// and a fifteenth of the lease.
	Margin time.Duration
	// Drain is how much longer the lease is renewed for work of Run that was told to stop. Work that takes
	// longer keeps what is left of the lease then: others are elected when that has ended by itself. Default:
	// half of the lease.
	Drain time.Duration
	// Strict is whether to take over only what stood unchanged for a full lease of this candidate's own clock.
	// It protects against forward steps of the store's clock before this candidate first read it and against
	// commits lost by a promoted standby, and costs one lease of waiting at every change of leader.
	Strict bool
	// ProgressGate is whether to campaign and renew only while Alive is called at least every half lease, so
	// that a program that hangs does not lead for ever.
	ProgressGate bool
	// Logger is told of changes and of what the store complains about, by a goroutine of its own: a handler
	// that blocks holds up nothing else. Default: no logger.
	Logger *slog.Logger
}

// Elector is one candidate of one election. It is made by [New], must not be copied, and lives until Close.
type Elector struct {
	election string
	handle   library.Handle
	gate     gate
	standing standing
	// How long work of Run may take to stop, and whether a Run is under way.
	drain   time.Duration
	running atomic.Bool
	feed    feed
	logger  *slog.Logger
	// Whether the logger is being told of late work, and how often it was not told meanwhile.
	noting  atomic.Bool
	unnoted atomic.Int64
	closing sync.Once
	closed  error
}

// New makes a candidate that does not stand yet. It checks everything and does no I/O: the store is opened by
// the first campaign, which also tries again for ever, or by Connect. To be ended with Close.
//
// It fails with ErrInvalidArgument or ErrInvalidTiming if something in the options is wrong, and with
// ErrNoThread or ErrNoRandom if the system gave none.
func New(options Options) (*Elector, error) {
	if fault := library.CheckTime("drain", options.Drain); fault != nil {
		return nil, failed(fault)
	}
	handle, fault := library.New(library.Options{
		Election:     options.Election,
		Store:        options.Store,
		Candidate:    options.Candidate,
		Meta:         options.Meta,
		Schema:       options.Schema,
		CreateTable:  options.CreateTable,
		Lease:        options.Lease,
		Renew:        options.Renew,
		Jitter:       options.Jitter,
		Margin:       options.Margin,
		Strict:       options.Strict,
		ProgressGate: options.ProgressGate,
	})
	if fault != nil {
		return nil, failed(fault)
	}
	e := &Elector{election: options.Election, handle: handle, drain: options.patience()}
	e.feed.begin()
	e.gate.open.Store(true)
	pump.add(e)
	if options.Logger != nil {
		e.logger = options.Logger.With("election", e.election)
		e.startLog()
	}
	return e, nil
}

// The default of Options.Lease.
const defaultLease = 10 * time.Second

// How long work of Run may take to stop.
func (o Options) patience() time.Duration {
	switch {
	case o.Drain > 0:
		return o.Drain
	case o.Lease > 0:
		return o.Lease / 2
	}
	return defaultLease / 2
}

// Election is the election's name.
func (e *Elector) Election() string { return e.election }

// IsLeader is whether this candidate leads at this instant. It costs some atomic operations and a clock read:
// no lock, no I/O, no call into C on Linux and amd64. It is right even if everything else hangs.
//
// What starts because of a true must end before trust does: see [Leadership].
func (e *Elector) IsLeader() bool {
	inside := e.gate.enter()
	if inside == nil {
		return false
	}
	trustedUntil := e.handle.TrustedUntil()
	inside.Add(-1)
	// The clock is read after that: an earlier reading could be older than the end of a term that is over.
	return trustedUntil != 0 && now() < trustedUntil
}

// Token is the fencing token of the current term, or 0 if this candidate does not lead. Give it to whatever
// the work writes to, which refuses a smaller one than it has seen.
func (e *Elector) Token() uint64 {
	token, trustedFor := e.term()
	if trustedFor == 0 {
		return 0
	}
	return token
}

// The term that this candidate leads under, and how much longer it is trusted; zeros without one.
func (e *Elector) term() (token uint64, trustedFor time.Duration) {
	inside := e.gate.enter()
	if inside == nil {
		return 0, 0
	}
	// A term is published token first and trust last, and withdrawn in the other order.
	token = e.handle.Token()
	trustedUntil := e.handle.TrustedUntil()
	unchanged := e.handle.Token() == token
	inside.Add(-1)
	if now := now(); unchanged && now < trustedUntil {
		return token, time.Duration(trustedUntil - now)
	}
	return 0, 0
}

// The clock by which leases are trusted: it also counts the time for which the machine was suspended.
func now() uint64 {
	if now, ok := bootclock.Now(); ok {
		return now
	}
	return library.Now()
}

// Leadership is one consistent answer with the term's token and its two deadlines.
func (e *Elector) Leadership() Leadership {
	inside := e.gate.enter()
	if inside == nil {
		return Leadership{}
	}
	defer inside.Add(-1)
	found := e.handle.Leadership()
	return Leadership{
		IsLeader:   found.IsLeader,
		Token:      found.Token,
		TrustedFor: found.TrustedFor,
		WorkFor:    found.WorkFor,
		Reason:     Reason(found.Reason),
		Revision:   found.Revision,
	}
}

// Leader is who leads, as far as this candidate knows while it stands; false if nobody is known to lead.
func (e *Elector) Leader() (Leader, bool) {
	inside := e.gate.enter()
	if inside == nil {
		return Leader{}, false
	}
	defer inside.Add(-1)
	candidate, meta, _ := strings.Cut(e.handle.Leader(), "\x00")
	return Leader{Candidate: candidate, Meta: meta}, candidate != ""
}

// LastError is what the store complains about, or nil if its latest operation worked; while writes fail,
// reading a free row does not clear it. It is an ErrStore.
func (e *Elector) LastError() error {
	inside := e.gate.enter()
	if inside == nil {
		return nil
	}
	defer inside.Add(-1)
	if complaint := e.handle.LastError(); complaint != "" {
		return &failure{[]error{ErrStore}, complaint}
	}
	return nil
}

// Alive says that this program makes progress: see Options.ProgressGate.
func (e *Elector) Alive() error {
	return e.call(func() *library.Fault { return e.handle.Alive() })
}

// Connect opens the store if it is not open yet, and says what came of it. It is not needed: a campaign
// does so too, and tries again for ever. It is good for telling a wrong path or password at start-up.
//
// It fails with what the store said, ErrStore or ErrStoreRefused, with ErrStoreRefused too if the store
// cannot keep the names or the meta text, or with ErrTimeout when ctx ended before.
func (e *Elector) Connect(ctx context.Context) error {
	// The library waits in turns, since it does not know ctx. A turn is longer than stores take to fail.
	const turn = 10 * time.Second
	answer := make(chan error, 1)
	for {
		patience := turn
		if deadline, limited := ctx.Deadline(); limited {
			patience = min(turn, time.Until(deadline))
		}
		if ctx.Err() == nil && patience > 0 {
			go func() {
				answer <- e.call(func() *library.Fault { return e.handle.Connect(patience) })
			}()
		}
		select {
		case err := <-answer:
			if !errors.Is(err, ErrTimeout) {
				return err
			}
		case <-ctx.Done():
			return e.unconfirmed(ctx, "the store was not opened in time")
		case <-e.feed.ended:
			return e.closedError()
		}
	}
}

// Makes a call of the library that does not wait for long, unless the elector is closed.
func (e *Elector) call(made func() *library.Fault) error {
	inside := e.gate.enter()
	if inside == nil {
		return e.closedError()
	}
	defer inside.Add(-1)
	return failed(made())
}
