//! One candidate: the real machine, its clock, its host, and whether it is running at all.

use std::collections::BTreeSet;

use elector::core::lease::{Config, LeaderId, Lease, RequestId, Wait};
use elector::core::{Instant, Name};

use crate::checks::Watch;
use crate::clock::Clock;
use crate::plan::Plan;
use crate::random::Random;

/// A machine that may run a candidate, again and again.
pub struct Node {
    pub clock: Clock,
    /// Stopped or suspended until then: its clock goes on, nothing is handled.
    pub stopped_until: u64,
    /// Cut off from the store until then.
    pub cut_until: u64,
    /// The host gives no sign of life until then.
    pub stalled_until: u64,
    pub incarnation: u64,
    /// The candidate, unless it crashed.
    pub run: Option<Run>,
}

/// One run of the candidate, from its start to its crash.
pub struct Run {
    pub lease: Lease,
    pub id: LeaderId,
    /// The latest time that the machine was given.
    pub latest: Instant,
    pub wait: Wait,
    /// Counts the timers, so that an old one is known when it fires.
    pub timer: u64,
    /// Requests that were neither answered nor given up by the driver.
    pub open: BTreeSet<RequestId>,
    pub last_id: Option<RequestId>,
    pub watch: Watch,
    /// The era of the latest reading of the store's clock, and of the latest one that showed a step.
    pub era: u64,
    pub informed: u64,
}

impl Node {
    pub fn new(clock: Clock) -> Node {
        Node { clock, stopped_until: 0, cut_until: 0, stalled_until: 0, incarnation: 0, run: None }
    }

    /// Starts the candidate, with a number that no run had before.
    pub fn start(&mut self, index: usize, at: u64, plan: &Plan, random: &mut Random) {
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
            progress_gate: plan.gate,
            seed: random.number(),
        };
        self.run = Some(Run {
            lease: Lease::new(config, now),
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

    pub fn now(&self, at: u64) -> Instant {
        Instant::from_nanos(self.clock.read(at))
    }
}
