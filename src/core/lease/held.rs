//! The leases that the store may hold for this machine besides its term, and the requests that may grant or
//! end them.

use ::core::time::Duration;
use alloc::collections::VecDeque;

use super::message::{Kind, RequestId, Sent, Wait};
use crate::core::{FencingToken, Instant};

/// Maximum number of timed-out requests that are remembered for a late reply.
const MAX_LATE: usize = 4;

/// The requests without a reply, and the leases that the store may hold because of them.
///
/// The store may have executed a request that was not answered, and may still execute it. So an acquire may
/// take the row for a machine that does not lead. Such a row is led, once a look found it and a renewal of it
/// was answered, or it is released. It is forgotten one lease after it was last extended, because by then it
/// has expired in the store.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    /// The length of a lease.
    lease: Duration,
    last_id: u64,
    in_flight: Option<Sent>,
    /// Requests that timed out; a late reply may still arrive.
    late: VecDeque<Sent>,
    unanswered: Option<UnansweredAcquire>,
    pending_release: Option<PendingRelease>,
    /// The largest token seen; the token of a new term must be larger.
    largest_token: Option<FencingToken>,
    /// Rows of acquires that were sent at or before this instant are not led.
    barrier: Option<Instant>,
    /// Whether the store held or might have held a lease, the term's included, after the latest input.
    outstanding: bool,
    settlements: u64,
}

/// One or more acquires without a reply: the row may be this machine's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct UnansweredAcquire {
    /// When the earliest of them was sent.
    pub(crate) sent_at: Instant,
    /// A row that they took has expired by then, unless a renewal extended it.
    pub(crate) until: Instant,
    /// The token of their row, once a look found it. It is led once a renewal of it is answered.
    pub(crate) found: Option<FencingToken>,
}

/// A row that carries this machine's id and is not wanted.
#[derive(Clone, Copy, Debug)]
struct PendingRelease {
    token: FencingToken,
    /// The row has expired by then.
    until: Instant,
}

/// When a reply came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// Before the request's deadline.
    InTime,
    /// After the machine went on without it.
    Late,
}

impl Held {
    pub(crate) fn new(lease: Duration) -> Held {
        Held {
            lease,
            last_id: 0,
            in_flight: None,
            late: VecDeque::new(),
            unanswered: None,
            pending_release: None,
            largest_token: None,
            barrier: None,
            outstanding: false,
            settlements: 0,
        }
    }

    // ---- Requests ----

    /// The request that waits for its reply.
    pub(crate) fn in_flight(&self) -> Option<Sent> {
        self.in_flight
    }

    /// Records a request that is sent at `at`, under an id that was never used.
    pub(crate) fn send(&mut self, kind: Kind, at: Instant, deadline: Instant) -> Sent {
        self.last_id += 1;
        let sent = Sent { id: RequestId(self.last_id), kind, at, deadline };
        self.in_flight = Some(sent);
        sent
    }

    /// The request that a reply belongs to. Each request is found once, so a doubled reply finds none.
    pub(crate) fn answered(&mut self, id: RequestId) -> Option<(Sent, Arrival)> {
        if let Some(sent) = self.in_flight.take_if(|sent| sent.id == id) {
            return Some((sent, Arrival::InTime));
        }
        let at = self.late.iter().position(|sent| sent.id == id)?;
        self.late.remove(at).map(|sent| (sent, Arrival::Late))
    }

    /// Stops waiting for a request whose deadline has passed, and returns it.
    pub(crate) fn time_out(&mut self, now: Instant) -> Option<Sent> {
        let sent = self.in_flight.take_if(|sent| sent.deadline <= now)?;
        self.remember_late(sent);
        Some(sent)
    }

    /// Stops waiting for the request in flight, whose reply decides nothing any more.
    pub(crate) fn abandon(&mut self, now: Instant) {
        let Some(sent) = self.in_flight.take() else { return };
        self.remember_late(sent);
        if sent.kind == Kind::Acquire {
            self.acquire_unanswered(now, sent.at);
        }
    }

    fn remember_late(&mut self, sent: Sent) {
        if self.late.len() == MAX_LATE {
            self.late.pop_front();
        }
        self.late.push_back(sent);
    }

    // ---- Unanswered acquires ----

    /// The acquires without a reply, if there are any.
    pub(crate) fn unanswered(&self) -> Option<UnansweredAcquire> {
        self.unanswered
    }

