//! All code that does I/O: operating system, stores, and the hub with its threads.

pub(crate) mod host;
pub(crate) mod hub;
pub mod stores;

#[cfg(any(feature = "sqlite", feature = "postgres"))]
pub use self::host::descriptor_limit;
pub use self::host::{clock, descriptor};
