//! What one run is made of, drawn from its seed.

use ::core::fmt;
use ::core::time::Duration;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::random::Random;
use crate::core::{Timing, TimingOptions};

pub(super) const MS: u64 = 1_000_000;
const MOST_CANDIDATES: usize = 50;
const MOST_LEASES: u32 = 1_000;
/// An attempt of a machine is given 10 s at most, which must be enough for a round trip.
const LONGEST_LATENCY: Duration = Duration::from_secs(1);
const SHORTEST_PAUSE: Duration = Duration::from_millis(1);

/// What may go wrong in a [`World`](super::World).
///
/// Each drawn plan switches on a random part of these ("swarm testing", A. Groce et al., 2012): a fault that
/// is always on hides the states that are only reached without it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// A message takes up to a third of a lease.
    Delay,
    /// A request does not reach the store.
    DropRequest,
    /// A reply does not reach the candidate.
    DropReply,
    /// A request is executed again, or a reply arrives again, up to three leases later.
    Duplicate,
    /// A request or reply arrives up to four leases late.
    VeryLate,
    /// The driver reports that the outcome is unknown, and the reply comes nevertheless.
    EarlyUnknown,
    /// The driver reports that a request was not sent.
    Unsent,
    /// The driver reports that the store refused a request.
    Refused,
    /// Replies arrive for requests that never were, or of another kind than the request.
    Garble,
    /// The driver does not report that a request was not answered in time.
    Silence,
    /// A candidate is cut off from the store for up to two leases.
    Partition,
    /// A candidate's process is suspended for up to two leases. Its clock goes on.
    Suspend,
    /// A candidate's process crashes, and starts again within two leases.
    Crash,
    /// The store answers nothing for up to two leases.
    StoreDown,
    /// An expired row is deleted, and its token is forgotten.
    Clean,
    /// An operator revokes the term, as `elector break` does.
    Break,
    /// The expiry of the row is set up to 40 leases ahead.
    Poison,
    /// The driver reports that the lease protects nothing any more.
    Revoked,
    /// Timers fire up to a lease late.
    LateTimers,
    /// Timers also fire before they are due.
    SpuriousTimers,
    /// The store gives up to 40 hints that the election may have become free.
    Hints,
    /// The time that comes with an input was read up to 5 ms before.
    StaleNow,
    /// A candidate's clock changes its rate.
    RateChange,
    /// Hosts release their leases.
    Release,
    /// Hosts drain, with or without a bound.
    Drain,
    /// A host reports no progress for up to two leases. With [`Plan::progress_gate`] only.
    Stall,
    /// The store's clock is stepped by no more than the margin.
    SmallSteps,
    /// The store's clock is stepped back by up to two leases, or forward by up to six. Candidates that are
    /// not strict may overlap.
    BigSteps,
    /// A standby that lags by up to a lease becomes the primary. Candidates that are not strict may overlap.
    Promote,
    /// The synchronous standby is cut off, and may become the primary. What was answered is not lost.
    Standby,
    /// Clocks differ by up to 16 % in rate, beyond what is promised: candidates may overlap.
    WildRates,
}

impl Fault {
    /// All faults.
    pub fn all() -> impl Iterator<Item = Fault> {
        Fault::COMMON.into_iter().chain(Fault::RARE)
    }

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

/// What a world is made of, and what goes wrong in it.
///
/// A drawn plan can be changed before it is played:
///
/// ```
/// use elector::core::TimingOptions;
/// use elector::testing::{Fault, Plan, World};
/// use std::time::Duration;
///
/// let options = TimingOptions { lease: Some(Duration::from_secs(5)), ..Default::default() };
/// let (timing, faults) = (options.build().unwrap(), vec![Fault::Partition, Fault::Suspend]);
/// let plan = Plan { timing, faults, candidates: 3, ..Plan::drawn(7) };
/// assert_eq!(World::with(7, plan).unwrap().run().map_err(|violation| violation.to_string()), Ok(()));
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// How many candidates stand for the election; 1 to 50.
    pub candidates: usize,
    /// The timing of each candidate.
    pub timing: Timing,
    /// Whether the candidates are strict: see [`Config::strict`](crate::core::lease::Config::strict).
    pub strict: bool,
    /// Whether hosts must report progress: see
    /// [`Config::progress_gate`](crate::core::lease::Config::progress_gate).
    pub progress_gate: bool,
    /// Whether the store's rows say how long their lease is.
    pub shows_lease: bool,
    /// What may go wrong. [`Fault::Clean`] goes with neither [`Fault::BigSteps`] nor [`Fault::Promote`]: a
    /// deleted row takes away what a strict candidate compares.
    pub faults: Vec<Fault>,
    /// The longest time that a message takes one way when nothing is wrong; at least 1 ns, at most a
    /// hundredth of the lease and 1 s.
    pub latency: Duration,
    /// How long faults happen; at most 1 000 leases.
    pub chaos: Duration,
    /// The mean time from one fault of a candidate or of the store to the next; at least 1 ms.
    pub fault_every: Duration,
}

