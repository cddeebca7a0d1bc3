//! How often a machine may ask the store: a token bucket, and back-off after failures.

use ::core::time::Duration;

use crate::core::random::Random;
use crate::core::time::nanos;
use crate::core::{Instant, Timing};

/// Maximum number of operations that may follow each other at once.
const BURST: u64 = 20;

/// The bound on operations: at most `20 + elapsed / (retry / 10)`, whatever hints and replies come in. With
/// the default timing that is twenty at once and twenty a second.
///
/// The generic cell rate algorithm (ITU-T I.371): one instant is the whole state.
#[derive(Clone, Debug)]
pub(crate) struct Pace {
    period: Duration,
    /// When the bucket will be full again.
    full_at: Instant,
}

impl Pace {
    pub(crate) fn new(timing: &Timing) -> Pace {
        Pace { period: timing.retry() / 10, full_at: Instant::ZERO }
    }

    /// The earliest time for the next operation.
    pub(crate) fn allowed_from(&self) -> Instant {
        self.full_at.saturating_sub(self.period * (BURST as u32 - 1))
    }

    /// Counts an operation.
    pub(crate) fn spend(&mut self, now: Instant) {
        self.full_at = self.full_at.max(now).saturating_add(self.period);
    }
}

/// The pause before a candidate's next operation after `failures` in a row: twice as long each time, from
/// `retry` up to a third of the lease. Half of each is random, so that candidates do not retry together.
pub(crate) fn back_off(timing: &Timing, failures: u32, random: &mut Random) -> Duration {
    let doubled = nanos(timing.retry()).saturating_mul(1 << failures.saturating_sub(1).min(20));
    let longest = (timing.lease() / 3).max(timing.retry());
    let pause = Duration::from_nanos(doubled).min(longest);
    pause / 2 + random.below(pause / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_than_the_burst_and_then_one_a_period() {
        let mut pace = Pace::new(&Timing::default());
        let (mut now, mut spent) = (Instant::from_millis(5_000), 0);
        let end = now.saturating_add(Duration::from_secs(3));
        while now < end {
            if pace.allowed_from() <= now {
                pace.spend(now);
                spent += 1;
            }
            now = now.saturating_add(Duration::from_millis(1));
        }
        assert_eq!(spent, 20 + 59);
    }

    #[test]
    fn back_off_grows_to_a_third_of_the_lease() {
        let (timing, mut random) = (Timing::default(), Random::new(1));
        for failures in 1..100 {
            let pause = back_off(&timing, failures, &mut random);
            assert!(pause >= timing.retry() / 2 && pause <= timing.lease() / 3, "{failures}: {pause:?}");
        }
        assert!(back_off(&timing, 50, &mut random) >= timing.lease() / 6);
    }
}
