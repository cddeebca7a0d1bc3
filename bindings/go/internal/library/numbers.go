//go:build unix

package library

// #include "elector.h"
import "C"

// Fault is the failure of a call: its status, and the library's message.
type Fault struct {
	Status  int
	Message string
}

func made(status C.enum_elector_status, fault *C.struct_elector_error) *Fault {
	if status == C.ELECTOR_STATUS_OK {
		return nil
	}
	return &Fault{int(status), C.GoString(&fault.message[0])}
}

// The statuses of calls.
const (
	StatusOK                = C.ELECTOR_STATUS_OK
	StatusNullPointer       = C.ELECTOR_STATUS_NULL_POINTER
	StatusInvalidUTF8       = C.ELECTOR_STATUS_INVALID_UTF8
	StatusInvalidArgument   = C.ELECTOR_STATUS_INVALID_ARGUMENT
	StatusInvalidTiming     = C.ELECTOR_STATUS_INVALID_TIMING
	StatusInvalidStructSize = C.ELECTOR_STATUS_INVALID_STRUCT_SIZE
	StatusTimeout           = C.ELECTOR_STATUS_TIMEOUT
	StatusStoreFailed       = C.ELECTOR_STATUS_STORE_FAILED
	StatusStoreRefused      = C.ELECTOR_STATUS_STORE_REFUSED
	StatusForked            = C.ELECTOR_STATUS_FORKED
	StatusInCallback        = C.ELECTOR_STATUS_IN_CALLBACK
	StatusUnknownChange     = C.ELECTOR_STATUS_UNKNOWN_CHANGE
	StatusNoThread          = C.ELECTOR_STATUS_NO_THREAD
	StatusPanic             = C.ELECTOR_STATUS_PANIC
	StatusWoken             = C.ELECTOR_STATUS_WOKEN
	StatusNoRandom          = C.ELECTOR_STATUS_NO_RANDOM
)

// The kinds of events.
const (
	EventNone              = C.ELECTOR_EVENT_NONE
	EventElected           = C.ELECTOR_EVENT_ELECTED
	EventRenewed           = C.ELECTOR_EVENT_RENEWED
	EventAtRisk            = C.ELECTOR_EVENT_AT_RISK
	EventStopNewWork       = C.ELECTOR_EVENT_STOP_NEW_WORK
	EventDeposed           = C.ELECTOR_EVENT_DEPOSED
	EventLeaderChanged     = C.ELECTOR_EVENT_LEADER_CHANGED
	EventStoreClockStepped = C.ELECTOR_EVENT_STORE_CLOCK_STEPPED
	EventTimelineChanged   = C.ELECTOR_EVENT_TIMELINE_CHANGED
	EventPoisonedRow       = C.ELECTOR_EVENT_POISONED_ROW
)

// The reasons why terms end.
const (
	ReasonNone     = C.ELECTOR_REASON_NONE
	ReasonReleased = C.ELECTOR_REASON_RELEASED
	ReasonExpired  = C.ELECTOR_REASON_EXPIRED
	ReasonLost     = C.ELECTOR_REASON_LOST
	ReasonStalled  = C.ELECTOR_REASON_STALLED
	ReasonRevoked  = C.ELECTOR_REASON_REVOKED
	ReasonForked   = C.ELECTOR_REASON_FORKED
)
