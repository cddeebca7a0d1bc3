//! The newest record of a witness, which only it may keep: offered to candidates that lack it.
//!
//! A witness never leads. So if the leader ends right after a commit that only the witness keeps besides it,
//! nobody who may lead has the newest record, and no election could ever be won. The witness therefore adds
//! its record to the refusal, and the candidate stands again with it.

use super::id::MemberId;
use super::membership::MAX_MEMBERS;
use super::message::Message;
use super::record::{Position, Record};
use super::state::{Raft, State};
use crate::core::lease::DeposedReason;

impl Raft {
    /// The record for a candidate that lacks it: only from a witness, and once in a minimum election time.
    pub(super) fn offer(&mut self, candidate: MemberId, last: Position) -> Option<Record> {
        if !self.config.is_witness || last >= self.last().position {
            return None;
        }
        let now = self.now;
        self.offered.retain(|(_, until)| *until > now);
        let is_due = self.offered.iter().all(|(id, _)| *id != candidate) && self.offered.len() < MAX_MEMBERS;
        if !is_due {
            return None;
        }
        self.offered.push((candidate, now.saturating_add(self.config.timing.min())));
        Some(self.last().clone())
    }

    /// Takes the record that a witness offered, and stands again with it. It is not committed by that, and
    /// never acknowledged: a leader commits it as part of its own.
    ///
    /// The member's term becomes that of the message first, so that no record of a member is of a later term
    /// than its own. Copying a leader's record to one more member only raises its newest record, as a late
    /// message of that leader could have.
    pub(super) fn take_offer(&mut self, message: &Message, offer: &Record) {
        let is_candidate = matches!(self.state, State::PreCandidate(_) | State::Candidate { .. });
        let from = self.place_of(message.sender());
        let is_asked = from.and_then(|place| self.other_asked(place)).is_some();
        if !is_candidate || !is_asked || offer.position <= self.last().position {
            return;
        }
        if offer.position.index <= self.bound.committed.position.index {
            self.refused.protocol += 1;
            return;
        }
        if !self.may_keep(offer.cluster) {
            self.refused.cluster += 1;
            return;
        }
        let term = message.term.max(self.bound.term);
        self.follow(term, None, DeposedReason::Lost);
        self.state = State::Follower;
        self.bound.uncommitted = Some(offer.clone());
        self.durability.changed();
        self.stand();
    }
}
