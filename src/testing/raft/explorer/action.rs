//! What can happen in an explored state.

use ::core::fmt;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::network::Packet;
use super::process::Keeps;
use super::scope::Scope;
use crate::core::raft::{Body, Change, Membership, Record, Transition};

/// One thing that can happen. Members are numbers.
#[derive(Clone)]
pub(super) enum Action {
    /// The clock goes on.
    Pause,
    Timeout(usize),
    Campaign(usize),
    Deliver(Arc<Packet>),
    Written(usize),
    WriteFails(usize, Keeps),
    Crash(usize, Keeps),
    /// With the index of the record that it may replace; `None` for any.
    Propose(usize, Option<u64>),
    Transfer(usize, usize),
    /// An operator asks a leader for these voters, as a set of bits.
    Change(usize, u32, Transition),
    Leave(usize),
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Action::Pause => f.write_str("the clock goes on"),
            Action::Timeout(member) => write!(f, "n{member}: timeout"),
            Action::Campaign(member) => write!(f, "n{member}: campaign"),
            Action::Deliver(packet) => {
                let message = &packet.message;
                write!(f, "{} -> {} term {} {}", message.from, message.to, message.term, Brief(&message.body))
            }
            Action::Written(member) => write!(f, "n{member}: written"),
            Action::WriteFails(member, keeps) => write!(f, "n{member}: write fails, disk keeps {keeps:?}"),
            Action::Crash(member, keeps) => write!(f, "n{member}: crash, disk keeps {keeps:?}"),
            Action::Propose(member, None) => write!(f, "n{member}: propose"),
            Action::Propose(member, Some(expected)) => {
                write!(f, "n{member}: propose in place of index {expected}")
            }
            Action::Transfer(member, to) => write!(f, "n{member}: transfer to n{to}"),
            Action::Change(member, voters, transition) => {
                write!(f, "n{member}: change voters to {voters:#b} (bit 0 is n0), {transition:?}")
            }
            Action::Leave(member) => write!(f, "n{member}: leave"),
        }
    }
}

/// A message without what its records hold.
struct Brief<'a>(&'a Body);

impl fmt::Display for Brief<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let position = |record: &Option<Record>| record.as_ref().map(|record| record.position);
        let name = self.0.name();
        match self.0 {
            Body::Append { last, record, committed, round, .. } => {
                let record = position(record);
                write!(f, "{name}: last {last}, committed {committed}, round {round}, record {record:?}")
            }
            Body::PreVoteAnswer { granted, offer } | Body::VoteAnswer { granted, offer } => {
                write!(f, "{name}: granted {granted}, offer {:?}", position(offer))
            }
            body => write!(f, "{name}: {body:?}"),
        }
    }
}

/// The changes that make a set of members the voters, and nobody else a member.
pub(super) fn changes_to(set: u32, membership: &Membership, scope: &Scope) -> Vec<Change> {
    let change = |index: usize| {
        let profile = scope.profile(index);
        match membership.get(&profile.id) {
            Some(member) if set >> index & 1 == 0 => Some(Change::Remove(member.profile.id)),
            Some(member) if member.is_voter => None,
            None if set >> index & 1 == 0 => None,
            _ => Some(Change::Voter(profile)),
        }
    };
    (0..scope.count()).filter_map(change).collect()
}
