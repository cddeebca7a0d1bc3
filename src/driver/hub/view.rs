//! The atomics of a candidate that are read without a lock: deadline of trust, token and a counter, written
//! by one thread at a time.

use std::sync::atomic::{AtomicU64, Ordering};

#[cfg(test)]
mod tests;

/// An atomic integer: the processor's, or in tests that of a model checker, which tries every order of steps.
pub(crate) trait Atomic: Default {
    fn load(&self, order: Ordering) -> u64;
    fn store(&self, value: u64, order: Ordering);
}

impl Atomic for AtomicU64 {
    fn load(&self, order: Ordering) -> u64 {
        AtomicU64::load(self, order)
    }

    fn store(&self, value: u64, order: Ordering) {
        AtomicU64::store(self, value, order);
    }
}

/// The published term. Publishing writes the token first and the trust last, and withdrawing clears them in
/// the opposite order. So a reader that reads the same token before and after a trusted instant has read one
/// term.
///
/// The layout is part of the C ABI (`elector_view`).
#[derive(Default)]
#[repr(C)]
pub(crate) struct View<A = AtomicU64> {
    /// When trust ends, in nanoseconds of the driver's clock; 0: not leader.
    pub(crate) trusted_until: A,
    /// The term's fencing token; valid only while the term is trusted.
    pub(crate) token: A,
    /// The number of changes so far.
    pub(crate) revision: A,
}

impl<A: Atomic> View<A> {
    /// Publishes that the candidate leads under `token` until `trusted_until`. Like all writers of a view, to
    /// be called by one thread at a time.
    pub(crate) fn publish(&self, token: u64, trusted_until: u64) {
        if self.token.load(Ordering::Relaxed) != token {
            self.trusted_until.store(0, Ordering::SeqCst);
            self.token.store(token, Ordering::SeqCst);
        }
        self.trusted_until.store(trusted_until, Ordering::SeqCst);
    }

    /// Publishes that the candidate does not lead.
    pub(crate) fn withdraw(&self) {
        if self.trusted_until.load(Ordering::Relaxed) != 0 {
            self.trusted_until.store(0, Ordering::SeqCst);
            self.token.store(0, Ordering::SeqCst);
        }
    }

    /// Counts a change; returns its revision.
    pub(crate) fn count_change(&self) -> u64 {
        let revision = self.revision.load(Ordering::Relaxed) + 1;
        self.revision.store(revision, Ordering::SeqCst);
        revision
    }

    pub(crate) fn revision(&self) -> u64 {
        self.revision.load(Ordering::SeqCst)
    }

    /// Whether the term is trusted at the time that `now` reads. The clock is read after the load: a time
    /// read before it could lie before the end of a term that the load still shows.
    pub(crate) fn leads(&self, now: impl FnOnce() -> u64) -> bool {
        let trusted_until = self.trusted_until.load(Ordering::Acquire);
        trusted_until != 0 && now() < trusted_until
    }

    /// The token of the term that is trusted at the time that `now` reads, or 0.
    pub(crate) fn token(&self, now: impl FnOnce() -> u64) -> u64 {
        let token = self.token.load(Ordering::SeqCst);
        let leads = self.trusted_until.load(Ordering::SeqCst);
        let leads = leads != 0 && now() < leads;
        let unchanged = self.token.load(Ordering::SeqCst) == token;
        if leads && unchanged { token } else { 0 }
    }
}