    /// The acquires whose row a look that was sent at `looked_at` may show: a look says nothing about an
    /// acquire that was sent after it.
    pub(crate) fn acquire_before(&self, looked_at: Instant) -> Option<UnansweredAcquire> {
        self.unanswered.filter(|acquire| acquire.sent_at <= looked_at)
    }

    /// An acquire that was sent at `sent_at` is not answered. The store may execute it as late as now.
    pub(crate) fn acquire_unanswered(&mut self, now: Instant, sent_at: Instant) {
        let sent_at = self.unanswered.map_or(sent_at, |acquire| acquire.sent_at.min(sent_at));
        self.unanswered = Some(UnansweredAcquire { sent_at, until: self.lease_from(now), found: None });
    }

    /// An acquire that was sent at `sent_at` got the row with this token. Acquires that were sent later may
    /// have been executed later, so they stay unanswered.
    pub(crate) fn granted(&mut self, token: FencingToken, sent_at: Instant) {
        let is_newer = |acquire: &UnansweredAcquire| {
            acquire.sent_at > sent_at || acquire.found.is_some_and(|found| found > token)
        };
        self.unanswered = self.unanswered.filter(is_newer);
    }

    /// A look found the row of the acquires, of which the earliest was sent at `sent_at`. A renewal has one
    /// lease of time to confirm it.
    pub(crate) fn found(&mut self, now: Instant, token: FencingToken, sent_at: Instant) {
        self.unanswered =
            Some(UnansweredAcquire { sent_at, until: self.lease_from(now), found: Some(token) });
    }

    /// The acquires whose row was found under this token. They count as answered from now on.
    pub(crate) fn take_found(&mut self, token: FencingToken) -> Option<UnansweredAcquire> {
        self.unanswered.take_if(|acquire| acquire.found == Some(token))
    }

    /// No acquire is unanswered any more.
    pub(crate) fn forget_acquires(&mut self) {
        self.unanswered = None;
    }

    // ---- Releases ----

    /// The token of the row that must be released.
    pub(crate) fn pending_release(&self) -> Option<FencingToken> {
        self.pending_release.map(|row| row.token)
    }

    /// The row with this token must be released, so that others need not wait for it to expire.
    pub(crate) fn must_release(&mut self, now: Instant, token: FencingToken) {
        self.saw_token(token);
        self.unanswered = self.unanswered.filter(|acquire| acquire.found != Some(token));
        // There is one row: a larger token shows that the earlier leases are gone.
        if self.pending_release.is_none_or(|row| row.token <= token) {
            self.pending_release = Some(PendingRelease { token, until: self.lease_from(now) });
        }
    }

    /// The store confirmed a release. Returns whether it was the pending one.
    pub(crate) fn released(&mut self, token: FencingToken) -> bool {
        self.pending_release.take_if(|row| row.token == token).is_some()
    }

    // ---- Expiry ----

    /// Forgets rows whose lease has expired in the store. A found row stays until it is released, because a
    /// late renewal may have extended it.
    pub(crate) fn expire(&mut self, now: Instant) {
        self.pending_release = self.pending_release.filter(|row| now < row.until);
        self.unanswered = self.unanswered.filter(|acquire| acquire.found.is_some() || now < acquire.until);
    }

    /// When the next of the rows expires.
    pub(crate) fn expiry(&self) -> Wait {
        let release = self.pending_release.map_or(Wait::NEVER, |row| Wait::at(row.until));
        let acquire = self.unanswered.map_or(Wait::NEVER, |acquire| Wait::at(acquire.until));
        release.or(acquire)
    }

    /// When a lease that is extended now has expired.
    fn lease_from(&self, now: Instant) -> Instant {
        now.saturating_add(self.lease)
    }

    // ---- Which rows may be led ----

    /// Records a token that the store showed.
    pub(crate) fn saw_token(&mut self, token: FencingToken) {
        self.largest_token = self.largest_token.max(Some(token));
    }

    /// Whether the token is larger than all that the store showed.
    pub(crate) fn is_new(&self, token: FencingToken) -> bool {
        self.largest_token.is_none_or(|largest| token > largest)
    }

    /// Rows of acquires that were sent up to now are not led: the store's clock was seen to step, so they did
    /// not wait as they should have, or the driver revoked the lease.
    pub(crate) fn distrust_acquires(&mut self, now: Instant) {
        self.barrier = Some(now);
    }

