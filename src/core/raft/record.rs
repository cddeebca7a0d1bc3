//! The record: the complete replicated state.

use ::core::fmt;
use alloc::sync::Arc;

use super::id::ClusterId;
use super::membership::Membership;

/// Orders the records of a cluster: by term, then by index.
///
/// A member replaces its record only by one with a larger position. Both numbers are below 2⁵³.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Position {
    /// The term of the leader that made the record.
    pub term: u64,
    /// The number of the record: one more than that of the record which it replaces.
    pub index: u64,
}

impl Position {
    /// The largest term and the largest index, 2⁵³ − 1.
    pub const LARGEST: u64 = (1 << 53) - 1;

    /// Before the first record.
    pub const ZERO: Position = Position { term: 0, index: 0 };

    /// The position with this term and index.
    #[must_use]
    pub const fn new(term: u64, index: u64) -> Position {
        Position { term, index }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.term, self.index)
    }
}

impl fmt::Debug for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// One record: the whole replicated state as a leader wrote it. There is no log: a record replaces the one
/// before it. Cheap to clone (counted references).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Record {
    /// Which record of the cluster it is.
    pub position: Position,
    /// The cluster that it belongs to.
    pub cluster: ClusterId,
    /// The members, of whom a quorum must acknowledge this record.
    pub membership: Arc<Membership>,
    /// The application's data, at most [`MAX_DATA_BYTES`].
    pub data: Arc<[u8]>,
}

/// Maximum length of a record's data, in bytes (1 MiB). A machine's own limit for proposals is lower by
/// default.
pub const MAX_DATA_BYTES: usize = 1 << 20;

/// The longest time for which a leader can ask a member to withhold its vote from others, in milliseconds.
pub const MAX_HOLD_MS: u64 = 60_000;
