//! Everything that does I/O: the operating system, stores, threads.

mod atomic;
pub(crate) mod host;
pub(crate) mod hub;
pub mod memory;
#[cfg(feature = "postgres")]
pub mod postgres;
mod rules;
pub(crate) mod seat;
#[cfg(feature = "sqlite")]
pub mod sqlite;
pub mod store;
mod telemetry;
pub mod url;
pub(crate) mod view;
mod worker;

#[cfg(any(feature = "sqlite", feature = "postgres"))]
pub use self::host::descriptor_limit;
pub use self::host::{clock, descriptor};
