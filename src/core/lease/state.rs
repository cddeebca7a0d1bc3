//! The machine's state and its getters.

use alloc::collections::VecDeque;
use alloc::sync::Arc;

use super::held::Held;
use super::message::{DeposedReason, Event, Leader, LeaderId, Leadership, Output, Phase, Version, Wait};
use super::pace::Pace;
use super::seen::Seen;
use super::skew::Skew;
use crate::core::random::Random;
use crate::core::{FencingToken, Instant, Name, Timing};

/// The settings of one machine.
#[derive(Clone, Debug)]
pub struct Config {
    /// The election.
    pub election: Name,
    /// This candidate's name.
    pub candidate: Name,
    /// A random number, different for every machine that is ever made. A machine recognises its own lease
    /// only by this number. If two machines have the same number, each may adopt the other's lease, and both
    /// lead.
    pub incarnation: u64,
    /// A text that is published while this candidate leads. Check it with [`Name::check_text`].
    pub meta: Option<Arc<str>>,
    /// How long a lease lasts and when it is renewed.
    pub timing: Timing,
    /// Take over only a row that stood unchanged for a full lease of this candidate's own clock. Protects
    /// against forward steps of the store's clock before this candidate first read it, and against commits
    /// lost by a promoted standby. It costs one lease of waiting at every change of leader. A candidate that
    /// is not strict can still take over early, so set it for all candidates of an election.
    pub strict: bool,
    /// Campaign and renew only while the host gave [`Input::Alive`](super::Input::Alive) within the last half
    /// lease. A host that does not give it in time loses its term, and does not campaign.
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
    pub(super) held: Held,
    /// When the next operation is due.
    pub(super) next_op: Wait,
    /// Whether a candidate's next operation tries to take the row; otherwise it is a look.
    pub(super) acquire_next: bool,
    /// A hint came while a request was in flight.
    pub(super) hinted: bool,
    /// Failed operations in a row, for the back-off.
    pub(super) failures: u32,
    /// The leader that was last reported to the host.
    pub(super) leader: Option<Leader>,
    /// The poisoned row that was last reported to the host.
    pub(super) poison_reported: Option<Version>,
    /// When the host last made progress.
    pub(super) alive_at: Instant,
    /// Why the latest term ended.
    pub(super) reason: Option<DeposedReason>,
    pub(super) outputs: VecDeque<Output>,
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
    /// The hard deadline.
    pub(super) trusted_until: Instant,
    /// The soft deadline.
    pub(super) work_until: Instant,
    /// Whether the soft deadline was reported to the host.
    pub(super) stop_reported: bool,
    /// Whether renewals are withheld.
    pub(super) stalled: bool,
}

impl Term {
    /// Why the term ends if no renewal extends it.
    pub(super) fn reason_of_end(&self) -> DeposedReason {
        if self.stalled { DeposedReason::Stalled } else { DeposedReason::Expired }
    }
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
            held: Held::new(config.timing.lease()),
            next_op: Wait::NEVER,
            acquire_next: true,
            hinted: false,
            failures: 0,
            leader: None,
            poison_reported: None,
            alive_at: now,
            reason: None,
            outputs: VecDeque::new(),
            config,
        }
    }

    // ---- Getters ----

    /// The settings that the machine was made with.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// This candidate's id as the store keeps it.
    #[must_use]
    pub fn leader_id(&self) -> &LeaderId {
        &self.id
    }

    /// The latest time that an input had.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.now
    }

    /// The leader, as far as this machine knows.
    #[must_use]
    pub fn leader(&self) -> Option<&Leader> {
        self.leader.as_ref()
    }

    /// Whether the machine neither leads nor campaigns, and has nothing to send. To wait for a release
    /// compare [`Lease::settlements`] instead: a machine that campaigns again is not settled.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.held.is_settled() && matches!(self.state, State::Standby)
    }

    /// Counts how often all leases that the store held or might have held for this machine have ended: a
    /// release was confirmed, a lease had expired, or a later term began. A release that finds nothing to end
    /// counts at once, and so does [`Input::Drained`](super::Input::Drained) in a term that does not drain.
    ///
    /// A release is done once this is larger than it was before [`Input::Release`](super::Input::Release),
    /// whatever input followed.
    #[must_use]
    pub fn settlements(&self) -> u64 {
        self.held.settlements()
    }

    /// Whether this candidate leads at `now`. False from the instant on at which trust ends, whether or not
    /// [`Input::Timeout`](super::Input::Timeout) was given; an earlier `now` than the latest seen counts as
    /// the latest seen.
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
            work_until: term.map_or(Instant::ZERO, |term| term.work_until),
            reason: self.reason,
        }
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

    pub(super) fn emit(&mut self, event: Event) {
        self.outputs.push_back(Output::Event(event));
    }
}
