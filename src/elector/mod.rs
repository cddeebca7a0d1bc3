//! The public handle of a candidate, [`Elector`].

mod builder;
pub(crate) mod error;
#[cfg(feature = "postgres")]
mod guard;
mod run_as_leader;

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;

use crate::core::FencingToken;
#[cfg(feature = "capi")]
use crate::core::lease::Phase;
use crate::core::lease::{Input, Leader, Leadership};
use crate::driver::host::descriptor::Descriptor;
use crate::driver::hub::candidate::Candidate;
use crate::driver::hub::changes::Changes;
use crate::driver::hub::shared::Hub;
use crate::driver::stores::StoreError;

pub use self::{builder::Builder, error::Error, run_as_leader::Term};

/// One candidate of one election.
///
/// A handle that is cheap to clone; clones are the same candidate. All electors of a process that use one
/// store share one connection and two threads.
///
/// When the last clone is dropped, the candidate stands down and its lease is released in the background. A
/// process that exits right after that may leave the lease unreleased, so that the next leader has to wait
/// until it expires: call [`Elector::release_and_wait`] first.
///
/// ```
/// use elector::Elector;
/// use std::time::Duration;
///
/// let elector = Elector::builder("nightly").store("memory:elector-example").candidate("api-1").build()?;
/// elector.campaign();
/// elector.wait_until_leader(Duration::from_secs(60)).expect("no other candidate campaigns");
///
/// if elector.am_i_leader() {
///     // The leader's work. Pass `elector.token()` to every resource that checks tokens.
/// }
/// elector.release_and_wait(Duration::from_secs(60))?;
/// assert!(!elector.am_i_leader());
/// # Ok::<(), elector::Error>(())
/// ```
#[derive(Clone)]
pub struct Elector {
    handle: Arc<Handle>,
}

struct Handle {
    candidate: Arc<Candidate>,
    hub: Arc<Hub>,
    /// The lease is left to expire instead of being released.
    abandoned: AtomicBool,
    /// How long the lease is renewed at most while work of `run_as_leader` drains.
    drain: Duration,
    /// Whether `run_as_leader` is running.
    running: AtomicBool,
}

impl Drop for Handle {
    fn drop(&mut self) {
        if self.abandoned.load(Ordering::Relaxed) {
            return;
        }
        self.candidate.input(Input::Release);
        if !self.candidate.is_forked() {
            self.hub.retire(self.candidate.id);
        }
    }
}

impl Elector {
    fn new(candidate: Arc<Candidate>, hub: Arc<Hub>, drain: Duration) -> Elector {
        let (abandoned, running) = (AtomicBool::new(false), AtomicBool::new(false));
        Elector { handle: Arc::new(Handle { candidate, hub, abandoned, drain, running }) }
    }

    // ---- Campaigning ----

    /// Starts to campaign: the candidate tries to acquire the lease, and after each loss tries again, until
    /// [`Elector::release`] or [`Elector::drain`]. Returns at once; without effect while it campaigns.
    pub fn campaign(&self) {
        self.inner().input(Input::Campaign);
    }

    /// Stands down: from this call on the candidate does not lead, and it does not campaign before the next
    /// [`Elector::campaign`]. Returns at once; the lease is released in the background. Without effect if the
    /// candidate has stood down.
    pub fn release(&self) {
        self.inner().input(Input::Release);
    }

    /// Stands down like [`Elector::release`] and waits until the store has confirmed the release, after which
    /// another candidate can lead at once. A campaign that another thread starts meanwhile does not affect
    /// the wait.
    ///
    /// # Errors
    /// [`Error::is_timeout`] when the store does not confirm within `timeout`. The candidate does not lead
    /// even then, and the lease expires.
    pub fn release_and_wait(&self, timeout: Duration) -> Result<(), Error> {
        let before = self.inner().input(Input::Release);
        if self.inner().wait_released(before, timeout) {
            return Ok(());
        }
        Err(Error::unconfirmed(self.election(), timeout, self.last_error()))
    }

