//! The operating system: clocks, random numbers, threads, forks, descriptors. Nothing here depends on stores
//! or elections.

pub mod clock;
pub(crate) mod contained;
pub mod descriptor;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
pub mod descriptor_limit;
pub(crate) mod fork;
pub(crate) mod random;
pub(crate) mod threads;
