//! What the store's replies, and requests that time out, do to the machine.

use ::core::mem;
use ::core::time::Duration;

use super::held::Arrival;
use super::message::{
    DeposedReason, Event, Failure, Kind, Leader, Outcome, Reply, Row, Sent, StoreClock, Wait,
};
use super::pace::back_off;
use super::seen::is_poisoned;
use super::skew::Finding;
use super::state::{Lease, State, Term};
use crate::core::{FencingToken, Instant};

/// Maximum random delay of candidates that wait for the same expiry, so that they do not all acquire at once.
const SPREAD: Duration = Duration::from_millis(150);
/// Number of failures in a row that a refused request counts as: trying again soon is of no use.
const FAILURES_OF_A_REFUSAL: u32 = 10;

impl Lease {
    pub(super) fn reply(&mut self, reply: Reply) {
        let Some((sent, arrival)) = self.held.answered(reply.id) else {
            // The request was answered before, or is forgotten. Only a grant still matters: it took the row.
            if let Outcome::Granted { token } = reply.outcome {
                self.unexpected_grant(token);
            }
            return;
        };
        self.note_clock(sent, reply.clock);
        match (sent.kind, reply.outcome, arrival) {
            (Kind::Look | Kind::Acquire, Outcome::Seen(row), _) => self.saw(sent, arrival, row.as_ref()),
            (Kind::Acquire, Outcome::Granted { token }, _) => self.granted(token, sent.at),
            (Kind::Renew(token), Outcome::Renewed, _) => self.renewed(token, sent.at),
            (Kind::Renew(token), Outcome::Lost, _) => self.lost(token),
            (Kind::Release(token), Outcome::Released, _) => self.released(token),
            (_, Outcome::Failed(failure), Arrival::InTime) => self.failed(sent, failure),
            // An outcome of another operation does not say whether this one was executed.
            (_, _, Arrival::InTime) => self.failed(sent, Failure::Unknown),
            // The failure was handled when the request timed out.
            (_, _, Arrival::Late) => {}
        }
    }

    /// Compares the store's clock with this candidate's, before the rest of the reply is used.
    fn note_clock(&mut self, sent: Sent, clock: Option<StoreClock>) {
        let Some(clock) = clock else { return };
        match self.skew.reading(&self.config.timing, sent.at, self.now, clock) {
            Finding::Steady => return,
            Finding::Stepped(by_us) => self.emit(Event::StoreClockStepped { by_us }),
            Finding::TimelineChanged => self.emit(Event::TimelineChanged),
        }
        self.seen.clock_step_seen(self.now);
        self.held.distrust_acquires(self.now);
    }

    // ---- Failures ----

    /// The deadline of a request has passed; the store may or may not have executed it.
    pub(super) fn timed_out(&mut self, sent: Sent) {
        self.failed(sent, Failure::Unknown);
        if self.term().is_some() {
            // The attempt took long enough: try again without a pause.
            self.next_op = Wait::at(self.now);
        }
    }

    fn failed(&mut self, sent: Sent, failure: Failure) {
        if sent.kind == Kind::Acquire && failure == Failure::Unknown {
            self.held.acquire_unanswered(self.now, sent.at);
        }
        match (self.term(), sent.kind) {
            (Some(&Term { token, .. }), Kind::Renew(renewed)) if renewed == token => {
                self.emit(Event::AtRisk { token });
                let retry = self.config.timing.retry();
                let pause = retry / 2 + self.random.below(retry / 2);
                self.next_op = Wait::at(self.now.saturating_add(pause));
            }
            (Some(_), _) => {}
            (None, _) => {
                if failure == Failure::Refused {
                    self.failures = self.failures.max(FAILURES_OF_A_REFUSAL);
                }
                self.pause_after_failure();
            }
        }
    }

    fn pause_after_failure(&mut self) {
        self.failures = self.failures.saturating_add(1);
        let pause = back_off(&self.config.timing, self.failures, &mut self.random);
        self.next_op = Wait::at(self.now.saturating_add(pause));
    }

    // ---- Grants and releases ----

    fn granted(&mut self, token: FencingToken, sent: Instant) {
        self.held.granted(token, sent);
        if let Some(&Term { token: current, .. }) = self.term() {
            if token <= current {
                // A late reply to an acquire whose row was found and is led by now.
                return;
            }
            // The store granted the row anew, so the current term has ended there.
            self.depose(DeposedReason::Lost);
        }
        self.begin(token, sent, sent);
    }

    /// Plans the release of a row that a doubled or very late request took, because the time when the request
    /// was sent is unknown. If this machine leads, the grant has ended its term in the store; the next
    /// renewal finds that out.
    fn unexpected_grant(&mut self, token: FencingToken) {
        if self.term().is_none() && self.held.is_new(token) {
            self.release_row(token);
        }
    }

    fn released(&mut self, token: FencingToken) {
        if self.held.released(token) {
            self.failures = 0;
            self.next_op = Wait::at(self.now);
        }
    }

