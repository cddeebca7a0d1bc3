//! Whom a message is for.

use super::id::{Incarnation, MemberId};
use super::membership::{Membership, Profile};
use super::message::Message;

/// A member and its incarnation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Peer {
    pub(super) id: MemberId,
    pub(super) incarnation: Incarnation,
}

impl Profile {
    pub(super) fn peer(&self) -> Peer {
        Peer { id: self.id, incarnation: self.incarnation }
    }
}

impl Membership {
    /// Whether this incarnation of a member is listed, or none of it yet.
    pub(super) fn lists(&self, peer: Peer) -> bool {
        self.get(&peer.id).is_some_and(|member| member.profile.is_of(peer.incarnation))
    }
}

impl Message {
    /// Whom an answer is for.
    pub(super) fn sender(&self) -> Peer {
        Peer { id: self.from, incarnation: self.from_incarnation }
    }
}
