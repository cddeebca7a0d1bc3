//! The simulation's one source of chance.

use rand_pcg::Pcg32;
use rand_pcg::rand_core::{Rng as _, SeedableRng as _};

/// Draws that are the same for one seed on every machine: PCG's output is documented as stable, and the
/// mappings are written out here.
pub(super) struct Random(Pcg32);

impl Random {
    pub(super) fn new(seed: u64) -> Random {
        Random(Pcg32::seed_from_u64(seed))
    }

    pub(super) fn number(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A number from zero up to, not including, `below`; zero if `below` is zero.
    pub(super) fn below(&mut self, below: u64) -> u64 {
        ((u128::from(self.0.next_u64()) * u128::from(below)) >> 64) as u64
    }

    /// A number from `least` up to and including `most`.
    pub(super) fn between(&mut self, least: u64, most: u64) -> u64 {
        least + self.below(most - least + 1)
    }

    /// True in `percent` of a hundred draws.
    pub(super) fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    pub(super) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize]
    }
}
