package elector

import (
	"errors"
	"fmt"

	"github.com/elector/elector/bindings/go/internal/library"
)

// The kinds of errors, for errors.Is. The text of an error says in one line what was asked, what was found
// and what to do. It never contains a password.
var (
	// ErrInvalidArgument: a name, a number or a store URL is invalid.
	ErrInvalidArgument = errors.New("elector: invalid argument")
	// ErrInvalidTiming: the timings do not fit together; the message names the numbers.
	ErrInvalidTiming = errors.New("elector: invalid timing")
	// ErrTimeout: the context ended, or the time limit passed, before the call succeeded.
	ErrTimeout = errors.New("elector: timeout")
	// ErrStore: the store failed; a retry may succeed.
	ErrStore = errors.New("elector: the store failed")
	// ErrStoreRefused: the store refused. A retry fails too until the cause is removed, such as a missing
	// privilege or table.
	ErrStoreRefused = errors.New("elector: the store refused")
	// ErrNotLeader: this candidate does not lead. Roll the transaction back that was to be guarded.
	ErrNotLeader = errors.New("elector: not leader")
	// ErrTermOver: the term of the work is over, or will be so soon that no new work may start.
	ErrTermOver = errors.New("elector: the term is over")
	// ErrBusy: this elector already runs other work.
	ErrBusy = errors.New("elector: busy")
	// ErrReleased: another call of this program stood this candidate down.
	ErrReleased = errors.New("elector: released")
	// ErrClosed: the elector was closed.
	ErrClosed = errors.New("elector: closed")
	// ErrForked: the elector was made before a fork, and this process is the child.
	ErrForked = errors.New("elector: made before a fork")
	// ErrNoThread: the system could not create a thread.
	ErrNoThread = errors.New("elector: no thread")
	// ErrNoRandom: the system gave no random number, which every candidate needs for its incarnation.
	ErrNoRandom = errors.New("elector: no random number")
	// ErrInternal: a bug in Elector. The elector does not lead any more.
	ErrInternal = errors.New("elector: a bug")
)

// The error for each status of the library. A newer library may have a status that is not named here.
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
	// Only calls of elector_wait fail with this status, and this package calls elector_wait_any instead.
	library.StatusWoken:    ErrInternal,
	library.StatusNoRandom: ErrNoRandom,
}

// An error with a text of its own and one or more kinds.
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
	return e.failure(ErrBusy, "this elector already runs other work as leader; wait until that work has "+
		"returned, or make another elector for this work with New")
}

func (e *Elector) notLeader() error {
	return e.failure(ErrNotLeader, "this candidate does not lead; roll the transaction back")
}

func (e *Elector) released() error {
	return e.failure(ErrReleased, "another call stood this candidate down; call Campaign or Run to continue")
}
