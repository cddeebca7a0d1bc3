//! Time as the core sees it: instants on the driver's clock, and readings of the store's clock.

use ::core::fmt;
use ::core::time::Duration;

/// A point in time, in nanoseconds since an origin that the driver chooses once and never changes.
///
/// The core never reads a clock. The driver reads a clock that also counts the time for which the machine was
/// suspended (`CLOCK_BOOTTIME` on Linux), and passes the reading in. All arithmetic saturates and never
/// panics.
///
/// ```
/// use elector::core::Instant;
/// use std::time::Duration;
///
/// let sent = Instant::from_nanos(5_000);
/// assert_eq!(sent.saturating_add(Duration::from_nanos(7)).as_nanos(), 5_007);
/// assert_eq!(Instant::MAX.saturating_add(Duration::MAX), Instant::MAX);
/// ```
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, serde::Serialize, serde::Deserialize,
)]
#[serde(transparent)]
pub struct Instant(u64);

impl Instant {
    /// The origin of the driver's clock.
    pub const ZERO: Instant = Instant(0);
    /// Later than any instant that a clock can show (584 years after the origin): "never".
    pub const MAX: Instant = Instant(u64::MAX);

    /// The instant `nanos` nanoseconds after the origin.
    #[must_use]
    pub const fn from_nanos(nanos: u64) -> Instant {
        Instant(nanos)
    }

    /// The instant `millis` milliseconds after the origin; saturates at [`Instant::MAX`].
    #[must_use]
    pub const fn from_millis(millis: u64) -> Instant {
        Instant(millis.saturating_mul(1_000_000))
    }

    /// Nanoseconds since the origin.
    #[must_use]
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// This instant moved later by `by`; saturates at [`Instant::MAX`].
    #[must_use]
    pub const fn saturating_add(self, by: Duration) -> Instant {
        Instant(self.0.saturating_add(nanos(by)))
    }

    /// This instant moved earlier by `by`; saturates at the origin.
    #[must_use]
    pub const fn saturating_sub(self, by: Duration) -> Instant {
        Instant(self.0.saturating_sub(nanos(by)))
    }

    /// How long after `earlier` this instant is; zero if it is not after it.
    #[must_use]
    pub const fn saturating_since(self, earlier: Instant) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl fmt::Debug for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Instant::MAX {
            return f.write_str("never");
        }
        write!(f, "{}.{:06}ms", self.0 / 1_000_000, self.0 % 1_000_000)
    }
}

/// A duration in whole nanoseconds; saturates at `u64::MAX` (584 years).
pub(crate) const fn nanos(duration: Duration) -> u64 {
    let nanos = duration.as_nanos();
    if nanos > u64::MAX as u128 { u64::MAX } else { nanos as u64 }
}

/// `percent` hundredths of a duration, at most 100, rounded down.
pub(crate) const fn percent(duration: Duration, percent: u64) -> Duration {
    let nanos = nanos(duration);
    Duration::from_nanos(nanos / 100 * percent + nanos % 100 * percent / 100)
}

/// A reading of the store's own clock, in microseconds since an origin that the store chooses.
///
/// Only the difference between two readings of the same store is meaningful.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, serde::Serialize, serde::Deserialize,
)]
#[serde(transparent)]
pub struct StoreTime(i64);

impl StoreTime {
    /// A reading of `micros` microseconds.
    #[must_use]
    pub const fn from_micros(micros: i64) -> StoreTime {
        StoreTime(micros)
    }

    /// The reading in microseconds.
    #[must_use]
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// This reading moved later by `by`; saturates.
    #[must_use]
    pub const fn saturating_add(self, by: Duration) -> StoreTime {
        let micros = by.as_micros();
        let micros = if micros > i64::MAX as u128 { i64::MAX } else { micros as i64 };
        StoreTime(self.0.saturating_add(micros))
    }

    /// How long after `earlier` this reading is; zero if it is not after it.
    #[must_use]
    pub const fn saturating_since(self, earlier: StoreTime) -> Duration {
        let micros = self.0 as i128 - earlier.0 as i128;
        if micros <= 0 {
            return Duration::ZERO;
        }
        let micros = if micros > u64::MAX as i128 { u64::MAX } else { micros as u64 };
        Duration::from_micros(micros)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_saturates_at_both_ends() {
        assert_eq!(Instant::from_nanos(3).saturating_sub(Duration::from_nanos(5)), Instant::ZERO);
        assert_eq!(Instant::from_nanos(3).saturating_add(Duration::MAX), Instant::MAX);
        assert_eq!(Instant::from_nanos(3).saturating_since(Instant::from_nanos(9)), Duration::ZERO);
        assert_eq!(StoreTime::from_micros(i64::MAX).saturating_add(Duration::MAX).as_micros(), i64::MAX);
        let widest = StoreTime::from_micros(i64::MAX).saturating_since(StoreTime::from_micros(i64::MIN));
        assert_eq!(widest, Duration::from_micros(u64::MAX));
    }

    #[test]
    fn percent_does_not_overflow() {
        assert_eq!(percent(Duration::from_secs(10), 99), Duration::from_millis(9_900));
        assert_eq!(percent(Duration::MAX, 100), Duration::from_nanos(u64::MAX));
    }
}
