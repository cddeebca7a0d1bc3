//! Clocks that run at their own rates beside the true time of a simulation.

/// One part in a billion.
const BILLION: u64 = 1_000_000_000;
/// The largest difference from the rate of true time.
const MOST_PPB: i64 = 500_000_000;

/// A simulated clock: it drifts at a constant rate, which can be changed, and it can be stepped.
///
/// Times are in nanoseconds. True time begins at zero; what the clock shows counts from whatever epoch its
/// owner chose. A true time before the latest change of rate or step counts as the time of that change.
///
/// ```
/// use elector::testing::Clock;
///
/// const SECOND: u64 = 1_000_000_000;
/// let mut clock = Clock::new(0, 5_000_000); // 0.5 % fast
/// assert_eq!(clock.read(100 * SECOND), 100 * SECOND + SECOND / 2);
///
/// clock.set_rate(100 * SECOND, 0);
/// clock.step(100 * SECOND, -(SECOND as i64));
/// assert_eq!(clock.read(100 * SECOND), 99 * SECOND + SECOND / 2);
/// assert_eq!(clock.reaches(100 * SECOND), 100 * SECOND + SECOND / 2);
/// ```
#[derive(Clone, Debug)]
pub struct Clock {
    changed_at: u64,
    showed: u64,
    ppb: i64,
}

impl Clock {
    /// A clock that shows `showing_ns` when true time begins, and runs faster than that by `ppb` parts per
    /// billion, slower if negative. The rate is limited to 500 000 000 (half as fast again, half as fast).
    #[must_use]
    pub fn new(showing_ns: u64, ppb: i64) -> Clock {
        Clock { changed_at: 0, showed: showing_ns, ppb: ppb.clamp(-MOST_PPB, MOST_PPB) }
    }

    /// What the clock shows at the true time `at_ns`.
    #[must_use]
    pub fn read(&self, at_ns: u64) -> u64 {
        let passed = at_ns.saturating_sub(self.changed_at);
        // Whole seconds and the rest apart, which is exact: a simulation reads clocks all the time, and to
        // divide 128 bits is slow.
        let (seconds, rest) = (passed / BILLION, passed % BILLION);
        let shown = seconds.saturating_mul(self.rate()).saturating_add(rest * self.rate() / BILLION);
        self.showed.saturating_add(shown)
    }

    /// The first true time, not before the latest change, at which the clock shows `reading_ns` or more.
    #[must_use]
    pub fn reaches(&self, reading_ns: u64) -> u64 {
        let Some(ahead) = reading_ns.checked_sub(self.showed) else { return self.changed_at };
        let (seconds, rest) = (ahead / self.rate(), ahead % self.rate());
        let passed = seconds.saturating_mul(BILLION).saturating_add((rest * BILLION).div_ceil(self.rate()));
        self.changed_at.saturating_add(passed)
    }

    /// From the true time `at_ns` on the clock runs at another rate: see [`Clock::new`].
    pub fn set_rate(&mut self, at_ns: u64, ppb: i64) {
        let showed = self.read(at_ns);
        *self = Clock { changed_at: at_ns.max(self.changed_at), ..Clock::new(showed, ppb) };
    }

    /// At the true time `at_ns` the clock is set forward by `by_ns`, back if negative.
    pub fn step(&mut self, at_ns: u64, by_ns: i64) {
        let showed = self.read(at_ns).saturating_add_signed(by_ns);
        *self = Clock { changed_at: at_ns.max(self.changed_at), showed, ppb: self.ppb };
    }

    /// How many nanoseconds the clock shows for a second of true time.
    fn rate(&self) -> u64 {
        BILLION.saturating_add_signed(self.ppb)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_reaches_a_reading_no_sooner_than_it_shows_it() {
        // Rates, a change and a step; the reading one nanosecond before must be smaller.
        let mut clock = Clock::new(77, -4_900_000);
        clock.set_rate(1_000_000, 4_900_000);
        clock.step(2_000_000, -500);
        for reading in [2_000_100, 2_345_678, 1_700_000_000_000_000_000] {
            let at = clock.reaches(reading);
            assert!(clock.read(at) >= reading && clock.read(at - 1) < reading);
        }
    }

    #[test]
    fn no_rate_stops_or_overflows_a_clock() {
        for ppb in [i64::MIN, -1_000_000_000, i64::MAX] {
            let clock = Clock::new(u64::MAX / 2, ppb);
            assert!(clock.read(u64::MAX) > clock.read(0));
            assert!(clock.reaches(u64::MAX) > clock.reaches(0));
        }
    }
}
