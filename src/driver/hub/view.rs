//! What may be read of a candidate without a lock: two numbers and a counter, written by one writer at a
//! time.

use std::sync::atomic::{AtomicU64, Ordering};

#[cfg(test)]
mod tests;

/// An atomic number: the processor's, or in the tests that of a model checker, which tries every order of the
/// steps.
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

/// A term is published token first and trust last, and withdrawn in the other order, so that whoever reads
/// the same token before and after a trusted instant has read one term.
///
/// Its layout is part of the C ABI (`elector_view`).
#[derive(Default)]
#[repr(C)]
pub(crate) struct View<A = AtomicU64> {
    /// Until when the term is trusted, in nanoseconds of the driver's clock; 0: not leader.
    pub(crate) trusted_until: A,
    /// The term's fencing token; means something only while the term is trusted.
    pub(crate) token: A,
    /// Counts what changed.
    pub(crate) revision: A,
}

impl<A: Atomic> View<A> {
    /// Leader under `token` until `trusted_until`. To be called by one thread at a time, as the rest of this.
    pub(crate) fn publish(&self, token: u64, trusted_until: u64) {
        if self.token.load(Ordering::Relaxed) != token {
            self.trusted_until.store(0, Ordering::SeqCst);
            self.token.store(token, Ordering::SeqCst);
        }
        self.trusted_until.store(trusted_until, Ordering::SeqCst);
    }

    /// Not leader.
    pub(crate) fn withdraw(&self) {
        if self.trusted_until.load(Ordering::Relaxed) != 0 {
            self.trusted_until.store(0, Ordering::SeqCst);
            self.token.store(0, Ordering::SeqCst);
        }
    }

    /// Something changed that others may want to know.
    pub(crate) fn count_change(&self) -> u64 {
        let revision = self.revision.load(Ordering::Relaxed) + 1;
        self.revision.store(revision, Ordering::SeqCst);
        revision
    }

    pub(crate) fn revision(&self) -> u64 {
        self.revision.load(Ordering::SeqCst)
    }

    /// Whether the term lasts at the time that `now` reads, after the load: a clock that was read before it
    /// could be older than the end of a term that the load still shows.
    pub(crate) fn leads(&self, now: impl FnOnce() -> u64) -> bool {
        let trusted_until = self.trusted_until.load(Ordering::Acquire);
        trusted_until != 0 && now() < trusted_until
    }

    /// The token of the term that lasts at the time that `now` reads, or 0.
    pub(crate) fn token(&self, now: impl FnOnce() -> u64) -> u64 {
        let token = self.token.load(Ordering::SeqCst);
        let leads = self.trusted_until.load(Ordering::SeqCst);
        let leads = leads != 0 && now() < leads;
        let unchanged = self.token.load(Ordering::SeqCst) == token;
        if leads && unchanged { token } else { 0 }
    }
}
