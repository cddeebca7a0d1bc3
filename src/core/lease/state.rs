//! The machine's state, its inputs and the passing of time. What replies do is in `reply.rs`.

use ::core::time::Duration;
use alloc::collections::VecDeque;
use alloc::sync::Arc;

use super::held::{Doubt, GiveBack};
use super::message::{
    Acquire, DeposedReason, Event, Input, Leader, LeaderId, Leadership, Op, Output, Phase, Request,
    RequestId, Version, Wait,
};
use super::pace::{Pace, back_off};
use super::seen::Seen;
use super::skew::Skew;
use crate::core::random::Random;
use crate::core::{FencingToken, Instant, Name, Timing};

/// No attempt is shorter, however little trust is left.
const SHORTEST_ATTEMPT: Duration = Duration::from_millis(10);
/// No attempt is longer, however long the lease: a store that hangs should be noticed.
const LONGEST_ATTEMPT: Duration = Duration::from_secs(10);
/// Maximum number of timed-out requests that are remembered in case that they are answered late.
const LATE: usize = 4;

/// What one machine is told when it is made.
#[derive(Clone, Debug)]
pub struct Config {
    /// The election.
    pub election: Name,
    /// This candidate's name.
    pub candidate: Name,
    /// A random number, another for each machine ever made: a lease is recognised as one's own only by it.
    pub incarnation: u64,
    /// A text for others to read while this candidate leads. Let it pass [`Name::check_text`].
    pub meta: Option<Arc<str>>,
    /// How long a lease lasts and when it is renewed.
    pub timing: Timing,
    /// Take over only what stood unchanged for a full lease of this candidate's own clock. Protects against
    /// forward steps of the store's clock before this candidate first read it and against commits lost by a
    /// promoted standby, at the price of one lease of waiting at every change of leader. All candidates of an
    /// election should use it.
    pub strict: bool,
    /// Campaign and renew only while the host said [`Input::Alive`] within the last half lease.
    pub progress_gate: bool,
    /// Seeds the jitter.
    pub seed: u64,
}

/// The lease machine of one candidate of one election. See the [module](super) for the contract.
#[derive(Clone, Debug)]
pub struct Lease {
    pub(super) config: Config,
    pub(super) id: LeaderId,
    pub(super) now: Instant,
    pub(super) state: State,
    pub(super) random: Random,
    pub(super) pace: Pace,
    pub(super) skew: Skew,
    pub(super) seen: Seen,
    pub(super) in_flight: Option<Sent>,
    /// Timed out, perhaps answered yet.
    pub(super) late: VecDeque<Sent>,
    /// When the next operation is due.
    pub(super) next_op: Wait,
    /// Whether a candidate's next operation tries to take the row.
    pub(super) reach: bool,
    /// A hint came while an operation was under way.
    pub(super) hinted: bool,
    pub(super) failures: u32,
    /// The largest token that was ever seen; a new term's must be larger.
    pub(super) floor: Option<FencingToken>,
    /// An acquire whose outcome is unknown, for as long as that may matter.
    pub(super) doubt: Option<Doubt>,
    /// Acquires sent up to then are not trusted any more: the store was seen shaken, or the lease was
    /// revoked.
    pub(super) barrier: Option<Instant>,
    pub(super) give_back: Option<GiveBack>,
    pub(super) leader: Option<Leader>,
    pub(super) poison_said: Option<Version>,
    alive_at: Instant,
    reason: Option<DeposedReason>,
    /// Whether the store held or may have held anything for this machine after the latest input.
    pub(super) owed: bool,
    pub(super) settlements: u64,
    last_id: u64,
    outputs: VecDeque<Output>,
}

#[derive(Clone, Debug)]
pub(super) enum State {
    Standby,
    Candidate,
    Leader(Term),
    Draining { term: Term, campaign_after: bool, renew_until: Instant },
}

/// A term of leadership while it lasts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Term {
    pub(super) token: FencingToken,
    pub(super) trusted_until: Instant,
    pub(super) stop_at: Instant,
    pub(super) stop_said: bool,
    pub(super) stalled: bool,
}

impl Term {
    /// Why it ends if nothing extends it.
    fn reason_of_end(&self) -> DeposedReason {
        if self.stalled { DeposedReason::Stalled } else { DeposedReason::Expired }
    }
}

/// A request on its way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sent {
    pub(super) id: RequestId,
    pub(super) kind: Kind,
    pub(super) at: Instant,
    pub(super) deadline: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Look,
    Acquire,
    Renew(FencingToken),
    Release(FencingToken),
}

