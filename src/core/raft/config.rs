//! The settings of a member.

use ::core::fmt;
use ::core::time::Duration;
use alloc::boxed::Box;

use super::id::{Incarnation, MemberId};
use super::membership::Membership;
use super::record::{MAX_DATA_BYTES, MAX_HOLD_MS};
use crate::core::time::nanos;

/// The longest minimum election time, and the longest time for which a leader can ask a member to withhold
/// its vote from others.
pub const MAX_ELECTION_MIN: Duration = Duration::from_millis(MAX_HOLD_MS);

/// The times of elections and heartbeats, checked by [`ElectionTiming::new`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ElectionTiming {
    heartbeat: Duration,
    min: Duration,
    max: Duration,
}

impl ElectionTiming {
    /// A leader sends heartbeats every `heartbeat`. A member that hears none for a time drawn from `min` to
    /// `max` stands for election.
    ///
    /// * `min` is also what a leader's trust is computed from: it ends 0.9 `min` after the send of the newest
    ///   heartbeat that a quorum answered. A fail-over takes about `min` to `max`, and a round trip or two.
    /// * Too short a `min` against the round trip makes elections that nobody wins; too narrow a span from
    ///   `min` to `max` makes members stand at the same time.
    ///
    /// # Errors
    /// When `heartbeat` is below 1 ms or above half of `min`, `min` is above [`MAX_ELECTION_MIN`], or `max`
    /// is not above `min` or above ten times [`MAX_ELECTION_MIN`].
    pub fn new(heartbeat: Duration, min: Duration, max: Duration) -> Result<ElectionTiming, InvalidTiming> {
        let invalid = InvalidTiming { heartbeat, min, max };
        let is_valid = heartbeat >= Duration::from_millis(1)
            && heartbeat <= min / 2
            && min <= MAX_ELECTION_MIN
            && max > min
            && max <= 10 * MAX_ELECTION_MIN;
        if is_valid { Ok(ElectionTiming { heartbeat, min, max }) } else { Err(invalid) }
    }

    /// The time from one heartbeat of a leader to the next.
    #[must_use]
    pub const fn heartbeat(&self) -> Duration {
        self.heartbeat
    }

    /// The minimum election time.
    #[must_use]
    pub const fn min(&self) -> Duration {
        self.min
    }

    /// The maximum election time.
    #[must_use]
    pub const fn max(&self) -> Duration {
        self.max
    }
}

impl Default for ElectionTiming {
    /// A heartbeat every 100 ms, and elections after 200 to 800 ms.
    fn default() -> ElectionTiming {
        let [heartbeat, min, max] = [100, 200, 800].map(Duration::from_millis);
        ElectionTiming { heartbeat, min, max }
    }
}

/// Times that do not fit together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidTiming {
    heartbeat: Duration,
    min: Duration,
    max: Duration,
}

impl fmt::Display for InvalidTiming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let InvalidTiming { heartbeat, min, max } = self;
        let ms = |duration: &Duration| nanos(*duration) / 1_000_000;
        write!(
            f,
            "a heartbeat of {} ms and elections after {} to {} ms do not fit: give a heartbeat of 1 ms to \
             half the minimum, a minimum of at most {MAX_HOLD_MS} ms, and a larger maximum of at most {} ms",
            ms(heartbeat),
            ms(min),
            ms(max),
            10 * MAX_HOLD_MS
        )
    }
}

impl ::core::error::Error for InvalidTiming {}

/// The settings of one member.
#[derive(Clone, Debug)]
pub struct Config {
    /// The member's id. Two machines with one id in one cluster break its promises.
    pub id: MemberId,
    /// A random number, drawn anew at each start. A member with durable state keeps the one that it has
    /// there, unless it had left its cluster. If a member that lost its state comes back with its old number,
    /// its forgotten votes count.
    pub incarnation: Incarnation,
    /// Where the transport finds this member.
    pub address: Box<str>,
    /// A caught-up voter of higher priority is handed leadership.
    pub priority: u8,
    /// Votes and keeps the record, and never leads.
    pub is_witness: bool,
    /// The times of elections and heartbeats. Members may have different ones.
    pub timing: ElectionTiming,
    /// The longest data of a proposal, in bytes; 65 536 by default, at most [`MAX_DATA_BYTES`].
    pub max_data: usize,
    /// Seeds the election times, the ids of clusters that the member founds, and the numbers of its
    /// questions, together with the id: a random number, drawn anew at each start.
    pub seed: u64,
    /// The founding list: the first members of the cluster, equal on all of them, with this one among them.
    /// None if one member founds the cluster alone and the others join. Taken only by a member that belongs
    /// to no cluster. Incarnations in it do not count.
    pub founding: Option<Membership>,
    pub(super) protections: Protections,
}

impl Config {
    /// The settings of a member with this id and incarnation: no address, priority 0, no witness, the default
    /// times, at most 64 KiB of data, no founding list.
    #[must_use]
    pub fn new(id: MemberId, incarnation: Incarnation, seed: u64) -> Config {
        Config {
            id,
            incarnation,
            address: "".into(),
            priority: 0,
            is_witness: false,
            timing: ElectionTiming::default(),
            max_data: MAX_DATA_BYTES / 16,
            seed,
            founding: None,
            protections: Protections::default(),
        }
    }

    /// The settings without a protection: for tests that show what it protects from.
    #[cfg(feature = "testing")]
    #[must_use]
    pub fn without(mut self, protection: Protection) -> Config {
        let protections = &mut self.protections;
        *match protection {
            Protection::PreVote => &mut protections.pre_vote,
            Protection::CheckQuorum => &mut protections.check_quorum,
            Protection::Withholding => &mut protections.withholding,
            Protection::OwnTerm => &mut protections.own_term,
        } = false;
        self
    }
}

/// A rule that tests can switch off.
#[cfg(feature = "testing")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protection {
    /// A member asks whether it would be voted for before it raises its term.
    PreVote,
    /// A leader that no quorum answers any more stops leading.
    CheckQuorum,
    /// A member that heard a leader lately gives its vote to no other.
    Withholding,
    /// A leader commits only records of its own term.
    OwnTerm,
}

/// The rules that tests can switch off; all are on otherwise.
#[derive(Clone, Copy, Debug)]
pub(super) struct Protections {
    pub(super) pre_vote: bool,
    pub(super) check_quorum: bool,
    pub(super) withholding: bool,
    pub(super) own_term: bool,
}

impl Default for Protections {
    fn default() -> Protections {
        Protections { pre_vote: true, check_quorum: true, withholding: true, own_term: true }
    }
}
