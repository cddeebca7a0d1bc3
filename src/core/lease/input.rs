//! Handles the inputs of the host and the driver, and the passing of time. `reply.rs` handles replies.

use super::message::{DeposedReason, Event, Input, Wait};
use super::state::{Lease, State};
use crate::core::Instant;

impl Lease {
    /// Handles an input that happened at `now`. Never panics. Afterwards poll [`Lease::poll_output`].
    pub fn handle_input(&mut self, now: Instant, input: Input) {
        self.now = self.now.max(now);
        self.pass_time();
        match input {
            Input::Campaign => self.campaign(),
            Input::Release => self.stand_down(),
            Input::Drain => self.drain(Instant::MAX),
            Input::DrainFor(patience) => self.drain(self.now.saturating_add(patience)),
            Input::Drained => self.drained(),
            Input::Alive => self.alive(),
            Input::Timeout => {}
            Input::Reply(reply) => self.reply(reply),
            Input::Hint => self.hint(),
            Input::Revoked => self.revoked(),
        }
        self.release_unusable_found();
        let term = self.term().map(|term| term.token);
        self.held.settle(term);
        self.send_due();
    }

    /// Handles every deadline that has passed, before the input itself.
    fn pass_time(&mut self) {
        let now = self.now;
        if let Some(term) = self.term_mut() {
            let (token, reason, ended) = (term.token, term.reason_of_end(), now >= term.trusted_until);
            if now >= term.work_until && !term.stop_reported {
                term.stop_reported = true;
                self.emit(Event::StopNewWork { token });
            }
            if ended {
                self.depose(reason);
            }
        }
        if let Some(sent) = self.held.time_out(now) {
            self.timed_out(sent);
        }
        self.held.expire(now);
        self.release_unusable_found();
    }

    fn campaign(&mut self) {
        match &mut self.state {
            State::Standby => {
                self.state = State::Candidate;
                self.alive_at = self.now;
                self.failures = 0;
                self.acquire_next = true;
                self.next_op = Wait::at(self.now);
            }
            State::Draining { campaign_after, .. } => *campaign_after = true,
            State::Candidate | State::Leader(_) => {}
        }
    }

    fn stand_down(&mut self) {
        self.held.await_settlement();
        if let State::Draining { campaign_after, .. } = &mut self.state {
            *campaign_after = false;
        }
        // If the host releases after the soft deadline, the reason is still that no renewal succeeded.
        let reason = match &self.state {
            State::Leader(term) if self.now >= term.work_until => term.reason_of_end(),
            _ => DeposedReason::Released,
        };
        self.depose(reason);
        self.state = State::Standby;
    }

    /// Stops new work, and renews until `until` for the work in progress. If the soft deadline comes, the
    /// host is notified again: then the work in progress must end.
    fn drain(&mut self, until: Instant) {
        match &mut self.state {
            State::Leader(term) => {
                let term = *term;
                if !term.stop_reported {
                    self.emit(Event::StopNewWork { token: term.token });
                }
                self.state = State::Draining { term, campaign_after: false, renew_until: until };
            }
            State::Draining { campaign_after, renew_until, .. } => {
                *campaign_after = false;
                *renew_until = until.min(*renew_until);
            }
            State::Candidate | State::Standby => self.state = State::Standby,
        }
    }

    fn drained(&mut self) {
        self.held.await_settlement();
        match self.state {
            State::Draining { .. } => self.depose(DeposedReason::Released),
            // The term that drained ended before this one began, so its release is done.
            State::Leader(_) => self.held.count_settlement(),
            State::Standby | State::Candidate => {}
        }
    }

    fn alive(&mut self) {
        self.alive_at = self.now;
        let now = self.now;
        if self.has_drained_too_long() {
            return;
        }
        if let Some(term) = self.term_mut().filter(|term| term.stalled) {
            term.stalled = false;
            self.next_op = Wait::at(now);
        }
    }

    fn hint(&mut self) {
        if !matches!(self.state, State::Candidate) {
            return;
        }
        if self.held.in_flight().is_some() {
            self.hinted = true;
        } else {
            self.acquire_next = true;
            self.next_op = Wait::at(self.now);
        }
    }

    fn revoked(&mut self) {
        // A row that an acquire in flight takes is not protected either.
        self.held.distrust_acquires(self.now);
        self.depose(DeposedReason::Revoked);
    }
}
