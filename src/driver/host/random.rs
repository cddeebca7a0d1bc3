//! Random numbers of the operating system. They may be unavailable, for example in a chroot without `/dev`.

use std::io;

use rand::TryRng;
use rand::rngs::SysRng;

use super::clock;

/// A random number for values that must be unique.
pub(crate) fn number() -> io::Result<u64> {
    SysRng.try_next_u64().map_err(io::Error::other)
}

/// A number for jitter, which spreads out processes that start together. Without random numbers it comes from
/// the low bits of the clock.
pub(crate) fn jitter() -> u64 {
    number().unwrap_or_else(|_| clock::now().as_nanos().wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32)
}

/// Jitter from 0 to 1, both included.
pub(crate) fn fraction() -> f64 {
    f64::from(jitter() as u32) / f64::from(u32::MAX)
}