    // ---- Renewals ----

    fn renewed(&mut self, token: FencingToken, sent: Instant) {
        if let Some(acquire) = self.held.take_found(token) {
            return self.begin(token, acquire.sent_at, sent);
        }
        let (trusted_until, work_until) = self.deadlines(sent);
        // If the reply is so late that the new soft deadline has passed, too, new work stays stopped.
        let passed = work_until <= self.now;
        let Some(term) = self.term_mut().filter(|term| term.token == token) else { return };
        if trusted_until <= term.trusted_until {
            return;
        }
        term.trusted_until = trusted_until;
        term.work_until = work_until;
        term.stop_reported = passed;
        self.failures = 0;
        self.emit(Event::Renewed { token });
        if passed {
            self.emit(Event::StopNewWork { token });
        }
        self.plan_renewal(sent);
    }

    /// The row is not this machine's any more. A reply about an earlier term says nothing about this one.
    fn lost(&mut self, token: FencingToken) {
        if self.term().is_some_and(|term| term.token == token) {
            self.depose(DeposedReason::Lost);
        } else if self.held.take_found(token).is_some() {
            self.next_op = Wait::at(self.now);
        }
    }

    // ---- The present row ----

    fn saw(&mut self, sent: Sent, arrival: Arrival, row: Option<&Row>) {
        if self.term().is_some() {
            return;
        }
        let ours = row.filter(|row| row.holder.as_ref() == Some(&self.id));
        if let Some(token) = ours.and_then(|row| row.token) {
            return self.saw_own(sent, arrival, token);
        }
        if arrival == Arrival::Late {
            return;
        }
        self.held.forget_acquires();
        self.failures = 0;
        if let Some(token) = row.and_then(|row| row.token) {
            self.held.saw_token(token);
        }
        self.seen.row(self.now, row, &self.config.timing);
        self.report_row(row);
        if matches!(self.state, State::Candidate) {
            self.plan_takeover(sent.kind, row.map_or(Duration::ZERO, |row| row.remaining));
        }
    }

    /// The row carries this machine's own incarnation: an acquire without a reply was executed.
    ///
    /// The row is led once a renewal of it is answered, and trust counts from the send of that renewal. A
    /// look does not show that the row stays: once the wait for its commit has ended, PostgreSQL also shows a
    /// row that a synchronous standby does not have. The row is released instead if its token was held or
    /// released before, because a release of it may still be on its way; and if no unanswered acquire
    /// accounts for it, because then a doubled request of unknown age took it.
    fn saw_own(&mut self, sent: Sent, arrival: Arrival, token: FencingToken) {
        let Some(acquire) = self.held.acquire_before(sent.at) else {
            return self.release_row(token);
        };
        if acquire.found == Some(token) {
            return;
        }
        if self.may_begin(token, acquire.sent_at) {
            self.held.found(self.now, token, acquire.sent_at);
            self.next_op = Wait::at(self.now);
        } else {
            if arrival == Arrival::InTime {
                self.held.forget_acquires();
            }
            self.release_row(token);
        }
    }

    /// Notifies the host of a new leader and of a poisoned row.
    fn report_row(&mut self, row: Option<&Row>) {
        let held = row.filter(|row| !row.remaining.is_zero());
        let leader = held.and_then(|row| {
            row.holder.clone().map(|id| Leader { id, token: row.token, meta: row.meta.clone() })
        });
        self.set_leader(leader);
        let poisoned = row.filter(|row| is_poisoned(row, &self.config.timing));
        if self.poison_reported != poisoned.map(Row::version) {
            self.poison_reported = poisoned.map(Row::version);
            if let Some(row) = poisoned {
                let remaining_ms = u64::try_from(row.remaining.as_millis()).unwrap_or(u64::MAX);
                self.emit(Event::PoisonedRow { remaining_ms });
            }
        }
    }

    /// Plans a candidate's next operation after an operation of this kind showed a row with `remaining` left
    /// of its lease.
    fn plan_takeover(&mut self, kind: Kind, remaining: Duration) {
        let timing = self.config.timing;
        let (now, lease) = (self.now, timing.lease());
        let look_at = now.saturating_add(lease / 3 - self.random.below(lease / 30));
        self.acquire_next = true;
        let at = if mem::take(&mut self.hinted) {
            now
        } else if !remaining.is_zero() {
            now.saturating_add(remaining).saturating_add(self.random.below(SPREAD))
        } else if self.seen.is_cautious(now, &timing) {
            self.seen.take_over(&timing).map_or(now, |(from, _)| from)
        } else if kind == Kind::Look {
            now
        } else {
            // Another candidate is taking the row at this moment, or a guarded transaction holds it.
            now.saturating_add(timing.retry() / 2 + self.random.below(timing.retry() / 2))
        };
        if at <= look_at {
            self.next_op = Wait::at(at);
        } else {
            self.acquire_next = false;
            self.next_op = Wait { earliest: look_at.saturating_sub(lease / 30), latest: look_at };
        }
    }
}
