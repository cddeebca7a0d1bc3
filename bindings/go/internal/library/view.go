//go:build unix

package library

// #include "elector.h"
import "C"

import "sync/atomic"

// These read memory of the library's, which lives until Free.

// TrustedUntil is until when this candidate leads, on the clock of [Now]; 0: it does not, also in a forked
// child. Read the clock after it: one that was read before could be older than the end of a term that it
// still shows.
func (h Handle) TrustedUntil() uint64 {
	until := atomic.LoadUint64((*uint64)(&h.view.trusted_until_ns))
	if atomic.LoadUint32((*uint32)(h.view.forks)) != uint32(h.view.forks_then) {
		return 0
	}
	return until
}

// Token is the term's fencing token. It means something only if it is the same before and after a read of
// TrustedUntil that gave an instant to come.
func (h Handle) Token() uint64 { return atomic.LoadUint64((*uint64)(&h.view.token)) }

// Revision is the number of the latest change.
func (h Handle) Revision() uint64 { return atomic.LoadUint64((*uint64)(&h.view.revision)) }
