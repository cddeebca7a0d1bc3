//! What the store's answers do to the machine.

use ::core::time::Duration;

use super::held::Doubt;
use super::message::{
    DeposedReason, Event, Failure, Leader, Outcome, Reply, RequestId, Row, StoreClock, Wait,
};
use super::seen::is_poisoned;
use super::skew::Finding;
use super::state::{Kind, Lease, Sent, State, Term};
use crate::core::{FencingToken, Instant};

/// Candidates that wait for the same expiry part by up to this much.
const SPREAD: Duration = Duration::from_millis(150);

impl Lease {
    pub(super) fn reply(&mut self, reply: Reply) {
        let Some((sent, in_time)) = self.take_sent(reply.id) else {
            // A reply that nobody waits for any more changes nothing, but a row must not be held for nothing.
            if let Outcome::Granted { token } = reply.outcome {
                self.stray_grant(token);
            }
            return;
        };
        self.note_clock(sent, reply.clock);
        match (sent.kind, reply.outcome) {
            (Kind::Look | Kind::Acquire, Outcome::Seen(row)) => self.saw(sent, in_time, row.as_ref()),
            (Kind::Acquire, Outcome::Granted { token }) => self.granted(token, sent.at),
            (Kind::Renew(token), Outcome::Renewed) => self.renewed(token, sent.at),
            (Kind::Renew(token), Outcome::Lost) => self.lost(token),
            (Kind::Release(token), Outcome::Released) => self.given_back(token),
            (_, Outcome::Failed(failure)) if in_time => self.failed(sent, failure),
            (_, Outcome::Failed(_)) => {}
            // An answer to another question than was asked says nothing about what was done.
            _ if in_time => self.failed(sent, Failure::Unknown),
            _ => {}
        }
    }

    /// The request with this id, and whether it was answered in time. Each is found once.
    fn take_sent(&mut self, id: RequestId) -> Option<(Sent, bool)> {
        if let Some(sent) = self.in_flight.take_if(|sent| sent.id == id) {
            return Some((sent, true));
        }
        let at = self.late.iter().position(|sent| sent.id == id)?;
        self.late.remove(at).map(|sent| (sent, false))
    }

    /// Looks at the store's clock in a reply, before anything else in it is believed.
    fn note_clock(&mut self, sent: Sent, clock: Option<StoreClock>) {
        let Some(clock) = clock else { return };
        match self.skew.reading(&self.config.timing, sent.at, self.now, clock) {
            Finding::Steady => return,
            Finding::Stepped(by_us) => self.emit(Event::StoreClockStepped { by_us }),
            Finding::TimelineChanged => self.emit(Event::TimelineChanged),
        }
        self.seen.shake(self.now);
        self.barrier = Some(self.now);
    }

    // ---- Failures ----

    /// The attempt's time is up; whether the store executed it is unknown.
    pub(super) fn timed_out(&mut self, sent: Sent) {
        self.failed(sent, Failure::Unknown);
        if self.term().is_some() {
            // It has waited long enough.
            self.next_op = Wait::at(self.now);
        }
    }

