//! Clocks that run at their own rates beside the simulation's true time.

/// One part in a billion.
const BILLION: i128 = 1_000_000_000;

/// A clock: a straight line over true time, which bends when its rate changes.
#[derive(Clone, Debug)]
pub struct Clock {
    bent_at: u64,
    showed: u64,
    /// How much faster than true time it runs, in parts per billion.
    ppb: i64,
}

impl Clock {
    pub fn new(showing: u64, ppb: i64) -> Clock {
        Clock { bent_at: 0, showed: showing, ppb }
    }

    /// What the clock shows at the true time `at`, in nanoseconds.
    pub fn read(&self, at: u64) -> u64 {
        let passed = i128::from(at - self.bent_at) * (BILLION + i128::from(self.ppb)) / BILLION;
        self.showed + passed as u64
    }

    /// The first true time, not before the last bend, at which the clock shows `reading` or more.
    pub fn reaches(&self, reading: u64) -> u64 {
        let Some(ahead) = reading.checked_sub(self.showed) else { return self.bent_at };
        let rate = BILLION + i128::from(self.ppb);
        let passed = (i128::from(ahead) * BILLION + rate - 1) / rate;
        self.bent_at.saturating_add(u64::try_from(passed).unwrap_or(u64::MAX))
    }

    pub fn set_rate(&mut self, at: u64, ppb: i64) {
        *self = Clock { bent_at: at, showed: self.read(at), ppb };
    }

    pub fn step(&mut self, at: u64, by: i64) {
        *self = Clock { bent_at: at, showed: self.read(at).saturating_add_signed(by), ppb: self.ppb };
    }
}

#[test]
fn a_clock_reaches_a_reading_no_sooner_than_it_shows_it() {
    // Rates, bends and steps; the reading one nanosecond before must be smaller.
    let mut clock = Clock::new(77, -4_900_000);
    clock.set_rate(1_000_000, 4_900_000);
    clock.step(2_000_000, -500);
    for reading in [2_000_100, 2_345_678, 1_700_000_000_000_000_000] {
        let at = clock.reaches(reading);
        assert!(clock.read(at) >= reading && clock.read(at - 1) < reading);
    }
}
