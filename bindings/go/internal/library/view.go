//go:build unix

package library

// #include "elector.h"
import "C"

import "sync/atomic"

// These methods read the library's memory, which lives until Free.

// TrustedUntil is the time until which this candidate leads, on the clock of [Now]. It is 0 if the candidate
// does not lead, and in a forked child. Read the clock after it: an earlier reading could be older than the
// end of a term that TrustedUntil still shows.
func (h Handle) TrustedUntil() uint64 {
	until := atomic.LoadUint64((*uint64)(&h.view.trusted_until_ns))
	if atomic.LoadUint32((*uint32)(h.view.forks)) != uint32(h.view.forks_then) {
		return 0
	}
	return until
}

// Token is the term's fencing token. It is valid only if it is equal before and after a read of TrustedUntil
// that returned a time in the future.
func (h Handle) Token() uint64 { return atomic.LoadUint64((*uint64)(&h.view.token)) }

// Revision is the number of the latest change.
func (h Handle) Revision() uint64 { return atomic.LoadUint64((*uint64)(&h.view.revision)) }
