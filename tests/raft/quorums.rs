//! Quorums, judged by counting: every configuration of up to four members, every set of answers.

use elector::core::raft::{Membership, VoteResult};

use crate::{is_quorum, membership};

const SETS: u32 = 1 << 4;

/// All configurations of four ids: every incoming half with every outgoing half, or none.
fn configurations() -> impl Iterator<Item = (u32, u32)> {
    (1..SETS).flat_map(|voters| (0..SETS).map(move |outgoing| (voters, outgoing)))
}

/// Whether a set has more than half of a half's voters. A half that does not exist needs none.
fn is_majority(half: u32, set: u32) -> bool {
    half == 0 || 2 * (half & set).count_ones() > half.count_ones()
}

#[test]
fn a_quorum_is_a_majority_of_each_half() {
    for (voters, outgoing) in configurations() {
        let membership = membership(voters, outgoing);
        assert_eq!(membership.is_joint(), outgoing != 0);
        for set in 0..SETS {
            let expected = is_majority(voters, set) && is_majority(outgoing, set);
            assert_eq!(is_quorum(&membership, set), expected, "{voters:b} {outgoing:b} {set:b}");
        }
    }
}

#[test]
fn an_election_is_won_by_a_quorum_and_lost_when_none_is_possible_any_more() {
    for (voters, outgoing) in configurations() {
        let membership = membership(voters, outgoing);
        for granted in 0..SETS {
            for refused in (0..SETS).filter(|refused| refused & granted == 0) {
                let expected = if is_quorum(&membership, granted) {
                    VoteResult::Won
                } else if is_quorum(&membership, !refused) {
                    VoteResult::Pending
                } else {
                    VoteResult::Lost
                };
                let vote = |place: usize| {
                    let bit = membership.members()[place].profile.id.parse::<u32>().unwrap();
                    (granted >> bit & 1 == 1).then_some(true).or((refused >> bit & 1 == 1).then_some(false))
                };
                let found = membership.vote_result(vote);
                assert_eq!(found, expected, "{voters:b} {outgoing:b} {granted:b} {refused:b}");
            }
        }
    }
}

#[test]
fn the_value_of_a_quorum_is_the_largest_that_a_quorum_reached() {
    for (voters, outgoing) in configurations() {
        let membership = membership(voters, outgoing);
        // Four members with values 0 to 3 each.
        for values in 0..256_u32 {
            let value = |bit: u32| u64::from(values >> (2 * bit) & 3);
            let reached =
                |place: usize| value(membership.members()[place].profile.id.parse::<u32>().unwrap());
            let with = |least| (0..4).filter(|bit| value(*bit) >= least).fold(0, |set, bit| set | 1 << bit);
            let expected = (0..4).rev().find(|least| is_quorum(&membership, with(*least)));
            assert_eq!(
                Some(membership.quorum_value(reached)),
                expected,
                "{voters:b} {outgoing:b} {values:b}"
            );
        }
    }
}

#[test]
fn a_cluster_without_members_has_no_quorum() {
    let nobody = Membership::default();
    assert!(!nobody.has_quorum(|_| true));
    assert_eq!(nobody.vote_result(|_| Some(true)), VoteResult::Lost);
    assert_eq!(nobody.quorum_value(|_| 7), 0);
}

#[test]
fn learners_do_not_count() {
    let mut members = membership(0b11, 0).members().to_vec();
    members.extend(membership(0b1100, 0).members().iter().cloned().map(|mut member| {
        (member.is_voter, member.is_learner) = (false, true);
        member
    }));
    let membership = Membership::new(members).unwrap();
    assert!(!is_quorum(&membership, 0b1101));
    assert!(is_quorum(&membership, 0b0011));
    let reached = |place: usize| [1, 2, 9, 9][place];
    assert_eq!(membership.quorum_value(reached), 1);
    assert!(!membership.votes(&crate::id(2)) && membership.votes(&crate::id(1)));
}

#[test]
fn large_configurations_count_as_small_ones_do() {
    for voters in [5, 7, 9, 31] {
        let all = (1_u32 << voters) - 1;
        let membership = membership(all, all >> 1);
        let halves = [voters, voters - 1];
        for agreeing in 0..=voters {
            let set = (1_u32 << agreeing) - 1;
            // The last voter is not in the outgoing half.
            let counts = [agreeing, agreeing.min(voters - 1)];
            let expected = (0..2).all(|half| 2 * counts[half] > halves[half]);
            assert_eq!(is_quorum(&membership, set), expected, "{agreeing} of {voters}");
        }
        let reached = |place: usize| membership.members()[place].profile.id.parse::<u64>().unwrap();
        // The majority with the largest numbers.
        let least = |count: usize| (count - count / 2 - 1) as u64;
        assert_eq!(membership.quorum_value(reached), least(voters).min(least(voters - 1)));
    }
}
