//! What C is told of a candidate's leadership.

use std::time::Duration;

use super::boundary::Growing;
use crate::core::Instant;
use crate::core::lease::{DeposedReason, Event, Leadership};

/// Why a term ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub enum elector_reason {
    /// No term has ended.
    None = 0,
    /// This program released the lease.
    Released = 1,
    /// No renewal succeeded before the hard deadline.
    Expired = 2,
    /// The store's row no longer names this term: another candidate took it over, or it was revoked or
    /// deleted.
    Lost = 3,
    /// Renewals were withheld until the hard deadline, by the progress gate or because a drain passed its
    /// bound.
    Stalled = 4,
    /// The lease no longer excludes other candidates: its SQLite file is gone from its path, or descriptors
    /// of the store were closed.
    Revoked = 5,
    /// The elector was created before a `fork`, and this is the child process.
    Forked = 6,
}

impl elector_reason {
    pub(super) fn of(reason: Option<DeposedReason>) -> elector_reason {
        match reason {
            None => elector_reason::None,
            Some(DeposedReason::Released) => elector_reason::Released,
            Some(DeposedReason::Expired) => elector_reason::Expired,
            Some(DeposedReason::Lost) => elector_reason::Lost,
            Some(DeposedReason::Stalled) => elector_reason::Stalled,
            Some(DeposedReason::Revoked) => elector_reason::Revoked,
        }
    }
}

/// What happened to a candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub enum elector_event {
    /// No event.
    None = 0,
    /// A term begins: this candidate leads.
    Elected = 1,
    /// The lease was renewed; the term continues.
    Renewed = 2,
    /// A renewal failed, or the progress gate or the bound of a drain withheld it. The term continues.
    AtRisk = 3,
    /// The soft deadline was reached, or a drain began: start no new work. A later RENEWED permits new work
    /// again, except in a drain. When a drain reaches the soft deadline the event comes again: end the work
    /// in progress.
    StopNewWork = 4,
    /// The term is over. Comes exactly once for each ELECTED.
    Deposed = 5,
    /// The leader changed: it is this candidate (after ELECTED), another candidate, or none.
    LeaderChanged = 6,
    /// The store's clock was stepped. For one full lease this candidate takes over no lease that is older.
    StoreClockStepped = 7,
    /// A standby of the store was promoted, and commits may be lost. Handled like STORE_CLOCK_STEPPED.
    TimelineChanged = 8,
    /// The row's expiry is further ahead than its lease could have set it. No candidate can take the row over
    /// before that expiry, unless `elector break` corrects it.
    PoisonedRow = 9,
}

impl elector_event {
    pub(super) fn of(event: &Event) -> elector_event {
        match event {
            Event::Elected { .. } => elector_event::Elected,
            Event::Renewed { .. } => elector_event::Renewed,
            Event::AtRisk { .. } => elector_event::AtRisk,
            Event::StopNewWork { .. } => elector_event::StopNewWork,
            Event::Deposed { .. } => elector_event::Deposed,
            Event::LeaderChanged { .. } => elector_event::LeaderChanged,
            Event::StoreClockStepped { .. } => elector_event::StoreClockStepped,
            Event::TimelineChanged => elector_event::TimelineChanged,
            Event::PoisonedRow { .. } => elector_event::PoisonedRow,
        }
    }

    /// The term that an event is of, or 0.
    pub(super) fn token(event: &Event) -> u64 {
        match event {
            Event::Elected { token }
            | Event::Renewed { token }
            | Event::AtRisk { token }
            | Event::StopNewWork { token }
            | Event::Deposed { token, .. } => token.get(),
            Event::LeaderChanged { leader } => {
                leader.as_ref().and_then(|leader| leader.token).map_or(0, |token| token.get())
            }
            _ => 0,
        }
    }

    pub(super) fn reason(event: &Event) -> elector_reason {
        match event {
            Event::Deposed { reason, .. } => elector_reason::of(Some(*reason)),
            _ => elector_reason::None,
        }
    }
}

/// A consistent answer to the question whether this candidate leads. Initialise it with
/// ELECTOR_LEADERSHIP_INIT.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct elector_leadership {
    /// Set it to sizeof this struct.
    pub struct_size: u32,
    /// Why the latest term ended.
    pub reason: elector_reason,
    /// The number of the latest change; 0 before the first one.
    pub revision: u64,
    /// The fencing token of the term while it is trusted, also in a drain; otherwise 0.
    pub token: u64,
    /// The time in milliseconds from this answer until the hard deadline, when trust in the term ends;
    /// rounded down; 0 without a term. A renewal extends it. Everything that only the leader may do must have
    /// ended by then: another candidate can lead from that instant on.
    pub trusted_for_ms: u64,
    /// Whether this candidate leads. False in a drain.
    pub is_leader: bool,
    /// The time in milliseconds from this answer until the soft deadline, a tenth of the lease before the
    /// hard one; rounded down; 0 without a term and past that deadline. A renewal extends it. Start nothing
    /// new by then. In a drain start nothing new at all: then this is the time for which the work in progress
    /// may still run.
    pub work_for_ms: u64,
}

// SAFETY: `repr(C)`, begins with its size, only ever read by us where we filled it.
unsafe impl Growing for elector_leadership {
    const FIRST_SIZE: usize = std::mem::offset_of!(Self, work_for_ms);
}

impl elector_leadership {
    pub(super) fn of(leadership: Leadership, revision: u64, now: Instant) -> elector_leadership {
        let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        elector_leadership {
            struct_size: 0,
            reason: elector_reason::of(leadership.reason),
            revision,
            token: leadership.token.map_or(0, |token| token.get()),
            trusted_for_ms: millis(leadership.trusted_for(now)),
            is_leader: leadership.is_leader,
            work_for_ms: millis(leadership.work_for(now)),
        }
    }

    /// What a forked child is told.
    #[cfg(feature = "driver")]
    pub(super) fn forked() -> elector_leadership {
        elector_leadership {
            struct_size: 0,
            reason: elector_reason::Forked,
            revision: 0,
            token: 0,
            trusted_for_ms: 0,
            is_leader: false,
            work_for_ms: 0,
        }
    }
}
