//! What one run is made of, drawn from its seed.

use std::time::Duration;

use elector::core::{Timing, TimingOptions};

use crate::random::Random;

pub const MS: u64 = 1_000_000;

/// What may go wrong. Each run switches on a random part of these ("swarm testing", A. Groce et al., 2012):
/// a fault that is always on hides the states that are only reached without it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    Delay,
    DropRequest,
    DropReply,
    /// A request is executed again, up to some leases later.
    Duplicate,
    /// A request or reply arrives leases late.
    VeryLate,
    /// The driver says that the outcome is unknown, and the answer comes nevertheless.
    EarlyUnknown,
    Unsent,
    Refused,
    /// Replies to requests that never were, or of another kind than was asked.
    Garble,
    /// The driver never says that a request failed.
    Silence,
    Partition,
    Suspend,
    Crash,
    StoreDown,
    Clean,
    Break,
    Poison,
    /// The driver says that the lease protects nothing any more.
    Revoked,
    LateTimers,
    SpuriousTimers,
    Hints,
    /// The time that comes with an input was read some while ago.
    StaleNow,
    RateChange,
    Release,
    Drain,
    /// The host stops telling that it makes progress.
    Stall,
    /// The store's clock is stepped by no more than the margin.
    SmallSteps,
    BigSteps,
    /// A standby that lags becomes the primary.
    Promote,
    /// The synchronous standby is cut off, and may become the primary. Promise L holds: what was answered is
    /// not lost.
    Standby,
    /// Clocks run at rates beyond what is promised.
    WildRates,
}

impl Fault {
    const COMMON: [Fault; 27] = [
        Fault::Delay,
        Fault::DropRequest,
        Fault::DropReply,
        Fault::Duplicate,
        Fault::VeryLate,
        Fault::EarlyUnknown,
        Fault::Unsent,
        Fault::Refused,
        Fault::Garble,
        Fault::Silence,
        Fault::Partition,
        Fault::Suspend,
        Fault::Crash,
        Fault::StoreDown,
        Fault::Clean,
        Fault::Break,
        Fault::Poison,
        Fault::Revoked,
        Fault::LateTimers,
        Fault::SpuriousTimers,
        Fault::Hints,
        Fault::StaleNow,
        Fault::RateChange,
        Fault::Release,
        Fault::Drain,
        Fault::Stall,
        Fault::SmallSteps,
    ];
    const RARE: [Fault; 4] = [Fault::BigSteps, Fault::Promote, Fault::Standby, Fault::WildRates];
}

/// One run.
#[derive(Debug)]
pub struct Plan {
    pub nodes: usize,
    pub timing: Timing,
    pub strict: bool,
    pub gate: bool,
    pub shows_lease: bool,
    pub faults: Vec<Fault>,
    /// The time that a message takes one way when nothing is wrong, in nanoseconds.
    pub one_way: u64,
    /// How long the chaos lasts, in nanoseconds.
    pub chaos: u64,
    /// The mean time between two blows of fate.
    pub every: u64,
}

impl Plan {
    pub fn draw(random: &mut Random) -> Plan {
        let mut faults: Vec<Fault> = Vec::new();
        let often = random.pick(&[10, 30, 50]);
        faults.extend(Fault::COMMON.iter().filter(|_| random.chance(often)));
        faults.extend(Fault::RARE.iter().filter(|_| random.chance(15)));
        if faults.contains(&Fault::BigSteps) || faults.contains(&Fault::Promote) {
            // Deleting the row takes away what even a strict candidate compares; promised is either alone.
            faults.retain(|&fault| fault != Fault::Clean);
        }
        let timing = random.pick(&TIMINGS).build().expect("the simulation's timings fit");
        let lease = timing.lease().as_nanos() as u64;
        Plan {
            nodes: random.pick(&[1, 2, 2, 3, 3, 3, 4, 5]),
            timing,
            strict: random.chance(if has_unseen(&faults) { 60 } else { 25 }),
            gate: random.chance(30),
            shows_lease: random.chance(80),
            faults,
            one_way: random.between(MS / 10, (lease / 100).min(5 * MS)),
            chaos: lease * random.between(15, 40),
            every: lease / random.between(1, 6),
        }
    }

    pub fn has(&self, fault: Fault) -> bool {
        self.faults.contains(&fault)
    }

    pub fn lease(&self) -> u64 {
        self.timing.lease().as_nanos() as u64
    }

    pub fn margin(&self) -> u64 {
        self.timing.margin().as_nanos() as u64
    }

    /// Whether Promise L holds in this run: clocks within 1 %, and a store clock that is not stepped beyond
    /// the margin and no lost commit, or else every candidate strict.
    pub fn exclusion(&self) -> bool {
        !self.has(Fault::WildRates) && (self.strict || !has_unseen(&self.faults))
    }

    /// Whether the store blocks the row at least as long as its holder trusts it. Strict candidates keep
    /// Promise L without that.
    pub fn cover(&self) -> bool {
        !self.has(Fault::WildRates) && !has_unseen(&self.faults)
    }

    /// The rate of a clock in parts per billion: any pair within 1 %, the extremes often.
    pub fn rate(&self, random: &mut Random) -> i64 {
        let most = if self.has(Fault::WildRates) { 80_000_000 } else { 4_975_000 };
        match random.below(4) {
            0 => most,
            1 => -most,
            _ => random.between(0, 2 * most as u64) as i64 - most,
        }
    }
}

fn has_unseen(faults: &[Fault]) -> bool {
    faults.contains(&Fault::BigSteps) || faults.contains(&Fault::Promote)
}

const UNSET: TimingOptions =
    TimingOptions { lease: None, renew: None, jitter: None, retry: None, margin: None, grace: None };

/// Small margins matter most: a wide one hides what eats into it.
const TIMINGS: [TimingOptions; 6] = [
    UNSET,
    TimingOptions { margin: ms(1), ..UNSET },
    TimingOptions { lease: ms(3_000), ..UNSET },
    TimingOptions { lease: ms(500), margin: ms(1), ..UNSET },
    TimingOptions { lease: ms(200), margin: ms(1), ..UNSET },
    TimingOptions { lease: ms(30_000), margin: ms(2), renew: ms(5_000), retry: ms(200), ..UNSET },
];

const fn ms(millis: u64) -> Option<Duration> {
    Some(Duration::from_millis(millis))
}
