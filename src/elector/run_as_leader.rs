//! [`Elector::run_as_leader`]: work that runs while this candidate leads and is cancelled in time.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_core::Stream;
use tracing::Instrument;

use crate::core::FencingToken;
use crate::core::lease::{DeposedReason, Event, Input, Leadership, Phase};
use crate::driver::host::clock;
use crate::driver::hub::changes::{Change, Changes};
use crate::elector::Elector;
use crate::elector::error::Error;

/// The term under which work of [`Elector::run_as_leader`] runs.
#[derive(Clone, Debug)]
pub struct Term {
    token: FencingToken,
    elector: Elector,
}

impl Term {
    /// The term's fencing token. Pass it to every resource that checks tokens.
    #[must_use]
    pub fn token(&self) -> FencingToken {
        self.token
    }

    /// The time from this call until the hard deadline, when trust in this term ends; zero once the term is
    /// over. A renewal extends it.
    ///
    /// Everything that only the leader may do must have ended by then: another candidate can lead from that
    /// instant on.
    #[must_use]
    pub fn trusted_for(&self) -> Duration {
        self.leadership().map_or(Duration::ZERO, |leadership| leadership.trusted_for(clock::now()))
    }

    /// The time from this call until the soft deadline, `grace` before the hard one; zero past it and once
    /// the term is over. A renewal extends it.
    ///
    /// Start nothing new by then: [`Elector::run_as_leader`] drops the work at that instant. While the
    /// candidate drains, start nothing new at all: this is how long the work in progress may still run.
    #[must_use]
    pub fn work_for(&self) -> Duration {
        self.leadership().map_or(Duration::ZERO, |leadership| leadership.work_for(clock::now()))
    }

    /// Whether this term is still trusted. True also while the candidate drains.
    #[must_use]
    pub fn is_current(&self) -> bool {
        self.elector.token() == Some(self.token) || self.leadership().is_some()
    }

