//! The clock that the processes of a test share: time since the machine started, suspended time included. The
//! crate under test reads the same one.

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// A reading of the clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Instant(u64);

impl Instant {
    pub const ZERO: Instant = Instant(0);

    pub fn from_nanos(nanos: u64) -> Instant {
        Instant(nanos)
    }

    pub fn as_nanos(self) -> u64 {
        self.0
    }

    /// The time since an earlier reading; zero if it was later.
    pub fn saturating_since(self, earlier: Instant) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

pub fn now() -> Instant {
    read(ClockId::CLOCK_BOOTTIME)
}

/// How far this clock is ahead of the one that does not count suspended time, which Node reads.
pub fn suspended() -> Duration {
    now().saturating_since(read(ClockId::CLOCK_MONOTONIC))
}

fn read(clock: ClockId) -> Instant {
    let time = clock_gettime(clock).expect("Linux has this clock");
    Instant(time.tv_sec() as u64 * 1_000_000_000 + time.tv_nsec() as u64)
}
