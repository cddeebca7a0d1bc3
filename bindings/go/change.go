package elector

import (
	"fmt"
	"time"
)

// Event is the kind of a change. A newer library may report events that are not named here.
type Event int

// The numbers are those of the C interface. The meaning of a number never changes.
const (
	// EventElected: a term begins.
	EventElected Event = 1
	// EventRenewed: the term was extended. Reported only after an EventAtRisk or an EventStopNewWork.
	EventRenewed Event = 2
	// EventAtRisk: a renewal failed, or was withheld. The term goes on.
	EventAtRisk Event = 3
	// EventStopNewWork: start no new work, because the term may end soon. An EventRenewed lifts it, except in
	// a drain. A drain that reaches the soft deadline gets the event again: end the work in progress.
	EventStopNewWork Event = 4
	// EventDeposed: the term is over. It comes exactly once for each EventElected.
	EventDeposed Event = 5
	// EventLeaderChanged: the leader changed: it is this candidate, another candidate, or none.
	EventLeaderChanged Event = 6
	// EventStoreClockStepped: the store's clock jumped. For one full lease of its own clock, this candidate
	// takes nothing over.
	EventStoreClockStepped Event = 7
	// EventTimelineChanged: a standby of the store was promoted, and commits may be lost. The candidate
	// handles it like a clock step.
	EventTimelineChanged Event = 8
	// EventPoisonedRow: the row's expiry is further ahead than its lease could have set it. No candidate can
	// take the row over before; `elector break` clears it.
	EventPoisonedRow Event = 9
)

var eventNames = map[Event]string{
	EventElected:           "elected",
	EventRenewed:           "renewed",
	EventAtRisk:            "at_risk",
	EventStopNewWork:       "stop_new_work",
	EventDeposed:           "deposed",
	EventLeaderChanged:     "leader_changed",
	EventStoreClockStepped: "store_clock_stepped",
	EventTimelineChanged:   "timeline_changed",
	EventPoisonedRow:       "poisoned_row",
}

// String is the event's name, as in the lines of `elector run --events`.
func (e Event) String() string {
	if name, known := eventNames[e]; known {
		return name
	}
	return fmt.Sprintf("event %d", int(e))
}

// Reason is why a term ended.
type Reason int

// The numbers are those of the C interface. The meaning of a number never changes.
const (
	// ReasonNone: no term has ended.
	ReasonNone Reason = 0
	// ReasonReleased: this program released the lease.
	ReasonReleased Reason = 1
	// ReasonExpired: no renewal succeeded before trust ended.
	ReasonExpired Reason = 2
	// ReasonLost: the row is not this candidate's any more: it was taken over, revoked or deleted.
	ReasonLost Reason = 3
	// ReasonStalled: the progress gate, or the bound of a drain, withheld renewals until trust ended.
	ReasonStalled Reason = 4
	// ReasonRevoked: the lease protects nothing any more: its file was lost, or its store's descriptors were
	// closed.
	ReasonRevoked Reason = 5
	// ReasonForked: the elector was made before a fork, and this process is the child.
	ReasonForked Reason = 6
)

var reasonNames = map[Reason]string{
	ReasonNone:     "none",
	ReasonReleased: "released",
	ReasonExpired:  "expired",
	ReasonLost:     "lost",
	ReasonStalled:  "stalled",
	ReasonRevoked:  "revoked",
	ReasonForked:   "forked",
}

// String is the reason's name, as in the lines of `elector run --events`.
func (r Reason) String() string {
	if name, known := reasonNames[r]; known {
		return name
	}
	return fmt.Sprintf("reason %d", int(r))
}

// Change is one change of one elector.
type Change struct {
	// Event is what happened.
	Event Event
	// Revision numbers an elector's changes from 1 on, without gaps.
	Revision uint64
	// At is the time of the change on this machine's wall clock. It is for display only: the wall clock may
	// be stepped.
	At time.Time
	// Token is the fencing token of the change's term; 0 if the change concerns no term.
	Token uint64
	// Reason is why the term ended, with EventDeposed.
	Reason Reason
	// Leader is the name of the candidate that leads now, with EventLeaderChanged; "" if no candidate leads.
	Leader string
}

// Leadership is one consistent answer to the question whether a candidate leads.
type Leadership struct {
	// IsLeader is whether this candidate leads.
	IsLeader bool
	// Token is the fencing token of the term while it is trusted, draining included; else 0.
	Token uint64
	// TrustedFor is the time from this answer until the hard deadline, when trust in the term ends; 0 without
	// a term. A renewal extends it. Everything that only the leader may do must have ended by then: another
	// candidate can lead from that instant on. Whole milliseconds, rounded down.
	TrustedFor time.Duration
	// WorkFor is the time from this answer until the soft deadline, a tenth of the lease before the hard one; 0
	// without a term and past that deadline. A renewal extends it. Start nothing new by then. In a drain start
	// nothing new at all: then this is the time for which the work in progress may still run.
	WorkFor time.Duration
	// Reason is why the latest term ended.
	Reason Reason
	// Revision is the number of the latest change; 0 before the first one.
	Revision uint64
}

// Leader is the leader of an election.
type Leader struct {
	// Candidate is the leader's name.
	Candidate string
	// Meta is the text that the leader published, or "".
	Meta string
}