    /// Whether a term may begin with this token, whose acquire was sent at `sent_at`: the token must be
    /// larger than every earlier one, and the acquire must have been sent after the barrier.
    pub(crate) fn may_be_led(&self, token: FencingToken, sent_at: Instant) -> bool {
        let found = self.unanswered.and_then(|acquire| acquire.found);
        let in_order = self.is_new(token) && found.is_none_or(|found| token >= found);
        let distrusted = self.barrier.is_some_and(|barrier| sent_at <= barrier);
        in_order && !distrusted
    }

    /// A term begins. Its token is larger than all before it, so nothing of an earlier term is left to
    /// release.
    pub(crate) fn term_began(&mut self, token: FencingToken) {
        self.saw_token(token);
        self.pending_release = None;
        self.count_settlement();
    }

    // ---- Settlements ----

    /// The number of times that everything outstanding had ended.
    pub(crate) fn settlements(&self) -> u64 {
        self.settlements
    }

    /// Whether no request waits for its reply and no lease may be left in the store.
    pub(crate) fn is_settled(&self) -> bool {
        self.in_flight.is_none() && self.pending_release.is_none() && self.unanswered.is_none()
    }

    /// The host waits for a release: it is counted even if nothing is held.
    pub(crate) fn await_settlement(&mut self) {
        self.outstanding = true;
    }

    /// Counts a release that is done although the store still holds the lease of a later term.
    pub(crate) fn count_settlement(&mut self) {
        self.settlements += 1;
    }

