//! A promise that was broken in a world.

use ::core::fmt;
use ::core::time::Duration;
use alloc::string::String;

/// A promise that was broken: which, in which world and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    seed: u64,
    at: Duration,
    what: String,
}

impl Violation {
    pub(super) fn new(seed: u64, at_ns: u64, what: String) -> Violation {
        Violation { seed, at: Duration::from_nanos(at_ns), what }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "seed {}, at {:?}: {}", self.seed, self.at, self.what)
    }
}

impl ::core::error::Error for Violation {}
