//! Whom a message is for.

use super::id::{Incarnation, MemberId};
use super::message::Message;

/// A member and its incarnation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Peer {
    pub(super) id: MemberId,
    pub(super) incarnation: Incarnation,
}

impl Message {
    /// Whom an answer is for.
    pub(super) fn sender(&self) -> Peer {
        Peer { id: self.from, incarnation: self.from_incarnation }
    }
}