    /// Stands down like [`Elector::release`] and waits, for async callers, until the store has confirmed the
    /// release or the lease has expired. That takes at most one lease from the call, or two if the outcome of
    /// an acquire was unknown. For a shorter wait, use a timeout of your runtime.
    pub async fn release_and_confirm(&self) {
        let before = self.inner().input(Input::Release);
        poll_fn(|context| match self.inner().poll_released(before, context.waker()) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        })
        .await;
    }

    /// Stands down once the work in progress is done. From this call on [`Elector::am_i_leader`] is false,
    /// but the lease is kept, so that no other candidate starts, until [`Elector::drained`] is called or the
    /// lease cannot be renewed.
    ///
    /// Work of [`Elector::run_as_leader`] is asked to stop ([`Term::stop_requested`](crate::Term)), and the
    /// lease is renewed for [`Builder::drain`] at most. Do not call [`Elector::drained`] then:
    /// `run_as_leader` does so when the work returns.
    pub fn drain(&self) {
        match self.handle.running.load(Ordering::SeqCst) {
            true => self.drain_for(self.handle.drain),
            false => drop(self.inner().input(Input::Drain)),
        }
    }

    /// Drains like [`Elector::drain`], and renews the lease for `drain` at most. If the work is not done
    /// by then, the lease expires, the term ends with the reason `stalled`, and another candidate can lead
    /// while the work may still run. Of several bounds the earliest counts.
    pub fn drain_for(&self, drain: Duration) {
        self.inner().input(Input::DrainFor(drain));
    }

    /// Ends a drain: reports that the work in progress is done, and releases the lease.
    pub fn drained(&self) {
        self.inner().input(Input::Drained);
    }

    /// Reports that the host makes progress. With [`Builder::progress_gate`] it must be called at least once
    /// in each half lease; otherwise the lease is not renewed and the term ends.
    pub fn alive(&self) {
        self.inner().input(Input::Alive);
    }

    // ---- Leadership ----

    /// Whether this candidate leads now.
    ///
    /// One atomic load and one clock read: no lock, no I/O, no allocation. The answer is right even while the
    /// hub's threads hang, after a suspend of the machine, and in a forked child (always false). Work that
    /// starts because of `true` must end before the hard deadline, after which another candidate may lead:
    /// see [`Elector::leadership`].
    #[must_use]
    pub fn am_i_leader(&self) -> bool {
        self.inner().am_i_leader()
    }

    /// The fencing token of the current term, or `None` if this candidate does not lead.
    #[must_use]
    pub fn token(&self) -> Option<FencingToken> {
        self.inner().token()
    }

    /// The current phase, with the term's token and deadlines, all of one instant.
    #[must_use]
    pub fn leadership(&self) -> Leadership {
        self.inner().leadership()
    }

    /// The current leader as this candidate last read it from the store, which it does only while it
    /// campaigns. It may be out of date.
    #[must_use]
    pub fn leader(&self) -> Option<Leader> {
        self.inner().leader()
    }

    /// A stream of all later changes, in order.
    #[must_use]
    pub fn changes(&self) -> Changes {
        Changes::new(self.inner().subscribe())
    }

    /// Waits until this candidate leads, and returns the term's token; `None` when `timeout` has passed
    /// first. Call [`Elector::campaign`] before.
    #[must_use]
    pub fn wait_until_leader(&self, timeout: Duration) -> Option<FencingToken> {
        let mut changes = self.changes();
        let deadline = std::time::Instant::now().checked_add(timeout);
        loop {
            if let Some(token) = self.token() {
                return Some(token);
            }
            let left =
                deadline.map_or(Duration::MAX, |at| at.saturating_duration_since(std::time::Instant::now()));
            changes.next_timeout(left)?;
        }
    }

    // ---- About ----

    /// The name of the election.
    #[must_use]
    pub fn election(&self) -> &str {
        &self.inner().election
    }

    /// The name of this candidate.
    #[must_use]
    pub fn candidate(&self) -> &str {
        &self.inner().name
    }

    /// Opens the store if it is not open, and returns the result. Optional, since a campaign opens the store
    /// too and retries without limit; useful to find a wrong path or password at start-up.
    ///
    /// # Errors
    /// When the store cannot be opened or refuses the names or the meta text of this candidate
    /// ([`Error::is_store`]), or has not answered within `timeout` ([`Error::is_timeout`]).
    pub fn connect(&self, timeout: Duration) -> Result<(), Error> {
        if self.inner().is_forked() {
            return Err(Error::forked());
        }
        let hub = &self.handle.hub;
        match hub.connect(timeout, self.inner().texts()) {
            Some(result) => result.and_then(|()| hub.check_election(self.election())).map_err(Error::from),
            None => Err(Error::unconfirmed(self.election(), timeout, self.last_error())),
        }
    }

    /// The store's error if its latest operation failed; `None` if it succeeded. While writes fail, a
    /// successful read of a free row does not clear the error.
    #[must_use]
    pub fn last_error(&self) -> Option<StoreError> {
        if self.inner().is_forked() { None } else { self.handle.hub.last_error() }
    }

    /// The open lock file that proves to other processes that this process lives; `None` for stores without
    /// one (only SQLite has one). A child process that inherits the descriptor keeps the leases of this
    /// process held until the child has ended too.
    #[must_use]
    pub fn lock_fd(&self) -> Option<Arc<Descriptor>> {
        if self.inner().is_forked() { None } else { self.handle.hub.lock_fd() }
    }

    /// Leaves a held lease to expire instead of releasing it when the last handle is dropped.
    #[cfg(feature = "capi")]
    pub(crate) fn abandon(&self) {
        self.handle.abandoned.store(true, Ordering::Relaxed);
        let (candidate, hub) = (self.inner(), &self.handle.hub);
        match candidate.leadership().phase {
            Phase::Leader | Phase::Draining => hub.abandon(candidate),
            // A release may still be outstanding, whether or not a campaign followed it.
            Phase::Candidate | Phase::Standby => {
                candidate.input(Input::Release);
                hub.retire(candidate.id);
            }
        }
    }

    pub(crate) fn inner(&self) -> &Candidate {
        &self.handle.candidate
    }

    #[cfg(any(feature = "postgres", feature = "capi"))]
    pub(crate) fn hub(&self) -> &Arc<Hub> {
        &self.handle.hub
    }

    /// Whether `run_as_leader` is running.
    pub(crate) fn running(&self) -> &AtomicBool {
        &self.handle.running
    }
}

impl std::fmt::Debug for Elector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Elector")
            .field("election", &self.election())
            .field("candidate", &self.candidate())
            .field("leadership", &self.leadership())
            .finish()
    }
}

#[cfg(test)]
mod tests;