    fn failed(&mut self, sent: Sent, failure: Failure) {
        if sent.kind == Kind::Acquire && failure == Failure::Unknown {
            self.doubt(sent.at);
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
                    // Asking again soon is of no use.
                    self.failures = self.failures.max(10);
                }
                self.pause_after_failure();
            }
        }
    }

    // ---- Grants ----

    fn granted(&mut self, token: FencingToken, sent: Instant) {
        // Acquires that were sent later may have been executed later.
        let newer = |doubt: &Doubt| doubt.acquired > sent || doubt.found.is_some_and(|found| found > token);
        self.doubt = self.doubt.filter(newer);
        if let Some(&Term { token: current, .. }) = self.term() {
            if token <= current {
                // The answer to an acquire whose row was adopted meanwhile.
                return;
            }
            // The store gave the row away anew, so the current term has ended there.
            self.depose(DeposedReason::Lost);
        }
        self.begin(token, sent, sent);
    }

    /// Whether a term may begin: not with a row that is not wanted, that breaks the order of tokens, or whose
    /// acquire was sent before the store was seen shaken: it did not wait for what that asks for.
    pub(super) fn may_begin(&self, token: FencingToken, acquired: Instant) -> bool {
        let wanted = matches!(self.state, State::Candidate);
        let found = self.doubt.and_then(|doubt| doubt.found);
        let in_order =
            self.floor.is_none_or(|floor| token > floor) && found.is_none_or(|found| token >= found);
        let undermined = self.barrier.is_some_and(|barrier| acquired <= barrier);
        wanted && in_order && !undermined
    }

    /// Begins a term with a row that was acquired by a request sent at `acquired` and last extended by one
    /// sent at `sent`, or gives it back if it may not be led or the answer came too late.
    fn begin(&mut self, token: FencingToken, acquired: Instant, sent: Instant) {
        let trusted_until = sent.saturating_add(self.config.timing.trust());
        let stop_at = trusted_until.saturating_sub(self.config.timing.grace());
        if !self.may_begin(token, acquired) || stop_at <= self.now {
            self.hand_back(token);
            return;
        }
        self.floor = Some(token);
        self.give_back = None;
        self.failures = 0;
        self.hinted = false;
        self.seen.forget();
        self.state = State::Leader(Term { token, trusted_until, stop_at, stop_said: false, stalled: false });
        // Its token is larger, so nothing of an earlier term is left.
        self.settlements += 1;
        self.emit(Event::Elected { token });
        let leader = Leader { id: self.id.clone(), token: Some(token), meta: self.config.meta.clone() };
        self.set_leader(Some(leader));
        self.plan_renewal(sent);
    }

    /// A grant under an id that was answered before or forgotten: a doubled or very late request was
    /// executed. If we lead, our own term has ended in the store; its next renewal will find that out.
    fn stray_grant(&mut self, token: FencingToken) {
        if self.term().is_none() && self.floor.is_none_or(|floor| token > floor) {
            self.hand_back(token);
        }
    }

    fn given_back(&mut self, token: FencingToken) {
        if self.give_back.take_if(|row| row.token == token).is_some() {
            self.failures = 0;
            self.next_op = Wait::at(self.now);
        }
    }

    // ---- Renewals ----

    fn renewed(&mut self, token: FencingToken, sent: Instant) {
        if let Some(doubt) = self.found(token) {
            self.doubt = None;
            return self.begin(token, doubt.acquired, sent);
        }
        let (trust, grace) = (self.config.timing.trust(), self.config.timing.grace());
        let now = self.now;
        let trusted_until = sent.saturating_add(trust);
        let Some(term) = self.term_mut().filter(|term| term.token == token) else { return };
        if trusted_until <= term.trusted_until {
            return;
        }
        term.trusted_until = trusted_until;
        term.stop_at = trusted_until.saturating_sub(grace);
        // An answer so late that its soft deadline has passed lifts nothing.
        let passed = term.stop_at <= now;
        term.stop_said = passed;
        self.failures = 0;
        self.emit(Event::Renewed { token });
        if passed {
            self.emit(Event::StopNewWork { token });
        }
        self.plan_renewal(sent);
    }

    /// The row is not ours any more; an answer about an earlier term says nothing about this one.
    fn lost(&mut self, token: FencingToken) {
        if self.term().is_some_and(|term| term.token == token) {
            self.depose(DeposedReason::Lost);
        } else if self.found(token).is_some() {
            self.doubt = None;
            self.next_op = Wait::at(self.now);
        }
    }

    // ---- The row as it stands ----

    fn saw(&mut self, sent: Sent, in_time: bool, row: Option<&Row>) {
        if self.term().is_some() {
            return;
        }
        let ours = row.filter(|row| row.holder.as_ref() == Some(&self.id));
        if let Some(token) = ours.and_then(|row| row.token) {
            return self.saw_own(sent, in_time, token);
        }
        if !in_time {
            return;
        }
        self.doubt = None;
        self.failures = 0;
        self.floor = self.floor.max(row.and_then(|row| row.token));
        self.seen.row(self.now, row, &self.config.timing);
        self.tell_of(row);
        if matches!(self.state, State::Candidate) {
            self.plan_takeover(sent.kind, row.map_or(Duration::ZERO, |row| row.remaining));
        }
    }

    /// The row carries our own incarnation: an acquire whose answer never came was executed.
    ///
    /// It is led once a renewal of it was answered, and trust counts from the send of that. That a row can be
    /// seen does not show that it stays: PostgreSQL shows one that a synchronous standby does not have as
    /// soon as nobody waits for its commit any more. A token that was held or given back before is never
    /// adopted: a release of it may still be on its way. Neither is a row that no unanswered acquire accounts
    /// for: a doubled request took it, and nobody knows how old that is.
    fn saw_own(&mut self, sent: Sent, in_time: bool, token: FencingToken) {
        // What an earlier question found says nothing about a later acquire.
        let Some(doubt) = self.doubt.filter(|doubt| doubt.acquired <= sent.at) else {
            return self.hand_back(token);
        };
        if doubt.found == Some(token) {
            return;
        }
        if self.may_begin(token, doubt.acquired) {
            self.doubt = Some(Doubt { found: Some(token), until: self.a_lease_from_now(), ..doubt });
            self.next_op = Wait::at(self.now);
        } else {
            if in_time {
                self.doubt = None;
            }
            self.hand_back(token);
        }
    }

    /// Tells the host who leads, and of a row that cannot be right.
    fn tell_of(&mut self, row: Option<&Row>) {
        let held = row.filter(|row| !row.remaining.is_zero());
        let leader = held.and_then(|row| {
            row.holder.clone().map(|id| Leader { id, token: row.token, meta: row.meta.clone() })
        });
        self.set_leader(leader);
        let poisoned = row.filter(|row| is_poisoned(row, &self.config.timing));
        if self.poison_said != poisoned.map(Row::version) {
            self.poison_said = poisoned.map(Row::version);
            if let Some(row) = poisoned {
                let remaining_ms = u64::try_from(row.remaining.as_millis()).unwrap_or(u64::MAX);
                self.emit(Event::PoisonedRow { remaining_ms });
            }
        }
    }

    /// Plans a candidate's next operation after it saw a row with so much left of its lease.
    fn plan_takeover(&mut self, kind: Kind, remaining: Duration) {
        let timing = self.config.timing;
        let (now, lease) = (self.now, timing.lease());
        let look_at = now.saturating_add(lease / 3 - self.random.below(lease / 30));
        self.reach = true;
        let at = if ::core::mem::take(&mut self.hinted) {
            now
        } else if !remaining.is_zero() {
            now.saturating_add(remaining).saturating_add(self.random.below(SPREAD))
        } else if self.seen.wary(now, &timing) {
            self.seen.takeover(&timing).map_or(now, |(from, _)| from)
        } else if kind == Kind::Look {
            now
        } else {
            // Somebody else is at it at this very moment, or a guarded transaction holds the row.
            now.saturating_add(timing.retry() / 2 + self.random.below(timing.retry() / 2))
        };
        if at <= look_at {
            self.next_op = Wait::at(at);
        } else {
            self.reach = false;
            self.next_op = Wait { earliest: look_at.saturating_sub(lease / 30), latest: look_at };
        }
    }
}
