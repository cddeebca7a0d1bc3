//! Random numbers of the operating system, which it may be unable to give: in a chroot without `/dev`, say.

use std::io;

use rand::TryRng;
use rand::rngs::SysRng;

use super::clock;

/// A random number, for what must be unique.
pub(crate) fn number() -> io::Result<u64> {
    SysRng.try_next_u64().map_err(io::Error::other)
}

/// A number to part processes that do the same at the same time: without random numbers the clock's last
/// digits do.
pub(crate) fn jitter() -> u64 {
    number().unwrap_or_else(|_| clock::now().as_nanos().wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32)
}

/// From 0 up to 1, to the same end.
pub(crate) fn fraction() -> f64 {
    f64::from(jitter() as u32) / f64::from(u32::MAX)
}
