package elector

import (
	"errors"
	"fmt"

	"github.com/elector/elector/bindings/go/internal/library"
)

// Why a call failed, for errors.Is. The error itself says in one line what was asked, what was found and
// what to do; it never holds a password.
var (
	// ErrInvalidArgument: a name, a number or a store URL that can never work.
	ErrInvalidArgument = errors.New("elector: invalid argument")
	// ErrInvalidTiming: the timings do not fit together; the message names the numbers.
	ErrInvalidTiming = errors.New("elector: invalid timing")
	// ErrTimeout: what was waited for did not come in time.
	ErrTimeout = errors.New("elector: timeout")
	// ErrStore: the store could not be used; it may be so later.
	ErrStore = errors.New("elector: the store failed")
	// ErrStoreRefused: the store refused, and will again until somebody changes something.
	ErrStoreRefused = errors.New("elector: the store refused")
	// ErrNotLeader: this candidate does not lead, so the transaction that it wanted to guard must be rolled
	// back.
	ErrNotLeader = errors.New("elector: not leader")
	// ErrTermOver: the term that work runs under is over, or is so soon that no new work may start.
	ErrTermOver = errors.New("elector: the term is over")
	// ErrBusy: this elector runs other work already.
	ErrBusy = errors.New("elector: busy")
	// ErrReleased: another call of this program stood this candidate down.
	ErrReleased = errors.New("elector: released")
	// ErrClosed: the elector was closed.
	ErrClosed = errors.New("elector: closed")
	// ErrForked: the elector was made before a fork, and this is the child.
	ErrForked = errors.New("elector: made before a fork")
	// ErrNoThread: the system gave no thread.
	ErrNoThread = errors.New("elector: no thread")
	// ErrNoRandom: the system gave no random number, by which candidates are told apart.
	ErrNoRandom = errors.New("elector: no random number")
	// ErrInternal: a bug of Elector's. The elector does not lead any more.
	ErrInternal = errors.New("elector: a bug")
)

// Which error stands for a status. A newer library may have one that is not named here.
var sentinels = map[int]error{
	library.StatusNullPointer:       ErrInternal,
	library.StatusInvalidUTF8:       ErrInvalidArgument,
	library.StatusInvalidArgument:   ErrInvalidArgument,
	library.StatusInvalidTiming:     ErrInvalidTiming,
	library.StatusInvalidStructSize: ErrInternal,
	library.StatusTimeout:           ErrTimeout,
	library.StatusStoreFailed:       ErrStore,
	library.StatusStoreRefused:      ErrStoreRefused,
	library.StatusForked:            ErrForked,
	library.StatusInCallback:        ErrInternal,
	library.StatusUnknownChange:     ErrInternal,
	library.StatusNoThread:          ErrNoThread,
	library.StatusPanic:             ErrInternal,
	// This package waits for all electors at once, which a wake does not fail.
	library.StatusWoken:    ErrInternal,
	library.StatusNoRandom: ErrNoRandom,
}

// An error whose text is not that of its kinds.
type failure struct {
	kinds   []error
	message string
}

func (f *failure) Error() string   { return f.message }
func (f *failure) Unwrap() []error { return f.kinds }

// The library's fault as an error.
func failed(fault *library.Fault) error {
	if fault == nil {
		return nil
	}
	kind, known := sentinels[fault.Status]
	if !known {
		kind = ErrInternal
	}
	return &failure{[]error{kind}, fault.Message}
}

// An error of this package about this elector.
func (e *Elector) failure(kind error, format string, values ...any) *failure {
	return &failure{[]error{kind}, fmt.Sprintf("election %q: ", e.election) + fmt.Sprintf(format, values...)}
}

func (e *Elector) closedError() error {
	return e.failure(ErrClosed, "the elector is closed; make a new one with New")
}

func (e *Elector) busy() error {
	return e.failure(ErrBusy, "this elector runs other work as leader already; wait until that has returned, "+
		"or make an elector of its own for this work with New")
}

func (e *Elector) notLeader() error {
	return e.failure(ErrNotLeader, "this candidate does not lead; roll the transaction back")
}

func (e *Elector) released() error {
	return e.failure(ErrReleased, "the elector was released meanwhile; campaign again to go on")
}
