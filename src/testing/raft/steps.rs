//! Whether the members of one record may follow those of another.

use alloc::vec::Vec;

use crate::core::raft::{Incarnation, Member, MemberId, Membership, Profile};

/// Whether the member at a place is the same voter in another membership: with the same incarnation, or one
/// that a founding list does not know.
fn is_voter_in(of: &Membership, place: usize, other: &Membership) -> bool {
    let Member { profile, .. } = &of.members()[place];
    let listed = other.get(&profile.id).filter(|member| member.votes()).map(|member| &member.profile);
    listed.is_some_and(|listed| {
        listed.is_of(profile.incarnation) || profile.incarnation == Incarnation::UNKNOWN
    })
}

/// Whether a membership has voters that the other one lacks, in one of its halves.
pub(super) fn has_other_voters(one: &Membership, other: &Membership) -> bool {
    let parts = |membership: &Membership, id: &MemberId| {
        membership.get(id).map_or((false, false), |member| (member.is_voter, member.is_outgoing))
    };
    let differs = |of: &Membership, than: &Membership| {
        let mut members = of.members().iter().enumerate();
        members.any(|(place, Member { profile: Profile { id, .. }, .. })| {
            of.votes(id) && !(is_voter_in(of, place, than) && parts(of, id) == parts(than, id))
        })
    };
    differs(one, other) || differs(other, one)
}

/// Whether every quorum of one membership and every quorum of the other have a voter in common. The voters of
/// both are shared out between two groups in each way; the others are in the group of their membership.
pub(super) fn do_quorums_meet(one: &Membership, other: &Membership) -> bool {
    let common: Vec<MemberId> = (0..one.members().len())
        .filter(|place| one.members()[*place].votes() && is_voter_in(one, *place, other))
        .map(|place| one.members()[place].profile.id)
        .collect();
    let has_quorum = |of: &Membership, set: u64| {
        of.has_quorum(|place| {
            let id = &of.members()[place].profile.id;
            common.iter().position(|common| common == id).is_none_or(|bit| set >> bit & 1 == 1)
        })
    };
    let all = (1_u64 << common.len()) - 1;
    (0..=all).all(|set| !(has_quorum(one, set) && has_quorum(other, all & !set)))
}