    /// Whether the work should stop: the candidate drains, or the term is over.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.elector.token() != Some(self.token)
    }

    /// Waits until the work should stop ([`Term::is_stopping`]). Then finish and return; meanwhile the lease
    /// is kept, for [`Builder::drain`](crate::Builder::drain) at most.
    ///
    /// ```no_run
    /// # async fn sigterm() {}
    /// # async fn next_job() -> u32 { 7 }
    /// # async fn work_on(_job: u32) {}
    /// # async fn example(elector: elector::Elector) -> Result<(), elector::Error> {
    /// let candidate = elector.clone();
    /// tokio::spawn(async move {
    ///     sigterm().await;
    ///     candidate.drain();
    /// });
    /// elector
    ///     .run_as_leader(async |term| {
    ///         loop {
    ///             tokio::select! {
    ///                 _ = term.stop_requested() => break,
    ///                 // A job that has begun is finished before the next leader begins one.
    ///                 job = next_job() => work_on(job).await,
    ///             }
    ///         }
    ///     })
    ///     .await
    /// # }
    /// ```
    pub async fn stop_requested(&self) {
        // Subscribed before the state is read, so that no later change is missed.
        let mut changes = self.elector.changes();
        poll_fn(|context| {
            while let Poll::Ready(Some(_)) = Pin::new(&mut changes).poll_next(context) {}
            if self.is_stopping() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    fn is_draining(&self) -> bool {
        self.leadership().is_some_and(|leadership| leadership.phase == Phase::Draining)
    }

    /// The answer of the elector while this very term is trusted.
    fn leadership(&self) -> Option<Leadership> {
        Some(self.elector.leadership()).filter(|leadership| leadership.token == Some(self.token))
    }
}

impl Elector {
    /// Campaigns, runs `work` once elected, releases the lease when it returns, and returns its value.
    ///
    /// To stop it, for example on SIGTERM, call [`Elector::drain`]: `work` is notified
    /// ([`Term::stop_requested`]), finishes under the lease, and the next leader begins only after that.
    /// Meanwhile the lease is renewed for [`Builder::drain`](crate::Builder::drain) at most; work that has
    /// not returned by the soft deadline is dropped.
    ///
    /// [`Elector::release`] does not wait for the work, and neither does dropping the returned future: the
    /// work's future is dropped and the lease is released. Danger: tasks that the work has spawned, and calls
    /// that do not await, go on without the lease.
    ///
    /// If leadership ends, or cannot be renewed in time, the future of `work` is dropped at the soft deadline
    /// (`grace` before trust ends), this candidate campaigns again, and `work` is called again under the next
    /// term's token. Dropping a future cancels it at its current `await`: code that computes for long without
    /// one must check [`Term::is_current`] itself.
    ///
    /// The work runs in a `tracing` span `term` with the fields `election`, `candidate` and `token`.
    ///
    /// Needs only wakers, so it works on every async runtime and without one. To spawn it on a runtime with
    /// several threads, write `async move |term| …`: the compiler does not yet accept a borrowing closure as
    /// `Send`.
    ///
    /// ```
    /// # fn main() -> Result<(), elector::Error> {
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// use elector::Elector;
    ///
    /// let elector = Elector::builder("nightly").store("memory:run-example").build()?;
    /// let report = elector.run_as_leader(async |term| format!("done under token {}", term.token())).await?;
    /// assert!(report.starts_with("done under token"));
    /// assert!(!elector.am_i_leader(), "released when the work was done");
    /// # Ok(())
    /// # })
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::is_released`] when [`Elector::release`] or [`Elector::drain`] ended it before the work
    /// returned; [`Error::is_busy`] when this candidate already runs other work, which is not affected;
    /// [`Error::is_forked`] in a forked child.
    pub async fn run_as_leader<T>(&self, mut work: impl AsyncFnMut(Term) -> T) -> Result<T, Error> {
        let _running = Running::begin(self)?;
        let stand_down = StandDown::at_the_end(self);
        let mut changes = self.changes();
        self.campaign();
        loop {
            let token = self.elected(&mut changes).await?;
            let term = Term { token, elector: self.clone() };
            let ended = {
                let (election, candidate) = (self.election(), self.candidate());
                let span = tracing::info_span!("term", election, candidate, token = token.get());
                let mut work = pin!(work(term.clone()).instrument(span));
                let mut begun = false;
                poll_fn(|context| poll_term(context, &term, &mut changes, &mut begun, work.as_mut())).await
            };
            match ended {
                Ended::Done(value) => {
                    drop(stand_down);
                    return Ok(value);
                }
                // The work was dropped, so the drain has nothing left to wait for.
                Ended::Stopped if self.leadership().phase == Phase::Draining => {
                    self.drained();
                    return Err(Error::released(self.election()));
                }
                // Another call released the elector after the soft deadline.
                Ended::Stopped if self.leadership().phase == Phase::Standby => {
                    return Err(Error::released(self.election()));
                }
                Ended::Released => return Err(Error::released(self.election())),
                // The work was dropped, and the next call needs a new term with a new token.
                Ended::Stopped => {
                    self.release();
                    self.campaign();
                }
            }
        }
    }

    fn drains(&self, token: FencingToken) -> bool {
        let leadership = self.leadership();
        leadership.phase == Phase::Draining && leadership.token == Some(token)
    }

    async fn elected(&self, changes: &mut Changes) -> Result<FencingToken, Error> {
        if self.inner().is_forked() {
            return Err(Error::forked());
        }
        if let Some(token) = self.token() {
            return Ok(token);
        }
        poll_fn(|context| {
            while let Poll::Ready(change) = Pin::new(&mut *changes).poll_next(context) {
                match change.map(|change| change.event) {
                    Some(Event::Elected { token }) if self.token() == Some(token) => {
                        return Poll::Ready(Ok(token));
                    }
                    // Drained before the work was started, so there is nothing to wait for.
                    Some(Event::Elected { token }) if self.drains(token) => {
                        self.drained();
                        return Poll::Ready(Err(Error::released(self.election())));
                    }
                    Some(_) => {}
                    None => return Poll::Ready(Err(Error::released(self.election()))),
                }
            }
            // A candidate that stands down without a term emits no event.
            match self.inner().poll_settled(context.waker()) {
                true => Poll::Ready(Err(Error::released(self.election()))),
                false => Poll::Pending,
            }
        })
        .await
    }
}

/// Marks that this elector runs work, until it is dropped. One candidate has one lease, so a second piece of
/// work would lose its term when the first one ends.
struct Running<'a>(&'a AtomicBool);

impl Running<'_> {
    fn begin(elector: &Elector) -> Result<Running<'_>, Error> {
        match elector.running().swap(true, Ordering::SeqCst) {
            true => Err(Error::busy(elector.election())),
            false => Ok(Running(elector.running())),
        }
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::SeqCst);
    }
}

/// Releases the lease when `run_as_leader` ends, also when its future is dropped.
struct StandDown<'a> {
    elector: &'a Elector,
    /// The term, if the candidate drained for other work when `run_as_leader` was called; that drain goes on.
    kept: Option<FencingToken>,
}

impl StandDown<'_> {
    fn at_the_end(elector: &Elector) -> StandDown<'_> {
        let leadership = elector.leadership();
        StandDown { elector, kept: leadership.token.filter(|_| leadership.phase == Phase::Draining) }
    }
}

impl Drop for StandDown<'_> {
    fn drop(&mut self) {
        match self.kept.is_some_and(|token| self.elector.drains(token)) {
            // The candidate goes on to drain and does not campaign afterwards.
            true => drop(self.elector.inner().input(Input::Drain)),
            false => self.elector.release(),
        }
    }
}

enum Ended<T> {
    Done(T),
    Stopped,
    Released,
}

/// Polls the work while its term allows.
fn poll_term<T>(
    context: &mut Context<'_>,
    term: &Term,
    changes: &mut Changes,
    begun: &mut bool,
    work: Pin<&mut impl Future<Output = T>>,
) -> Poll<Ended<T>> {
    while let Poll::Ready(change) = Pin::new(&mut *changes).poll_next(context) {
        if let Some(ended) = ends(change, term) {
            return Poll::Ready(ended);
        }
    }
    if !*begun && term.is_draining() {
        return Poll::Ready(Ended::Stopped);
    }
    *begun = true;
    // The clock decides, since the event may be late.
    if term.work_for().is_zero() {
        return Poll::Ready(Ended::Stopped);
    }
    work.poll(context).map(Ended::Done)
}

fn ends<T>(change: Option<Change>, term: &Term) -> Option<Ended<T>> {
    let Some(change) = change else { return Some(Ended::Released) };
    let token = term.token;
    match change.event {
        Event::Deposed { token: ended, reason: DeposedReason::Released } if ended == token => {
            Some(Ended::Released)
        }
        // While it drains, the work keeps running until the soft deadline, which `poll_term` reads from the
        // clock.
        Event::StopNewWork { token: ended } if ended == token && term.is_draining() => None,
        Event::StopNewWork { token: ended } | Event::Deposed { token: ended, .. } if ended == token => {
            Some(Ended::Stopped)
        }
        _ => None,
    }
}
