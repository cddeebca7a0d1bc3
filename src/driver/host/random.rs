//! Random numbers of the operating system, which it may be unable to give: in a chroot without `/dev`, say.

use std::io;

use rand::TryRng;
use rand::rngs::SysRng;

use super::clock;

/// A random number, for what must be unique.
pub(crate) fn number() -> io::Result<u64> {
    SysRng.try_next_u64().map_err(io::Error::other)
}

/// Jitter: lets processes that start together diverge. Without random numbers it is made from the clock's
/// last digits.
pub(crate) fn jitter() -> u64 {
    number().unwrap_or_else(|_| clock::now().as_nanos().wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32)
}

/// Jitter in `0..=1`.
pub(crate) fn fraction() -> f64 {
    f64::from(jitter() as u32) / f64::from(u32::MAX)
}
