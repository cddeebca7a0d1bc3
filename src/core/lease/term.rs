//! How a term begins and ends, and when its row is released.

use super::message::{DeposedReason, Event, Leader, Wait};
use super::state::{Lease, State, Term};
use crate::core::{FencingToken, Instant};

impl Lease {
    /// The hard and the soft deadline of a term whose lease was last extended by a request sent at `sent`.
    ///
    /// The store counts the lease from when it executes the request, which is after the send, so trust that
    /// counts from the send ends before the lease does.
    pub(super) fn deadlines(&self, sent: Instant) -> (Instant, Instant) {
        let trusted_until = sent.saturating_add(self.config.timing.trust());
        (trusted_until, trusted_until.saturating_sub(self.config.timing.grace()))
    }

    /// Whether a term may begin with the row that an acquire sent at `acquired` took.
    pub(super) fn may_begin(&self, token: FencingToken, acquired: Instant) -> bool {
        matches!(self.state, State::Candidate) && self.held.may_be_led(token, acquired)
    }

    /// Begins a term with a row that was taken by an acquire sent at `acquired` and last extended by a
    /// request sent at `sent`. Releases the row instead if it may not be led, or if the reply came too late.
    pub(super) fn begin(&mut self, token: FencingToken, acquired: Instant, sent: Instant) {
        let (trusted_until, work_until) = self.deadlines(sent);
        if !self.may_begin(token, acquired) || work_until <= self.now {
            self.release_row(token);
            return;
        }
        self.held.term_began(token);
        self.failures = 0;
        self.hinted = false;
        self.seen.forget();
        self.state =
            State::Leader(Term { token, trusted_until, work_until, stop_reported: false, stalled: false });
        self.emit(Event::Elected { token });
        let leader = Leader { id: self.id.clone(), token: Some(token), meta: self.config.meta.clone() };
        self.set_leader(Some(leader));
        self.plan_renewal(sent);
    }

    /// Plans the renewal of a term whose lease was last extended by a request sent at `sent`.
    pub(super) fn plan_renewal(&mut self, sent: Instant) {
        let timing = &self.config.timing;
        let latest = sent.saturating_add(timing.renew()).saturating_sub(self.random.below(timing.jitter()));
        self.next_op = Wait { earliest: latest.saturating_sub(timing.renew() / 10), latest };
    }

    /// Ends the term, if there is one, and notifies the host once.
    pub(super) fn depose(&mut self, reason: DeposedReason) {
        let Some(&Term { token, .. }) = self.term() else { return };
        self.state = match self.state {
            State::Draining { campaign_after: false, .. } => State::Standby,
            _ => State::Candidate,
        };
        self.reason = Some(reason);
        self.emit(Event::Deposed { token, reason });
        self.set_leader(None);
        self.held.abandon(self.now);
        self.failures = 0;
        self.acquire_next = true;
        self.next_op = Wait::at(self.now);
        match reason {
            DeposedReason::Released | DeposedReason::Expired | DeposedReason::Stalled => {
                self.release_row(token)
            }
            DeposedReason::Lost => {}
            DeposedReason::Revoked => {
                self.next_op = Wait::at(self.now.saturating_add(self.config.timing.retry()));
            }
        }
    }

    /// Plans the release of a row that must not be led, so that other candidates need not wait for its
    /// expiry.
    pub(super) fn release_row(&mut self, token: FencingToken) {
        self.held.must_release(self.now, token);
        self.next_op = Wait::at(self.now);
    }

    /// Plans the release of the found row of an unanswered acquire, as soon as the row must not be led any
    /// more, or if no renewal of it was answered for a lease.
    pub(super) fn release_unusable_found(&mut self) {
        let Some(acquire) = self.held.unanswered() else { return };
        let Some(token) = acquire.found else { return };
        if self.now >= acquire.until || !self.may_begin(token, acquire.sent_at) {
            self.release_row(token);
        }
    }

    /// Records the leader, and notifies the host if it changed.
    pub(super) fn set_leader(&mut self, leader: Option<Leader>) {
        if self.leader != leader {
            self.leader.clone_from(&leader);
            self.emit(Event::LeaderChanged { leader });
        }
    }
}