impl Plan {
    /// The plan of [`World::new`](super::World::new) with this seed: one to five candidates, leases of 200 ms
    /// to 30 s, a random choice of faults.
    #[must_use]
    pub fn drawn(seed: u64) -> Plan {
        Plan::draw(&mut Random::new(seed))
    }

    pub(super) fn draw(random: &mut Random) -> Plan {
        let mut faults: Vec<Fault> = Vec::new();
        let often = random.pick(&[10, 30, 50]);
        faults.extend(Fault::COMMON.iter().filter(|_| random.chance(often)));
        faults.extend(Fault::RARE.iter().filter(|_| random.chance(15)));
        if has_unseen(&faults) {
            faults.retain(|&fault| fault != Fault::Clean);
        }
        let timing = random.pick(&TIMINGS).build().expect("the simulation's timings fit");
        let lease = timing.lease().as_nanos() as u64;
        Plan {
            candidates: random.pick(&[1, 2, 2, 3, 3, 3, 4, 5]),
            timing,
            strict: random.chance(if has_unseen(&faults) { 60 } else { 25 }),
            progress_gate: random.chance(30),
            shows_lease: random.chance(80),
            faults,
            latency: Duration::from_nanos(random.between(MS / 10, (lease / 100).min(5 * MS))),
            chaos: Duration::from_nanos(lease * random.between(15, 40)),
            fault_every: Duration::from_nanos(lease / random.between(1, 6)),
        }
    }

    pub(super) fn check(&self) -> Result<(), InvalidPlan> {
        let lease = self.timing.lease();
        let refuse = |why| Err(InvalidPlan(why));
        if !(1..=MOST_CANDIDATES).contains(&self.candidates) {
            return refuse(format!("{} candidates; choose 1 to {MOST_CANDIDATES}", self.candidates));
        }
        let most = LONGEST_LATENCY.min(lease / 100);
        if self.latency.is_zero() || self.latency > most {
            return refuse(format!("a latency of {:?}; choose 1 ns to {most:?}", self.latency));
        }
        if self.chaos > lease * MOST_LEASES {
            return refuse(format!("a chaos of {:?}; choose at most {MOST_LEASES} leases", self.chaos));
        }
        if self.fault_every < SHORTEST_PAUSE {
            return refuse(format!(
                "a fault every {:?}; choose at least {SHORTEST_PAUSE:?}",
                self.fault_every
            ));
        }
        if self.has(Fault::Clean) && has_unseen(&self.faults) {
            return refuse("the fault Clean beside BigSteps or Promote; leave out one of them".into());
        }
        Ok(())
    }

    pub(super) fn has(&self, fault: Fault) -> bool {
        self.faults.contains(&fault)
    }

    pub(super) fn lease(&self) -> u64 {
        nanos(self.timing.lease())
    }

    pub(super) fn margin(&self) -> u64 {
        nanos(self.timing.margin())
    }

    pub(super) fn one_way(&self) -> u64 {
        nanos(self.latency)
    }

    pub(super) fn chaos_end(&self) -> u64 {
        nanos(self.chaos)
    }

    pub(super) fn pause(&self) -> u64 {
        nanos(self.fault_every)
    }

    /// Whether Promise L holds in this run. All clocks must run within 1 % of each other; and either no
    /// commit is lost and the store's clock is not stepped by more than the margin, or every candidate is
    /// strict.
    pub(super) fn exclusion(&self) -> bool {
        !self.has(Fault::WildRates) && (self.strict || !has_unseen(&self.faults))
    }

    /// Whether the store blocks the row at least as long as its holder trusts it. Strict candidates keep
    /// Promise L without that.
    pub(super) fn cover(&self) -> bool {
        !self.has(Fault::WildRates) && !has_unseen(&self.faults)
    }

    /// The rate of a clock in parts per billion: any pair within 1 %, the extremes often.
    pub(super) fn rate(&self, random: &mut Random) -> i64 {
        let most = if self.has(Fault::WildRates) { 80_000_000 } else { 4_975_000 };
        match random.below(4) {
            0 => most,
            1 => -most,
            _ => random.between(0, 2 * most as u64) as i64 - most,
        }
    }
}

/// A plan that no world can be made of. The message says which field is wrong, and what to choose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidPlan(String);

impl fmt::Display for InvalidPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl ::core::error::Error for InvalidPlan {}

pub(super) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Whether the store's clock or history changes in ways that a candidate may not see.
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
