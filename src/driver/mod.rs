//! Everything that does I/O: clocks, stores, threads.

mod atomic;
pub mod clock;
pub mod descriptor;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
pub mod descriptor_limit;
pub(crate) mod foreign;
pub(crate) mod fork;
pub(crate) mod hub;
pub mod memory;
#[cfg(feature = "postgres")]
pub mod postgres;
pub(crate) mod random;
mod rules;
pub(crate) mod seat;
#[cfg(feature = "sqlite")]
pub mod sqlite;
pub mod store;
mod telemetry;
pub(crate) mod threads;
pub mod url;
pub(crate) mod view;
mod worker;