impl Lease {
    /// A machine in [`Phase::Standby`].
    #[must_use]
    pub fn new(config: Config, now: Instant) -> Lease {
        Lease {
            id: LeaderId::new(&config.candidate, config.incarnation),
            now,
            state: State::Standby,
            random: Random::new(config.seed),
            pace: Pace::new(&config.timing),
            skew: Skew::default(),
            seen: Seen::new(config.strict),
            in_flight: None,
            late: VecDeque::new(),
            next_op: Wait::NEVER,
            reach: true,
            hinted: false,
            failures: 0,
            floor: None,
            doubt: None,
            barrier: None,
            give_back: None,
            leader: None,
            poison_said: None,
            alive_at: now,
            reason: None,
            owed: false,
            settlements: 0,
            last_id: 0,
            outputs: VecDeque::new(),
            config,
        }
    }

    // ---- Getters ----

    /// What the machine was told when it was made.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// This candidate's id as the store keeps it.
    #[must_use]
    pub fn leader_id(&self) -> &LeaderId {
        &self.id
    }

    /// The latest time that the machine was told.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.now
    }

    /// Who leads, as far as this machine knows.
    #[must_use]
    pub fn leader(&self) -> Option<&Leader> {
        self.leader.as_ref()
    }

    /// Whether there is nothing to lead, to try or to tell the store. To wait for a release compare
    /// [`Lease::settlements`] instead: a machine that campaigns again is not settled.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        let quiet = self.in_flight.is_none() && self.give_back.is_none() && self.doubt.is_none();
        quiet && matches!(self.state, State::Standby)
    }

    /// Whether this candidate leads at `now`. False from the instant on at which trust ends, whether or not
    /// [`Input::Timeout`] was given; an earlier `now` than the latest seen counts as the latest seen.
    #[must_use]
    pub fn leadership(&self, now: Instant) -> Leadership {
        let now = now.max(self.now);
        let (phase, term) = match &self.state {
            State::Standby => (Phase::Standby, None),
            State::Candidate => (Phase::Candidate, None),
            State::Leader(term) => (Phase::Leader, Some(term)),
            State::Draining { term, .. } => (Phase::Draining, Some(term)),
        };
        let term = term.filter(|term| now < term.trusted_until);
        Leadership {
            is_leader: term.is_some() && phase == Phase::Leader,
            phase,
            token: term.map(|term| term.token),
            trusted_until: term.map_or(Instant::ZERO, |term| term.trusted_until),
            stop_new_work_at: term.map_or(Instant::ZERO, |term| term.stop_at),
            reason: self.reason,
        }
    }

    // ---- Inputs and outputs ----

    /// Tells the machine what happened at `now`. Never panics; afterwards drain [`Lease::poll_output`].
    pub fn handle_input(&mut self, now: Instant, input: Input) {
        self.now = self.now.max(now);
        self.pass_time();
        let is_release = matches!(input, Input::Release | Input::Drained);
        match input {
            Input::Campaign => self.campaign(),
            Input::Release => self.stand_down(),
            Input::Drain => self.drain(Instant::MAX),
            Input::DrainFor(patience) => self.drain(self.now.saturating_add(patience)),
            Input::Drained => match self.state {
                State::Draining { .. } => self.depose(DeposedReason::Released),
                // This term does not drain. Whatever did has ended before it, so nobody must wait for it.
                State::Leader(_) => self.settlements += 1,
                State::Standby | State::Candidate => {}
            },
            Input::Alive => self.alive(),
            Input::Timeout => {}
            Input::Reply(reply) => self.reply(reply),
            Input::Hint => self.hint(),
            Input::Revoked => {
                // What an acquire on its way is granted protects nothing either.
                self.barrier = Some(self.now);
                self.depose(DeposedReason::Revoked);
            }
        }
        self.drop_found();
        self.settle(is_release);
        self.act();
    }

    /// The next thing for the driver to do; [`Output::WaitUntil`] when there is nothing more.
    pub fn poll_output(&mut self) -> Output {
        match self.outputs.pop_front() {
            Some(output) => output,
            None => Output::WaitUntil(self.wait()),
        }
    }

    fn campaign(&mut self) {
        match &mut self.state {
            State::Standby => {
                self.state = State::Candidate;
                self.alive_at = self.now;
                self.failures = 0;
                self.reach = true;
                self.next_op = Wait::at(self.now);
            }
            State::Draining { campaign_after, .. } => *campaign_after = true,
            State::Candidate | State::Leader(_) => {}
        }
    }

    fn stand_down(&mut self) {
        if let State::Draining { campaign_after, .. } = &mut self.state {
            *campaign_after = false;
        }
        // Past the soft deadline a host gives up because nothing extended its term, whoever says so first.
        let reason = match &self.state {
            State::Leader(term) if self.now >= term.stop_at => term.reason_of_end(),
            _ => DeposedReason::Released,
        };
        self.depose(reason);
        self.state = State::Standby;
    }

    /// The soft deadline, if it comes, is told once more: then the work in progress must end.
    fn drain(&mut self, until: Instant) {
        match &mut self.state {
            State::Leader(term) => {
                let term = *term;
                if !term.stop_said {
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
        if self.in_flight.is_some() {
            self.hinted = true;
        } else {
            self.reach = true;
            self.next_op = Wait::at(self.now);
        }
    }

    // ---- Time ----

    /// Does what the passing of time alone demands, before any input is looked at.
    fn pass_time(&mut self) {
        let now = self.now;
        if let Some(term) = self.term_mut() {
            let (token, reason, ended) = (term.token, term.reason_of_end(), now >= term.trusted_until);
            if now >= term.stop_at && !term.stop_said {
                term.stop_said = true;
                self.emit(Event::StopNewWork { token });
            }
            if ended {
                self.depose(reason);
            }
        }
        if let Some(sent) = self.in_flight.take_if(|sent| sent.deadline <= now) {
            self.remember_late(sent);
            self.timed_out(sent);
        }
        // What may be held in the store ends there by itself.
        self.give_back = self.give_back.filter(|row| now < row.until);
        self.drop_found();
        self.doubt = self.doubt.filter(|doubt| now < doubt.until);
    }

    /// Sends what is due.
    fn act(&mut self) {
        if self.in_flight.is_some() || self.now < self.next_op.earliest.max(self.pace.allowed_from()) {
            return;
        }
        let Some((kind, op)) = self.due() else { return };
        self.last_id += 1;
        let sent = Sent { id: RequestId(self.last_id), kind, at: self.now, deadline: self.attempt_ends() };
        self.pace.spend(self.now);
        self.in_flight = Some(sent);
        self.outputs.push_back(Output::Send(Request { id: sent.id, deadline: sent.deadline, op }));
    }

    /// The operation that is wanted next, if any.
    fn due(&mut self) -> Option<(Kind, Op)> {
        if let Some(GiveBack { token, .. }) = self.give_back {
            return Some((Kind::Release(token), Op::Release { token, holder: self.id.clone() }));
        }
        let lease = self.config.timing.lease();
        let withheld = self.is_withheld();
        match &mut self.state {
            State::Leader(term) | State::Draining { term, .. } => {
                let token = term.token;
                if withheld {
                    if !::core::mem::replace(&mut term.stalled, true) {
                        self.emit(Event::AtRisk { token });
                    }
                    return None;
                }
                Some((Kind::Renew(token), Op::Renew { token, holder: self.id.clone(), lease }))
            }
            State::Candidate if withheld => None,
            State::Candidate => Some(self.candidates_op()),
            State::Standby => self.doubt.map(|_| (Kind::Look, Op::Look)),
        }
    }

    fn candidates_op(&mut self) -> (Kind, Op) {
        let lease = self.config.timing.lease();
        if let Some(token) = self.doubt.and_then(|doubt| doubt.found) {
            return (Kind::Renew(token), Op::Renew { token, holder: self.id.clone(), lease });
        }
        let mut unchanged = None;
        if self.seen.wary(self.now, &self.config.timing) {
            match self.seen.takeover(&self.config.timing) {
                Some((from, version)) if from <= self.now => unchanged = Some(version),
                _ => return (Kind::Look, Op::Look),
            }
        }
        if !self.reach || self.doubt.is_some() {
            return (Kind::Look, Op::Look);
        }
        let (holder, meta) = (self.id.clone(), self.config.meta.clone());
        (Kind::Acquire, Op::Acquire(Acquire { holder, meta, lease, unchanged }))
    }

    /// Whether a renewal or an acquire is held back: by the progress gate, or by the bound of a drain.
    fn is_withheld(&self) -> bool {
        let silent = self.now.saturating_since(self.alive_at);
        let gated = self.config.progress_gate && silent > self.config.timing.lease() / 2;
        gated || self.has_drained_too_long()
    }

    fn has_drained_too_long(&self) -> bool {
        matches!(self.state, State::Draining { renew_until, .. } if self.now >= renew_until)
    }

    /// An attempt gets half of the trust that remains before the next deadline, so that another one fits.
    fn attempt_ends(&self) -> Instant {
        let timing = &self.config.timing;
        let attempt = match self.term() {
            Some(term) => {
                let deadline = if self.now < term.stop_at { term.stop_at } else { term.trusted_until };
                deadline.saturating_since(self.now) / 2
            }
            None => (timing.trust() / 2).min(timing.lease() / 3),
        };
        self.now.saturating_add(attempt.clamp(SHORTEST_ATTEMPT, LONGEST_ATTEMPT))
    }

    /// When the driver should come back.
    fn wait(&self) -> Wait {
        let mut wait = match self.in_flight {
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
        if let Some(row) = self.give_back {
            wait = wait.or(Wait::at(row.until));
        }
        if let Some(doubt) = self.doubt {
            wait = wait.or(Wait::at(doubt.until));
        }
        if let Some(term) = self.term() {
            wait = wait.or(Wait::at(term.trusted_until));
            if !term.stop_said {
                wait = wait.or(Wait::at(term.stop_at));
            }
        }
        wait
    }

    fn wants_op(&self) -> bool {
        self.give_back.is_some()
            || match &self.state {
                State::Leader(term) | State::Draining { term, .. } => !term.stalled,
                // Only a sign of life brings a withheld candidate back.
                State::Candidate => !(self.is_withheld() && self.next_op.earliest <= self.now),
                State::Standby => self.doubt.is_some(),
            }
    }

    // ---- Steps that several inputs share ----

    pub(super) fn emit(&mut self, event: Event) {
        self.outputs.push_back(Output::Event(event));
    }

    pub(super) fn term(&self) -> Option<&Term> {
        match &self.state {
            State::Leader(term) | State::Draining { term, .. } => Some(term),
            State::Standby | State::Candidate => None,
        }
    }

    pub(super) fn term_mut(&mut self) -> Option<&mut Term> {
        match &mut self.state {
            State::Leader(term) | State::Draining { term, .. } => Some(term),
            State::Standby | State::Candidate => None,
        }
    }

    /// Ends the term, if there is one, and says so once.
    pub(super) fn depose(&mut self, reason: DeposedReason) {
        let Some(&Term { token, .. }) = self.term() else { return };
        self.state = match self.state {
            State::Draining { campaign_after: false, .. } => State::Standby,
            _ => State::Candidate,
        };
        self.reason = Some(reason);
        self.emit(Event::Deposed { token, reason });
        self.set_leader(None);
        if let Some(sent) = self.in_flight.take() {
            self.remember_late(sent);
            if sent.kind == Kind::Acquire {
                self.doubt(sent.at);
            }
        }
        self.failures = 0;
        self.reach = true;
        self.next_op = Wait::at(self.now);
        match reason {
            DeposedReason::Released | DeposedReason::Expired | DeposedReason::Stalled => {
                self.hand_back(token)
            }
            DeposedReason::Lost => {}
            DeposedReason::Revoked => {
                self.next_op = Wait::at(self.now.saturating_add(self.config.timing.retry()));
            }
        }
    }

    pub(super) fn set_leader(&mut self, leader: Option<Leader>) {
        if self.leader != leader {
            self.leader.clone_from(&leader);
            self.emit(Event::LeaderChanged { leader });
        }
    }

    /// Plans the renewal of a term whose last successful operation was sent at `sent`.
    pub(super) fn plan_renewal(&mut self, sent: Instant) {
        let timing = &self.config.timing;
        let latest = sent.saturating_add(timing.renew()).saturating_sub(self.random.below(timing.jitter()));
        self.next_op = Wait { earliest: latest.saturating_sub(timing.renew() / 10), latest };
    }

    pub(super) fn pause_after_failure(&mut self) {
        self.failures = self.failures.saturating_add(1);
        let pause = back_off(&self.config.timing, self.failures, &mut self.random);
        self.next_op = Wait::at(self.now.saturating_add(pause));
    }

    fn remember_late(&mut self, sent: Sent) {
        if self.late.len() == LATE {
            self.late.pop_front();
        }
        self.late.push_back(sent);
    }
}
