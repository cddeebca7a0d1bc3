//! One candidate: the real machine, its clock, its host, and whether it is running at all.

use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::format;

use super::checks::Watch;
use super::clock::Clock;
use super::plan::Plan;
use super::random::Random;
use crate::core::lease::{Config, Input, LeaderId, Leadership, Lease, Output, RequestId, Wait};
use crate::core::{Instant, Name};

/// A lease machine, as a [`World`](super::World) plays it: [`Lease`], or what a host builds around one.
///
/// The methods are those of [`Lease`], and keep its [contract](crate::core::lease). A host that forwards them
/// and adds rules of its own is put into a world by [`World::with_machines`](super::World::with_machines).
pub trait Machine {
    /// See [`Lease::handle_input`].
    fn handle_input(&mut self, now: Instant, input: Input);

    /// See [`Lease::poll_output`].
    fn poll_output(&mut self) -> Output;

    /// See [`Lease::leadership`].
    fn leadership(&self, now: Instant) -> Leadership;

    /// See [`Lease::settlements`].
    fn settlements(&self) -> u64;
}

impl Machine for Lease {
    fn handle_input(&mut self, now: Instant, input: Input) {
        Lease::handle_input(self, now, input);
    }

    fn poll_output(&mut self) -> Output {
        Lease::poll_output(self)
    }

    fn leadership(&self, now: Instant) -> Leadership {
        Lease::leadership(self, now)
    }

    fn settlements(&self) -> u64 {
        Lease::settlements(self)
    }
}

/// Makes the machine of a candidate that starts.
pub(super) type Start = dyn FnMut(Config, Instant) -> Box<dyn Machine>;

/// A machine that may run a candidate, again and again.
pub(super) struct Node {
    pub(super) clock: Clock,
    /// Stopped or suspended until then: its clock goes on, nothing is handled.
    pub(super) stopped_until: u64,
    /// Cut off from the store until this true time.
    pub(super) cut_until: u64,
    /// The host gives no sign of life until then.
    pub(super) stalled_until: u64,
    pub(super) incarnation: u64,
    /// The candidate, unless it crashed.
    pub(super) run: Option<Run>,
}

/// One run of the candidate, from its start to its crash.
pub(super) struct Run {
    pub(super) machine: Box<dyn Machine>,
    pub(super) id: LeaderId,
    /// The latest time that the machine was given.
    pub(super) latest: Instant,
    pub(super) wait: Wait,
    /// Counts the timers, so that an old one is known when it fires.
    pub(super) timer: u64,
    /// Requests that were neither answered nor given up by the driver.
    pub(super) open: BTreeSet<RequestId>,
    pub(super) last_id: Option<RequestId>,
    pub(super) watch: Watch,
    /// The era of the latest reading of the store's clock, and of the latest one that showed a step.
    pub(super) era: u64,
    pub(super) informed: u64,
}

impl Node {
    pub(super) fn new(clock: Clock) -> Node {
        Node { clock, stopped_until: 0, cut_until: 0, stalled_until: 0, incarnation: 0, run: None }
    }

    /// Starts the candidate, with a number that no run had before.
    pub(super) fn start(
        &mut self,
        index: usize,
        at: u64,
        plan: &Plan,
        random: &mut Random,
        begin: &mut Start,
    ) {
        self.incarnation = random.number();
        let now = Instant::from_nanos(self.clock.read(at));
        let candidate = Name::new("candidate", &format!("node-{index}")).expect("a valid name");
        let config = Config {
            election: Name::new("election", "simulated").expect("a valid name"),
            candidate: candidate.clone(),
            incarnation: self.incarnation,
            meta: None,
            timing: plan.timing,
            strict: plan.strict,
            progress_gate: plan.progress_gate,
            seed: random.number(),
        };
        self.run = Some(Run {
            machine: begin(config, now),
            id: LeaderId::new(&candidate, self.incarnation),
            latest: now,
            wait: Wait::NEVER,
            timer: 0,
            open: BTreeSet::new(),
            last_id: None,
            watch: Watch::new(now),
            era: 0,
            informed: 0,
        });
    }

    pub(super) fn now(&self, at: u64) -> Instant {
        Instant::from_nanos(self.clock.read(at))
    }
}
