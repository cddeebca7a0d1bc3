//! The public handle of a candidate, [`Elector`].

pub(crate) mod error;
#[cfg(feature = "postgres")]
mod guard;
mod run_as_leader;

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;

#[cfg(feature = "capi")]
use crate::core::lease::Phase;
use crate::core::lease::{Config, Input, Leader, Leadership};
use crate::core::{FencingToken, Name, TimingOptions};
use crate::driver::host::descriptor::Descriptor;
use crate::driver::host::random;
use crate::driver::hub;
use crate::driver::hub::candidate::Candidate;
use crate::driver::hub::changes::Changes;
use crate::driver::hub::shared::Hub;
use crate::driver::stores::StoreError;
use crate::driver::stores::url::{InvalidUrl, StoreUrl};

pub use self::{error::Error, run_as_leader::Term};

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
    /// A builder for a candidate of `election`, whose name has 1 to 255 bytes.
    pub fn builder(election: impl Into<String>) -> Builder {
        Builder {
            election: election.into(),
            store: None,
            candidate: None,
            meta: None,
            timing: TimingOptions::default(),
            drain: None,
            strict: false,
            progress_gate: false,
        }
    }

    // ---- Standing ----

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

    /// Drains like [`Elector::drain`], and renews the lease for `patience` at most. If the work is not done
    /// by then, the lease expires, the term ends with the reason `stalled`, and another candidate can lead
    /// while the work may still run. Of several bounds the earliest counts.
    pub fn drain_for(&self, patience: Duration) {
        self.inner().input(Input::DrainFor(patience));
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

/// The settings of an [`Elector`], made by [`Elector::builder`]. All have defaults.
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing before `build`"]
pub struct Builder {
    election: String,
    store: Option<Result<StoreUrl, InvalidUrl>>,
    candidate: Option<String>,
    meta: Option<String>,
    timing: TimingOptions,
    drain: Option<Duration>,
    strict: bool,
    progress_gate: bool,
}

impl Builder {
    /// The store of the leases: `postgres://…`, `sqlite:PATH` or `memory:NAME` ([`StoreUrl`]). Default:
    /// `$ELECTOR_STORE`, else a SQLite file in the user's state directory ([`StoreUrl::default_store`]).
    /// Candidates of one election exclude each other only if all of them use the same store.
    pub fn store(mut self, url: impl AsRef<str>) -> Builder {
        self.store = Some(StoreUrl::parse(url.as_ref()));
        self
    }

    /// The store of the leases, as a parsed URL.
    pub fn store_url(mut self, url: StoreUrl) -> Builder {
        self.store = Some(Ok(url));
        self
    }

    /// The candidate's name for logs and listings, 1 to 255 bytes. Default: `host-pid`. Two candidates may
    /// share a name: a random number distinguishes them.
    pub fn candidate(mut self, name: impl Into<String>) -> Builder {
        self.candidate = Some(name.into());
        self
    }

    /// A text that other processes can read while this candidate leads, such as an address or a version. At
    /// most 64 KiB, without NUL. Default: none.
    pub fn meta(mut self, text: impl Into<String>) -> Builder {
        self.meta = Some(text.into());
        self
    }

    /// The length of the lease ([`TimingOptions::lease`]). Default: 10 s. Too short, and a slow store ends
    /// terms; too long, and a take-over after a crash takes that long.
    pub fn lease(mut self, lease: Duration) -> Builder {
        self.timing.lease = Some(lease);
        self
    }

    /// The longest time from one renewal to the next ([`TimingOptions::renew`]). Default: 30 % of the lease.
    /// Too long, and few renewals can fail before the term ends.
    pub fn renew(mut self, renew: Duration) -> Builder {
        self.timing.renew = Some(renew);
        self
    }

    /// How much earlier than `renew` a renewal may be sent, at random ([`TimingOptions::jitter`]). Default:
    /// 20 % of the lease. Zero, and processes that started together send their operations together.
    pub fn jitter(mut self, jitter: Duration) -> Builder {
        self.timing.jitter = Some(jitter);
        self
    }

    /// The pause after a failed attempt ([`TimingOptions::retry`]). Default: 5 % of the lease.
    pub fn retry(mut self, retry: Duration) -> Builder {
        self.timing.retry = Some(retry);
        self
    }

    /// How much earlier than necessary the holder stops trusting its lease ([`TimingOptions::margin`]).
    /// Default: the larger of 250 ms and a fifteenth of the lease. Too short, and a pause between reading the
    /// clock and acting, or a forward step of the store's clock, makes two leaders possible.
    pub fn margin(mut self, margin: Duration) -> Builder {
        self.timing.margin = Some(margin);
        self
    }

    /// How long before the hard deadline new work must stop ([`TimingOptions::grace`]). Default: a tenth of
    /// the lease. Must be longer than the work that cannot be interrupted.
    pub fn grace(mut self, grace: Duration) -> Builder {
        self.timing.grace = Some(grace);
        self
    }

    /// Sets all timings at once.
    pub fn timing(mut self, timing: TimingOptions) -> Builder {
        self.timing = timing;
        self
    }

    /// How long the lease is renewed at most, after [`Elector::drain`], for work of
    /// [`Elector::run_as_leader`]. Default: half a lease. Work that has not returned by then keeps the rest
    /// of the lease, and is dropped at the soft deadline.
    pub fn drain(mut self, patience: Duration) -> Builder {
        self.drain = Some(patience);
        self
    }

    /// Takes over only a row that has not changed for a full lease by this candidate's own clock
    /// ([`Config::strict`]). That protects against forward steps of the store's clock that this candidate has
    /// not seen and against commits that a promoted standby has lost; each change of leader takes one lease
    /// longer. Default: off. All candidates of an election should use it.
    pub fn strict(mut self) -> Builder {
        self.strict = true;
        self
    }

    /// Campaigns and renews only while [`Elector::alive`] is called at least once in each half lease, so that
    /// a hanging host loses its term. Default: off. Without the calls no term begins or lasts.
    pub fn progress_gate(mut self) -> Builder {
        self.progress_gate = true;
        self
    }

    /// Checks all settings and makes the elector. Does no I/O to the store, which the first campaign or
    /// [`Elector::connect`] opens.
    ///
    /// # Errors
    /// When a name, the meta text, a timing or the store's URL is invalid ([`Error::is_invalid_input`]); when
    /// no thread can be started; or when the system has no random number, which distinguishes candidates
    /// ([`Error::is_no_random`]).
    pub fn build(self) -> Result<Elector, Error> {
        let url = self.store.unwrap_or_else(StoreUrl::default_store)?;
        let candidate = self.candidate.unwrap_or_else(default_candidate);
        Name::check_text("meta text", self.meta.as_deref().unwrap_or_default())?;
        let config = Config {
            election: Name::new("election", &self.election)?,
            candidate: Name::new("candidate", &candidate)?,
            incarnation: random::number().map_err(Error::no_random)?,
            meta: self.meta.map(Into::into),
            timing: self.timing.build()?,
            strict: self.strict,
            progress_gate: self.progress_gate,
            seed: random::jitter(),
        };
        let drain = self.drain.unwrap_or(config.timing.lease() / 2);
        let (hub, candidate) = hub::join(&url, config).map_err(Error::threads)?;
        let (abandoned, running) = (AtomicBool::new(false), AtomicBool::new(false));
        Ok(Elector { handle: Arc::new(Handle { candidate, hub, abandoned, drain, running }) })
    }
}

/// The default name `host-pid`, which leads an operator to the process.
fn default_candidate() -> String {
    let host = nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok());
    let host = host.filter(|name| !name.is_empty()).unwrap_or_else(|| "host".to_owned());
    format!("{host}-{}", std::process::id())
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;
    use crate::core::lease::{DeposedReason, Event};
    #[cfg(feature = "capi")]
    use crate::driver::hub::candidate::{Delivery, Progress};
    use crate::driver::hub::changes::{Change, Listener};

    /// Panics as a bug would: under the machine's lock, in the middle of a step.
    struct PanickingListener;

    impl Listener for PanickingListener {
        fn push(&self, change: Change) -> Option<Waker> {
            assert!(!matches!(change.event, Event::Elected { .. }), "planted by a test");
            None
        }

        fn close(&self) {}
    }

    #[test]
    fn a_panic_ends_one_elector_for_good_and_no_other() {
        let soon = Duration::from_secs(60);
        let candidate = |election: &str| {
            Elector::builder(election)
                .store("memory:panicking")
                .lease(Duration::from_secs(60))
                .build()
                .unwrap()
        };
        let (victim, other) = (candidate("victim"), candidate("other"));
        let mut changes = victim.changes();
        let panicking: Arc<dyn Listener> = Arc::new(PanickingListener);
        victim.inner().add_listener(Arc::clone(&panicking));
        victim.campaign();
        let elected = changes.next_timeout(soon).map(|change| change.event);
        let Some(Event::Elected { token }) = elected else { panic!("{elected:?}") };
        let deposed = changes.next_timeout(soon).map(|change| change.event);
        assert_eq!(deposed, Some(Event::Deposed { token, reason: DeposedReason::Revoked }));
        assert!(!victim.am_i_leader() && victim.token().is_none());
        victim.campaign();
        victim.release_and_wait(soon).unwrap();
        assert!(!victim.leadership().is_leader && changes.try_next().is_none());
        other.campaign();
        other.wait_until_leader(soon).unwrap();
        assert!(!victim.am_i_leader());
    }

    /// A host whose callbacks are up to date, or are not while the flag is set.
    #[cfg(feature = "capi")]
    struct Undelivered(AtomicBool);

    #[cfg(feature = "capi")]
    impl Delivery for Undelivered {
        fn is_up_to_date(&self) -> bool {
            !self.0.load(Ordering::Relaxed)
        }
    }

    #[cfg(feature = "capi")]
    #[test]
    fn an_undelivered_term_ends_even_if_the_host_calls_alive() {
        std::thread::scope(|scope| {
            for progress in [Progress::Callbacks, Progress::CallbacksAndAlive] {
                scope.spawn(move || assert_that_an_undelivered_term_ends(progress));
            }
        });
    }

    #[cfg(feature = "capi")]
    fn assert_that_an_undelivered_term_ends(progress: Progress) {
        let soon = Duration::from_secs(60);
        let host = Arc::new(Undelivered(AtomicBool::new(false)));
        let store = format!("memory:undelivered-{progress:?}");
        let elector = Elector::builder("undelivered").store(&store).progress_gate().build().unwrap();
        elector.inner().gate_by(host.clone(), progress);
        let mut changes = elector.changes();
        elector.campaign();
        let token = elector.wait_until_leader(soon).unwrap();
        host.0.store(true, Ordering::Relaxed);
        let end = std::time::Instant::now() + soon;
        while elector.am_i_leader() && std::time::Instant::now() < end {
            elector.alive();
            std::thread::sleep(Duration::from_millis(50));
        }
        assert!(!elector.am_i_leader());
        let next = || changes.next_timeout(soon).map(|change| change.event);
        let deposed = std::iter::from_fn(next).find(|event| matches!(event, Event::Deposed { .. }));
        assert_eq!(deposed, Some(Event::Deposed { token, reason: DeposedReason::Stalled }));
        elector.release_and_wait(soon).unwrap();
    }
}
