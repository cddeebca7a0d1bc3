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

// Options describe a candidate. Only Election is required; a zero option has its default.
type Options struct {
	// Election is the election's name, 1 to 255 bytes.
	Election string
	// Store is where leases are kept: "postgres://USER@HOST/DATABASE", "sqlite:PATH" or "memory:NAME".
	// Default: the environment variable ELECTOR_STORE, else an SQLite file in the user's state directory.
	Store string
	// Candidate is this candidate's name, 1 to 255 bytes. Default: host name and process id, "api-1-4711".
	// Two candidates may share a name; Elector still distinguishes them by their incarnations.
	Candidate string
	// Meta is a text that is published while this candidate leads: an address, a version. At most 64 KiB.
	// Default: none.
	Meta string
	// Schema is the schema of the table in PostgreSQL, any identifier of 1 to 63 bytes; it is always quoted.
	// Default: the schema in the store URL, else "public". Other stores refuse this option. Candidates with
	// different schemas do not compete: each schema has its own leader.
	Schema string
	// CreateTable is whether to create the table in PostgreSQL if it does not exist. Default: as the store
	// URL says, else true. Other stores always create their tables.
	CreateTable *bool
	// Lease is how long a grant or a renewal lasts, 100 ms to 24 h; default 10 s. It bounds how long a
	// crashed leader blocks the next leader. With a short lease a short outage of the store already ends the
	// term. All times of these options are whole milliseconds.
	Lease time.Duration
	// Renew is the maximum time from one renewal to the next, at least 10 ms. Default: 30 % of the lease. A
	// long time leaves few attempts for a renewal; if fewer than three fit, New refuses it.
	Renew time.Duration
	// Jitter is how much earlier than Renew a renewal may be sent, drawn anew for each renewal; at most Renew
	// − 10 ms. Default: 20 % of the lease, at most two thirds of Renew. Jitter never makes a renewal later.
	Jitter time.Duration
	// Margin is how much earlier than 99 % of the lease a leader stops trusting it, at least 1 ms. Default:
	// the larger of 250 ms and a fifteenth of the lease. If it is too small, work that was checked just
	// before the end of trust can overlap with the next leader's.
	Margin time.Duration
	// Drain is how much longer the lease is renewed for work of Run that must stop. Work that takes longer
	// keeps the remaining time of the lease; the next leader is elected when the lease has expired, perhaps
	// while that work still runs. Default: half of the lease.
	Drain time.Duration
	// Strict is whether to take over only a row that stood unchanged for a full lease of this candidate's own
	// clock. It protects against forward steps of the store's clock before this candidate first read it, and
	// against commits lost by a promoted standby. It costs one lease of waiting at every change of leader.
	// All candidates of an election should use it.
	Strict bool
	// ProgressGate is whether to campaign and renew only while Alive is called at least every half lease, so
	// that a program that hangs does not lead for ever. A program that does not call Alive loses its term.
	ProgressGate bool
	// Logger receives changes and errors of the store, from a goroutine of its own: a handler that blocks
	// delays nothing else. Default: no logger.
	Logger *slog.Logger
}

// Elector is one candidate of one election. It is made by [New], must not be copied, and lives until Close.
type Elector struct {
	election string
	handle   library.Handle
	gate     gate
	intent   intent
	// How long the lease is renewed for work of Run that must stop, and whether a Run is in progress.
	drain   time.Duration
	running atomic.Bool
	history history
	logger  *slog.Logger
	// Whether an error of late work is being logged, and the number of such errors that were not logged
	// meanwhile.
	noting  atomic.Bool
	unnoted atomic.Int64
	closing sync.Once
	closed  error
}

// New makes a candidate that does not campaign yet. It checks the options and performs no I/O. The first
// campaign opens the store, and retries until it succeeds; Connect opens the store too, and returns the
// store's error. End the elector with Close.
//
// New fails with ErrInvalidArgument or ErrInvalidTiming if an option is invalid, and with ErrNoThread or
// ErrNoRandom if the system gave no thread or no random number.
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
	e.history.begin()
	e.gate.open.Store(true)
	poller.add(e)
	if options.Logger != nil {
		e.logger = options.Logger.With("election", e.election)
		e.startLog()
	}
	return e, nil
}

