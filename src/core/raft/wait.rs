//! The numbers of waits: of the times for which a founder waits for answers.

use crate::core::Instant;

/// How many bits say when the wait began, in steps of 2²⁰ ns: more than a hundred days.
const TIME_BITS: u32 = 33;
const TIME_SHIFT: u32 = 20;

/// The number of the wait that began then, below 2⁵³. `life` is a random number below 2²⁰: an answer to a
/// question of the member's earlier life has another one.
pub(super) fn number(life: u64, began: Instant) -> u64 {
    life << TIME_BITS | (began.as_nanos() >> TIME_SHIFT) & ((1 << TIME_BITS) - 1)
}

/// When the wait with this number began, in the first hundred days.
#[cfg(feature = "testing")]
pub(super) fn began(number: u64) -> Instant {
    Instant::from_nanos((number & ((1 << TIME_BITS) - 1)) << TIME_SHIFT)
}
