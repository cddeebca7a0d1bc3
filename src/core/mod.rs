//! The pure core: it decides and does nothing else.
pub mod batch;
pub mod lease;
mod name;
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