// The default of Options.Lease.
const defaultLease = 10 * time.Second

// How long the lease is renewed for work of Run that must stop.
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

// IsLeader reports whether this candidate leads at this instant. It costs some atomic operations and a clock
// read: no lock, no I/O, and on Linux and amd64 no call into C. It is correct even if all other goroutines
// and threads hang.
//
// Work that is started after IsLeader returned true must end before trust does: see TrustedFor in
// [Leadership].
func (e *Elector) IsLeader() bool {
	inside := e.gate.enter()
	if inside == nil {
		return false
	}
	trustedUntil := e.handle.TrustedUntil()
	inside.Add(-1)
	// The clock is read last: an earlier reading could be older than the end of a term that is over.
	return trustedUntil != 0 && now() < trustedUntil
}

// Token is the fencing token of the current term, or 0 if this candidate does not lead. Pass it to every
// resource that the work writes to; the resource must refuse a token smaller than the largest it has seen.
func (e *Elector) Token() uint64 {
	token, trustedFor := e.term()
	if trustedFor == 0 {
		return 0
	}
	return token
}

// The token of the current term, and how much longer the term is trusted; zeros if this candidate does not
// lead.
func (e *Elector) term() (token uint64, trustedFor time.Duration) {
	inside := e.gate.enter()
	if inside == nil {
		return 0, 0
	}
	// The library publishes a term's token before its trust, and withdraws them in reverse order.
	token = e.handle.Token()
	trustedUntil := e.handle.TrustedUntil()
	unchanged := e.handle.Token() == token
	inside.Add(-1)
	if now := now(); unchanged && now < trustedUntil {
		return token, time.Duration(trustedUntil - now)
	}
	return 0, 0
}

// The clock on which trust in a lease is measured. It also counts the time for which the machine was
// suspended.
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

// Leader is the leader as far as this candidate knows while it campaigns; false if it knows no leader.
func (e *Elector) Leader() (Leader, bool) {
	inside := e.gate.enter()
	if inside == nil {
		return Leader{}, false
	}
	defer inside.Add(-1)
	candidate, meta, _ := strings.Cut(e.handle.Leader(), "\x00")
	return Leader{Candidate: candidate, Meta: meta}, candidate != ""
}

// LastError is the store's last error, or nil if its latest operation succeeded. While writes fail, reading a
// free row does not clear it. It is an ErrStore.
func (e *Elector) LastError() error {
	inside := e.gate.enter()
	if inside == nil {
		return nil
	}
	defer inside.Add(-1)
	if message := e.handle.LastError(); message != "" {
		return &failure{[]error{ErrStore}, message}
	}
	return nil
}

// Alive reports that this program makes progress: see Options.ProgressGate.
func (e *Elector) Alive() error {
	return e.call(func() *library.Fault { return e.handle.Alive() })
}

// Connect opens the store if it is not open yet, and returns the result. It is optional, because a campaign
// opens the store too, and retries until it succeeds. Use it to find a wrong path or password at start-up.
//
// It fails with the store's error: ErrStore or ErrStoreRefused, the latter also if the store cannot hold the
// names or the meta text. It fails with ErrTimeout if ctx ended first.
func (e *Elector) Connect(ctx context.Context) error {
	// The library does not know ctx, so the wait is divided into turns. A turn is longer than a store takes
	// to fail.
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
		case <-e.history.ended:
			return e.closedError()
		}
	}
}

// Calls the library, unless the elector is closed. The call must not wait for long.
func (e *Elector) call(made func() *library.Fault) error {
	inside := e.gate.enter()
	if inside == nil {
		return e.closedError()
	}
	defer inside.Add(-1)
	return failed(made())
}
