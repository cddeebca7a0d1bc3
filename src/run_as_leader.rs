//! Work that runs while this candidate leads, and is cancelled in time.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_core::Stream;
use tracing::Instrument;

use crate::changes::{Change, Changes};
use crate::core::lease::{DeposedReason, Event, Phase};
use crate::core::{FencingToken, Instant};
use crate::driver::clock;
use crate::elector::Elector;
use crate::error::Error;

/// The term that a piece of work runs under.
#[derive(Clone, Debug)]
pub struct Term {
    token: FencingToken,
    elector: Elector,
}

impl Term {
    /// The fencing token, for every resource that checks it.
    #[must_use]
    pub fn token(&self) -> FencingToken {
        self.token
    }

    /// How long new work may still be started, unless a renewal lengthens it; zero once the term is over.
    #[must_use]
    pub fn remaining(&self) -> Duration {
        self.stop_new_work_at().saturating_since(clock::now())
    }

    /// Whether this very term is still trusted.
    #[must_use]
    pub fn is_current(&self) -> bool {
        self.elector.token() == Some(self.token)
    }

    fn stop_new_work_at(&self) -> Instant {
        let leadership = self.elector.leadership();
        if leadership.token == Some(self.token) { leadership.stop_new_work_at } else { Instant::ZERO }
    }
}

impl Elector {
    /// Campaigns, runs `work` once elected, and returns what it returns, with the lease released.
    ///
    /// If leadership ends or is at risk first, the future of `work` is dropped at the soft deadline
    /// (`grace` before trust ends), this candidate stands again, and `work` is called anew under the next
    /// term's token. Dropping a future cancels it at its next `await`: code that computes for long
    /// without one must look at [`Term::is_current`] itself.
    ///
    /// What the work tells to `tracing` is in a span `term` with `election`, `candidate` and `token`.
    ///
    /// Works on every async runtime, and on none: nothing but wakers is needed. To spawn it on a runtime
    /// with several threads write `async move |term| …`; a closure that borrows its surroundings is not
    /// `Send` enough for today's compiler.
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
    /// When somebody else calls [`Elector::release`] or [`Elector::drain`] on this candidate, or when
    /// this is a forked child.
    pub async fn run_as_leader<T>(&self, mut work: impl AsyncFnMut(Term) -> T) -> Result<T, Error> {
        let stand_down = StandDown(self);
        let mut changes = self.changes();
        self.campaign();
        loop {
            let token = self.elected(&mut changes).await?;
            let term = Term { token, elector: self.clone() };
            let ended = {
                let (election, candidate) = (self.election(), self.candidate());
                let span = tracing::info_span!("term", election, candidate, token = token.get());
                let mut work = pin!(work(term.clone()).instrument(span));
                poll_fn(|context| poll_term(context, &term, &mut changes, work.as_mut())).await
            };
            match ended {
                Ended::Done(value) => {
                    drop(stand_down);
                    return Ok(value);
                }
                // The work is gone, so a drain that cut it off has nothing to wait for.
                Ended::Stopped if self.leadership().phase == Phase::Draining => {
                    self.drained();
                    return Err(Error::released(self.election()));
                }
                // Somebody else gave up past the soft deadline.
                Ended::Stopped if self.leadership().phase == Phase::Standby => {
                    return Err(Error::released(self.election()));
                }
                Ended::Released => return Err(Error::released(self.election())),
                // A new term has a new token; the rest of this one is of no use to work that was cut off.
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
        if self.seat().is_forked() {
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
                    // Drained before any work was begun: there is nothing to wait for.
                    Some(Event::Elected { token }) if self.drains(token) => {
                        self.drained();
                        return Poll::Ready(Err(Error::released(self.election())));
                    }
                    Some(_) => {}
                    None => return Poll::Ready(Err(Error::released(self.election()))),
                }
            }
            // A candidate that stands down says no event.
            match self.seat().poll_settled(context.waker()) {
                true => Poll::Ready(Err(Error::released(self.election()))),
                false => Poll::Pending,
            }
        })
        .await
    }
}

/// Releases when `run_as_leader` ends, also when its own future is dropped half-way.
struct StandDown<'a>(&'a Elector);

impl Drop for StandDown<'_> {
    fn drop(&mut self) {
        self.0.release();
    }
}

enum Ended<T> {
    Done(T),
    Stopped,
    Released,
}

/// Polls the work for as long as its term allows.
fn poll_term<T>(
    context: &mut Context<'_>,
    term: &Term,
    changes: &mut Changes,
    work: Pin<&mut impl Future<Output = T>>,
) -> Poll<Ended<T>> {
    while let Poll::Ready(change) = Pin::new(&mut *changes).poll_next(context) {
        if let Some(ended) = ends(change, term.token) {
            return Poll::Ready(ended);
        }
    }
    // The clock decides, even if the event is late.
    if clock::now() >= term.stop_new_work_at() {
        return Poll::Ready(Ended::Stopped);
    }
    work.poll(context).map(Ended::Done)
}

fn ends<T>(change: Option<Change>, token: FencingToken) -> Option<Ended<T>> {
    let Some(change) = change else { return Some(Ended::Released) };
    match change.event {
        Event::Deposed { token: ended, reason: DeposedReason::Released } if ended == token => {
            Some(Ended::Released)
        }
        Event::StopNewWork { token: ended } | Event::Deposed { token: ended, .. } if ended == token => {
            Some(Ended::Stopped)
        }
        _ => None,
    }
}
