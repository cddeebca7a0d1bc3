//! Seeded pseudo-random numbers: the same seed gives the same run on every machine.

use ::core::time::Duration;
use rand_pcg::Pcg32;
use rand_pcg::rand_core::{Rng as _, SeedableRng as _};

/// The core's only source of randomness. The driver supplies the seed.
///
/// PCG-XSH-RR 64/32 (M. O'Neill, 2014), whose output is documented as stable across versions and platforms.
/// The range functions of `rand` do not promise that, so [`Random::below`] maps its draw to a range itself.
#[derive(Clone, Debug)]
pub(crate) struct Random(Pcg32);

impl Random {
    pub(crate) fn new(seed: u64) -> Random {
        Random(Pcg32::seed_from_u64(seed))
    }

    /// A number drawn evenly below 2⁵².
    pub(crate) fn number(&mut self) -> u64 {
        self.0.next_u64() >> 12
    }

    /// A duration drawn evenly from zero up to, not including, `below`; zero if `below` is zero.
    pub(crate) fn below(&mut self, below: Duration) -> Duration {
        let span = super::time::nanos(below);
        Duration::from_nanos(((u128::from(self.0.next_u64()) * u128::from(span)) >> 64) as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_draws_everywhere() {
        let mut random = Random::new(7);
        let draws: [u128; 3] =
            ::core::array::from_fn(|_| random.below(Duration::from_millis(2_000)).as_nanos());
        let mut again = Random::new(7);
        assert_eq!(draws, ::core::array::from_fn(|_| again.below(Duration::from_millis(2_000)).as_nanos()));
        assert!(draws.iter().all(|&draw| draw < 2_000_000_000));
        assert_eq!(random.below(Duration::ZERO), Duration::ZERO);
    }
}
