//! The pure core: it decides what to do and performs no I/O. Clock readings and seeds come from the driver.
pub mod batch;
pub mod lease;
mod name;
pub mod raft;
mod random;
pub mod sql;
pub mod table;
mod time;
mod timing;
mod token;

pub use name::{InvalidName, Name};
pub use time::{Instant, StoreTime};
pub use timing::{InvalidTiming, Timing, TimingOptions};
pub use token::{FencingToken, InvalidToken};
