//! What a Rust user holds.

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
/// A cheap handle: clones are the same candidate. All electors of a process that use the same store share one
/// connection and two threads. When the last clone is dropped the candidate stands down, and its lease is
/// released in the background; call [`Elector::release_and_wait`] before the process ends to be sure of it.
///
/// ```
/// use elector::Elector;
/// use std::time::Duration;
///
/// let elector = Elector::builder("nightly").store("memory:elector-example").candidate("api-1").build()?;
/// elector.campaign();
/// elector.wait_until_leader(Duration::from_secs(60)).expect("nobody else stands");
///
/// if elector.am_i_leader() {
///     // The work that only one may do, with `elector.token()` for whoever checks it.
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
    /// The lease is to end by itself.
    abandoned: AtomicBool,
    /// How much longer a lease is renewed for work of `run_as_leader` that is to stop.
    drain: Duration,
    /// Whether `run_as_leader` is under way.
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
    /// Starts to describe a candidate of `election`.
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

    /// Stands for election until [`Elector::release`]. After a loss it stands again by itself. Standing
    /// already: no effect. Returns at once.
    pub fn campaign(&self) {
        self.inner().input(Input::Campaign);
    }

    /// Stands down: not leader from this call on, and no candidate until the next [`Elector::campaign`].
    /// The store is told in the background. Again: no effect.
    pub fn release(&self) {
        self.inner().input(Input::Release);
    }

    /// The same, and waits until the store has confirmed it, so that the next candidate leads at once. A
    /// campaign that somebody begins meanwhile changes nothing about that.
    ///
    /// # Errors
    /// When the store does not confirm within `timeout`. This elector is not leader all the same, and the
    /// lease ends by itself.
    pub fn release_and_wait(&self, timeout: Duration) -> Result<(), Error> {
        let before = self.inner().input(Input::Release);
        if self.inner().wait_released(before, timeout) {
            return Ok(());
        }
        Err(Error::unconfirmed(self.election(), timeout, self.last_error()))
    }

    /// The same for async callers. It ends at the latest when the lease has ended by itself, which takes one
    /// lease from the call, or two if the outcome of an attempt to take it was unknown; put a timeout of your
    /// runtime around it to wait less long.
    pub async fn release_and_confirm(&self) {
        let before = self.inner().input(Input::Release);
        poll_fn(|context| match self.inner().poll_released(before, context.waker()) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        })
        .await;
    }

    /// Stands down once the work in progress is done: [`Elector::am_i_leader`] is false from this call
    /// on, but the lease is kept, so that nobody else starts, until [`Elector::drained`] or until it can
    /// be kept no longer.
    ///
    /// Work of [`Elector::run_as_leader`] is told to stop ([`Term::stop_requested`](crate::Term)), and gets
    /// the time of [`Builder::drain`]. The run itself says that the work is done.
    pub fn drain(&self) {
        match self.handle.running.load(Ordering::SeqCst) {
            true => self.drain_for(self.handle.drain),
            false => drop(self.inner().input(Input::Drain)),
        }
    }

    /// [`Elector::drain`], and the lease is renewed for `patience` at most. Work that takes longer keeps
    /// what is left of the lease then: others are elected when it has ended by itself, with the reason
    /// `stalled`. Of several bounds the earliest counts.
    pub fn drain_for(&self, patience: Duration) {
        self.inner().input(Input::DrainFor(patience));
    }

    /// The work in progress is done: ends what [`Elector::drain`] began.
    pub fn drained(&self) {
        self.inner().input(Input::Drained);
    }

    /// Says that the host makes progress. Needed at least every half lease with [`Builder::progress_gate`].
    pub fn alive(&self) {
        self.inner().input(Input::Alive);
    }

    // ---- Leadership ----

    /// Whether this candidate leads at this instant.
    ///
    /// One atomic load and one clock read: no lock, no I/O, no allocation. Right even if the hub's
    /// threads hang, after a suspend, and in a forked child (never leader). What starts because of a
    /// `true` must end before trust does: see [`Elector::leadership`].
    #[must_use]
    pub fn am_i_leader(&self) -> bool {
        self.inner().am_i_leader()
    }

    /// The fencing token of the current term, or `None` if this candidate does not lead.
    #[must_use]
    pub fn token(&self) -> Option<FencingToken> {
        self.inner().token()
    }

    /// One consistent answer with the term's token and deadlines.
    #[must_use]
    pub fn leadership(&self) -> Leadership {
        self.inner().leadership()
    }

    /// Who leads, as far as this candidate knows; it learns so while it stands.
    #[must_use]
    pub fn leader(&self) -> Option<Leader> {
        self.inner().leader()
    }

    /// Everything that happens from now on, in order.
    #[must_use]
    pub fn changes(&self) -> Changes {
        Changes::new(self.inner().subscribe())
    }

    /// Waits until this candidate leads; `None` when `timeout` passed before. It must stand already.
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

    /// The election's name.
    #[must_use]
    pub fn election(&self) -> &str {
        &self.inner().election
    }

    /// This candidate's name.
    #[must_use]
    pub fn candidate(&self) -> &str {
        &self.inner().name
    }

    /// Opens the store if it is not open yet, and says what came of it. Not needed: a campaign does it
    /// too, and tries again for ever. Good for telling a wrong path or password at start-up.
    ///
    /// # Errors
    /// What the store said, that it cannot keep the names or the meta text of this candidate, or that it said
    /// nothing within `timeout`.
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

    /// The latest error of the store, unless its latest operation succeeded. While writes fail, reading a
    /// free row does not clear it.
    #[must_use]
    pub fn last_error(&self) -> Option<StoreError> {
        if self.inner().is_forked() { None } else { self.handle.hub.last_error() }
    }

    /// The open file that proves to other processes that this one lives, where the store has one (SQLite
    /// does). A child process that inherits it keeps the leases of this process held until the child is
    /// gone too.
    #[must_use]
    pub fn lock_fd(&self) -> Option<Arc<Descriptor>> {
        if self.inner().is_forked() { None } else { self.handle.hub.lock_fd() }
    }

    /// Leaves a lease that is held to end by itself, instead of releasing it when the last handle is dropped.
    #[cfg(feature = "capi")]
    pub(crate) fn abandon(&self) {
        self.handle.abandoned.store(true, Ordering::Relaxed);
        let (candidate, hub) = (self.inner(), &self.handle.hub);
        match candidate.leadership().phase {
            Phase::Leader | Phase::Draining => hub.abandon(candidate),
            // Perhaps a release is still to be told to the store, whether or not a campaign followed it.
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

    /// Whether `run_as_leader` is under way.
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

/// Describes an [`Elector`]. Made by [`Elector::builder`]; whatever is not set has a default.
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
    /// Where leases are kept: `postgres://…`, `sqlite:PATH` or `memory:NAME`. Default: `$ELECTOR_STORE`,
    /// else a SQLite file under the platform's state directory ([`StoreUrl::default_store`]).
    pub fn store(mut self, url: impl AsRef<str>) -> Builder {
        self.store = Some(StoreUrl::parse(url.as_ref()));
        self
    }

    /// The same, from a URL that was parsed before.
    pub fn store_url(mut self, url: StoreUrl) -> Builder {
        self.store = Some(Ok(url));
        self
    }

    /// This candidate's name, 1 to 255 bytes. Default: `host-pid`. Two candidates may share a name; they are
    /// still told apart.
    pub fn candidate(mut self, name: impl Into<String>) -> Builder {
        self.candidate = Some(name.into());
        self
    }

    /// A text for others to read while this candidate leads: an address, a version. At most 64 KiB, without
    /// NUL.
    pub fn meta(mut self, text: impl Into<String>) -> Builder {
        self.meta = Some(text.into());
        self
    }

    /// See [`TimingOptions::lease`]. Default: 10 s.
    pub fn lease(mut self, lease: Duration) -> Builder {
        self.timing.lease = Some(lease);
        self
    }

    /// See [`TimingOptions::renew`]. Default: 30 % of the lease.
    pub fn renew(mut self, renew: Duration) -> Builder {
        self.timing.renew = Some(renew);
        self
    }

    /// See [`TimingOptions::jitter`]. Default: 20 % of the lease.
    pub fn jitter(mut self, jitter: Duration) -> Builder {
        self.timing.jitter = Some(jitter);
        self
    }

    /// See [`TimingOptions::retry`]. Default: 5 % of the lease.
    pub fn retry(mut self, retry: Duration) -> Builder {
        self.timing.retry = Some(retry);
        self
    }

    /// See [`TimingOptions::margin`]. Default: the larger of 250 ms and a fifteenth of the lease.
    pub fn margin(mut self, margin: Duration) -> Builder {
        self.timing.margin = Some(margin);
        self
    }

    /// See [`TimingOptions::grace`]. Default: a tenth of the lease.
    pub fn grace(mut self, grace: Duration) -> Builder {
        self.timing.grace = Some(grace);
        self
    }

    /// All timings at once.
    pub fn timing(mut self, timing: TimingOptions) -> Builder {
        self.timing = timing;
        self
    }

    /// How much longer the lease is renewed for work of [`Elector::run_as_leader`] once [`Elector::drain`]
    /// has told it to stop. Default: half a lease. Work that takes longer keeps what is left of the lease
    /// then, and is cut off at the soft deadline.
    pub fn drain(mut self, patience: Duration) -> Builder {
        self.drain = Some(patience);
        self
    }

    /// Take over only what stood unchanged for a full lease of this candidate's own clock: see
    /// [`Config::strict`].
    pub fn strict(mut self) -> Builder {
        self.strict = true;
        self
    }

    /// Campaign and renew only while [`Elector::alive`] is called at least every half lease, so that a
    /// host that hangs does not lead for ever.
    pub fn progress_gate(mut self) -> Builder {
        self.progress_gate = true;
        self
    }

    /// Checks everything and makes the elector. Does no I/O; the store is opened by the first campaign.
    ///
    /// # Errors
    /// When a name, the meta text, a timing or the store's URL is wrong, no thread can be started, or the
    /// system gives no random number, by which candidates are told apart.
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

/// `host-pid`, which tells an operator where to look.
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

    /// As a bug would: it panics under the machine's lock, half-way through what an input led to.
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

    /// A host that is told of its elections, or not.
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
