//! The machine's outputs: the request that is due, and the time of the next timeout.

use ::core::mem;
use ::core::time::Duration;

use super::message::{Acquire, Event, Kind, Op, Output, Request, Wait};
use super::state::{Lease, State};
use crate::core::Instant;

/// Minimum attempt length, however little trust is left.
const SHORTEST_ATTEMPT: Duration = Duration::from_millis(10);
/// Maximum attempt length, however long the lease; a hanging store must be noticed.
const LONGEST_ATTEMPT: Duration = Duration::from_secs(10);

impl Lease {
    /// The next thing for the driver to do; [`Output::WaitUntil`] when there is nothing more.
    pub fn poll_output(&mut self) -> Output {
        match self.outputs.pop_front() {
            Some(output) => output,
            None => Output::WaitUntil(self.wait()),
        }
    }

    /// Sends the request that is due, if any.
    pub(super) fn send_due(&mut self) {
        let allowed = self.next_op.earliest.max(self.pace.allowed_from());
        if self.held.in_flight().is_some() || self.now < allowed {
            return;
        }
        let Some((kind, op)) = self.due() else { return };
        let sent = self.held.send(kind, self.now, self.attempt_ends());
        self.pace.spend(self.now);
        self.outputs.push_back(Output::Send(Request { id: sent.id, deadline: sent.deadline, op }));
    }

    /// The operation that is wanted next, if any.
    fn due(&mut self) -> Option<(Kind, Op)> {
        if let Some(token) = self.held.pending_release() {
            return Some((Kind::Release(token), Op::Release { token, holder: self.id.clone() }));
        }
        let lease = self.config.timing.lease();
        let withheld = self.is_withheld();
        match &mut self.state {
            State::Leader(term) | State::Draining { term, .. } => {
                let token = term.token;
                if withheld {
                    if !mem::replace(&mut term.stalled, true) {
                        self.emit(Event::AtRisk { token });
                    }
                    return None;
                }
                Some((Kind::Renew(token), Op::Renew { token, holder: self.id.clone(), lease }))
            }
            State::Candidate if withheld => None,
            State::Candidate => Some(self.candidates_op()),
            State::Standby => self.held.unanswered().map(|_| (Kind::Look, Op::Look)),
        }
    }

    fn candidates_op(&mut self) -> (Kind, Op) {
        let lease = self.config.timing.lease();
        let unanswered = self.held.unanswered();
        if let Some(token) = unanswered.and_then(|acquire| acquire.found) {
            return (Kind::Renew(token), Op::Renew { token, holder: self.id.clone(), lease });
        }
        let mut unchanged = None;
        if self.seen.is_cautious(self.now, &self.config.timing) {
            match self.seen.take_over(&self.config.timing) {
                Some((from, version)) if from <= self.now => unchanged = Some(version),
                _ => return (Kind::Look, Op::Look),
            }
        }
        if !self.acquire_next || unanswered.is_some() {
            return (Kind::Look, Op::Look);
        }
        let (holder, meta) = (self.id.clone(), self.config.meta.clone());
        (Kind::Acquire, Op::Acquire(Acquire { holder, meta, lease, unchanged }))
    }

    /// Whether renewals and acquires are withheld: by the progress gate, or by the bound of a drain.
    fn is_withheld(&self) -> bool {
        let silent = self.now.saturating_since(self.alive_at);
        let gated = self.config.progress_gate && silent > self.config.timing.lease() / 2;
        gated || self.has_drained_too_long()
    }

    pub(super) fn has_drained_too_long(&self) -> bool {
        matches!(self.state, State::Draining { renew_until, .. } if self.now >= renew_until)
    }

    /// The deadline of a request that is sent now. A leader's attempt gets half of the time before the next
    /// deadline of its term, so that another attempt fits.
    fn attempt_ends(&self) -> Instant {
        let timing = &self.config.timing;
        let attempt = match self.term() {
            Some(term) => {
                let deadline = if self.now < term.work_until { term.work_until } else { term.trusted_until };
                deadline.saturating_since(self.now) / 2
            }
            None => (timing.trust() / 2).min(timing.lease() / 3),
        };
        self.now.saturating_add(attempt.clamp(SHORTEST_ATTEMPT, LONGEST_ATTEMPT))
    }

    /// The window for the driver's next timeout.
    fn wait(&self) -> Wait {
        let mut wait = match self.held.in_flight() {
            Some(sent) => Wait::at(sent.deadline),
            None if self.wants_op() => {
                let allowed = self.pace.allowed_from();
                Wait {
                    earliest: self.next_op.earliest.max(allowed),
                    latest: self.next_op.latest.max(allowed),
                }
            }
            None => Wait::NEVER,
        };
        wait = wait.or(self.held.expiry());
        if let Some(term) = self.term() {
            wait = wait.or(Wait::at(term.trusted_until));
            if !term.stop_reported {
                wait = wait.or(Wait::at(term.work_until));
            }
        }
        wait
    }

    /// Whether an operation follows at [`Lease::next_op`] without any other input.
    fn wants_op(&self) -> bool {
        self.held.pending_release().is_some()
            || match &self.state {
                State::Leader(term) | State::Draining { term, .. } => !term.stalled,
                // Only `Input::Alive` ends the wait of a withheld candidate.
                State::Candidate => !(self.is_withheld() && self.next_op.earliest <= self.now),
                State::Standby => self.held.unanswered().is_some(),
            }
    }
}
