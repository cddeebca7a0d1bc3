//! The Raft core: its quorums and changes, its bytes, and the answers of `conform`.

mod answer;
mod cluster;
mod fuzzed;
mod json;
mod members;
mod network;

mod begin;
mod bytes;
mod changes;
mod drive;
mod elections;
mod explorer;
mod figures;
mod founding;
mod fuzz;
mod hostile;
mod joining;
mod late;
mod proposals;
mod quorums;
mod reconfiguration;
mod records;
mod start;
mod storm;
mod sweep;
mod tables;
mod transfers;
mod witnesses;
mod world;

use elector::core::raft::{Member, MemberId, Membership, Profile};

fn id(number: usize) -> MemberId {
    MemberId::new(&number.to_string()).unwrap()
}

/// A membership from two sets of bits: bit `n` of a set is member `n`.
fn membership(voters: u32, outgoing: u32) -> Membership {
    let members = (0..32).filter(|bit| (voters | outgoing) >> bit & 1 == 1).map(|bit| Member {
        profile: Profile::new(id(bit)),
        is_voter: voters >> bit & 1 == 1,
        is_outgoing: outgoing >> bit & 1 == 1,
        is_learner: false,
        is_joining: false,
    });
    Membership::new(members.collect()).unwrap()
}

/// Whether the members in a set of bits are a quorum.
fn is_quorum(membership: &Membership, set: u32) -> bool {
    let number = |place: usize| membership.members()[place].profile.id.parse::<u32>().unwrap();
    membership.has_quorum(|place| set >> number(place) & 1 == 1)
}

/// What `conform` answers to a line that needs no lines before it.
fn answer(line: &[u8]) -> serde_json::Value {
    answer::Session::default().answer(line)
}
