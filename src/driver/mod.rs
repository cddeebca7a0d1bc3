//! Everything that does I/O: the operating system, stores, threads.

mod atomic;
pub(crate) mod host;
pub(crate) mod hub;
pub(crate) mod seat;
pub mod stores;
mod telemetry;
pub(crate) mod view;
mod worker;

#[cfg(any(feature = "sqlite", feature = "postgres"))]
pub use self::host::descriptor_limit;
pub use self::host::{clock, descriptor};