    /// Counts a settlement if something was outstanding and nothing is any more. `term` is what is led now.
    /// To be called after every input, before the next operation may change the answer.
    pub(crate) fn settle(&mut self, term: Option<FencingToken>) {
        let acquiring = self.in_flight.is_some_and(|sent| sent.kind == Kind::Acquire);
        let outstanding =
            acquiring || term.is_some() || self.pending_release.is_some() || self.unanswered.is_some();
        if self.outstanding && !outstanding {
            self.count_settlement();
        }
        self.outstanding = outstanding;
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    const LEASE_MS: u64 = 10_000;

    fn held() -> Held {
        Held::new(Duration::from_millis(LEASE_MS))
    }

    fn at(millis: u64) -> Instant {
        Instant::from_millis(millis)
    }

    fn token(number: u64) -> FencingToken {
        FencingToken::new(number).unwrap()
    }

    #[test]
    fn a_request_is_answered_once_in_time_or_late() {
        let mut held = held();
        let first = held.send(Kind::Look, at(0), at(100));
        assert_eq!(held.time_out(at(99)), None);
        assert_eq!(held.time_out(at(100)), Some(first));
        let second = held.send(Kind::Renew(token(1)), at(100), at(200));
        assert_eq!(held.in_flight(), Some(second));
        assert_eq!(held.answered(second.id), Some((second, Arrival::InTime)));
        assert_eq!(held.answered(second.id), None);
        assert_eq!(held.answered(first.id), Some((first, Arrival::Late)));
        assert_eq!(held.answered(first.id), None);
    }

    #[test]
    fn a_reply_to_all_but_the_last_four_timed_out_requests_is_ignored() {
        let mut held = held();
        let sent: Vec<Sent> = (0..5)
            .map(|_| {
                let sent = held.send(Kind::Look, at(0), at(1));
                assert_eq!(held.time_out(at(1)), Some(sent));
                sent
            })
            .collect();
        assert_eq!(held.answered(sent[0].id), None);
        for sent in &sent[1..] {
            assert_eq!(held.answered(sent.id), Some((*sent, Arrival::Late)));
        }
    }

    #[test]
    fn an_unanswered_acquire_is_outstanding_for_a_lease_after_it_was_given_up() {
        let mut held = held();
        held.acquire_unanswered(at(300), at(200));
        held.acquire_unanswered(at(700), at(600));
        let until = at(700 + LEASE_MS);
        assert_eq!(held.unanswered(), Some(UnansweredAcquire { sent_at: at(200), until, found: None }));
        assert_eq!(held.expiry(), Wait::at(until));
        held.expire(at(699 + LEASE_MS));
        assert!(!held.is_settled());
        held.expire(until);
        assert!(held.is_settled() && held.expiry() == Wait::NEVER);
    }

    #[test]
    fn an_abandoned_acquire_is_unanswered_and_an_abandoned_renewal_is_not() {
        let mut held = held();
        held.send(Kind::Renew(token(1)), at(0), at(100));
        held.abandon(at(10));
        assert!(held.is_settled());
        let acquire = held.send(Kind::Acquire, at(20), at(100));
        held.abandon(at(30));
        assert_eq!(held.unanswered().unwrap().sent_at, at(20));
        assert_eq!(held.answered(acquire.id), Some((acquire, Arrival::Late)));
    }

    #[test]
    fn a_grant_answers_only_acquires_that_were_sent_before_it() {
        let mut held = held();
        held.acquire_unanswered(at(20), at(10));
        held.granted(token(1), at(9));
        assert!(held.unanswered().is_some());
        held.granted(token(1), at(10));
        assert!(held.unanswered().is_none());
        held.found(at(30), token(5), at(10));
        held.granted(token(4), at(10));
        assert_eq!(held.unanswered().unwrap().found, Some(token(5)));
    }

    #[test]
    fn a_look_shows_nothing_of_a_later_acquire() {
        let mut held = held();
        held.acquire_unanswered(at(20), at(10));
        assert!(held.acquire_before(at(9)).is_none());
        assert!(held.acquire_before(at(10)).is_some());
    }

    #[test]
    fn a_found_row_waits_a_lease_for_its_renewal_and_is_not_forgotten_unreleased() {
        let mut held = held();
        held.found(at(50), token(3), at(10));
        let until = at(50 + LEASE_MS);
        assert_eq!(held.unanswered().unwrap().until, until);
        held.expire(until);
        assert!(held.take_found(token(2)).is_none());
        assert_eq!(held.take_found(token(3)).unwrap().sent_at, at(10));
        assert!(held.is_settled());
    }

    #[test]
    fn the_row_with_the_largest_token_is_released() {
        let mut held = held();
        held.found(at(0), token(3), at(0));
        held.must_release(at(0), token(3));
        assert!(held.unanswered().is_none());
        held.must_release(at(5), token(2));
        assert_eq!((held.pending_release(), held.expiry()), (Some(token(3)), Wait::at(at(LEASE_MS))));
        held.must_release(at(9), token(4));
        assert!(!held.released(token(3)));
        assert!(held.released(token(4)) && held.is_settled());
        held.must_release(at(9), token(5));
        held.expire(at(9 + LEASE_MS));
        assert!(held.is_settled());
    }

    #[test]
    fn a_row_is_led_only_with_a_larger_token_and_an_acquire_after_the_barrier() {
        let mut held = held();
        assert!(held.may_be_led(token(1), at(0)));
        held.saw_token(token(5));
        assert!(!held.may_be_led(token(5), at(0)) && held.may_be_led(token(6), at(0)));
        held.found(at(0), token(8), at(0));
        assert!(!held.may_be_led(token(7), at(0)) && held.may_be_led(token(8), at(0)));
        held.distrust_acquires(at(40));
        assert!(!held.may_be_led(token(9), at(40)) && held.may_be_led(token(9), at(41)));
        held.term_began(token(9));
        assert!(!held.is_new(token(9)) && !held.may_be_led(token(9), at(41)));
    }

    #[test]
    fn a_settlement_is_counted_when_the_last_outstanding_lease_ends() {
        let mut held = held();
        held.settle(None);
        assert_eq!(held.settlements(), 0, "nothing was outstanding");
        let acquire = held.send(Kind::Acquire, at(0), at(100));
        held.settle(None);
        assert_eq!(held.answered(acquire.id), Some((acquire, Arrival::InTime)));
        held.term_began(token(1));
        held.settle(Some(token(1)));
        assert_eq!(held.settlements(), 1, "a term ends all earlier leases");
        held.must_release(at(10), token(1));
        held.settle(None);
        assert_eq!(held.settlements(), 1, "the release is not confirmed");
        assert!(held.released(token(1)));
        held.settle(None);
        held.settle(None);
        assert_eq!(held.settlements(), 2);
    }

    #[test]
    fn an_awaited_release_is_counted_at_once_when_nothing_is_held() {
        let mut held = held();
        held.await_settlement();
        held.settle(None);
        assert_eq!(held.settlements(), 1);
        held.send(Kind::Look, at(0), at(100));
        held.settle(None);
        assert_eq!(held.settlements(), 1, "a look holds nothing");
    }
}
