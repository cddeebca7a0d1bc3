//! Changes of membership: every quorum before a step has a member in common with every quorum after it.

use elector::core::raft::{
    Change, ChangeRefused, Incarnation, InvalidMembership, MAX_MEMBERS, Member, Membership, Profile,
    Transition,
};

use crate::{id, is_quorum, membership};

fn voters(membership: &Membership) -> u32 {
    set(membership, |member| member.is_voter)
}

fn set(membership: &Membership, has: fn(&Member) -> bool) -> u32 {
    let members = membership.members().iter().filter(|member| has(member));
    members.fold(0, |set, member| set | 1 << member.profile.id.parse::<u32>().unwrap())
}

/// The changes that lead from one set of voters to another.
fn changes(from: u32, to: u32) -> Vec<Change> {
    let added =
        (0..4).filter(|bit| to & !from & 1 << bit != 0).map(|bit| Change::Voter(Profile::new(id(bit))));
    let removed = (0..4).filter(|bit| from & !to & 1 << bit != 0).map(|bit| Change::Remove(id(bit)));
    added.chain(removed).collect()
}

/// Whether two configurations can have quorums without a common member.
fn can_split(before: &Membership, after: &Membership) -> bool {
    let quorums = |membership: &Membership| -> Vec<u32> {
        (0..1 << 4).filter(|set| is_quorum(membership, *set)).collect()
    };
    let after = quorums(after);
    quorums(before).iter().any(|before| after.iter().any(|after| before & after == 0))
}

#[test]
fn no_step_lets_quorums_before_and_after_it_be_disjoint() {
    for from in 1..1 << 4 {
        for to in 1..1 << 4 {
            for transition in [Transition::Auto, Transition::Joint] {
                let before = membership(from, 0);
                let next = before.apply(&changes(from, to), transition).unwrap();
                assert!(!can_split(&before, &next), "{from:b} to {to:b}, first step");
                assert_eq!(voters(&next), to);
                if next.is_joint() {
                    assert_eq!(set(&next, |member| member.is_outgoing), from);
                    let last = next.leave_joint().unwrap();
                    assert!(!can_split(&next, &last), "{from:b} to {to:b}, last step");
                    assert_eq!(last, membership(to, 0));
                }
            }
        }
    }
}

#[test]
fn a_change_is_joint_if_more_than_one_voter_differs_or_it_was_asked_for() {
    let is_joint =
        |from, to, transition| membership(from, 0).apply(&changes(from, to), transition).unwrap().is_joint();
    assert!(!is_joint(0b111, 0b011, Transition::Auto));
    assert!(!is_joint(0b011, 0b111, Transition::Auto));
    assert!(is_joint(0b011, 0b101, Transition::Auto));
    assert!(is_joint(0b011, 0b111, Transition::Joint));
    // A step over one would split: quorums {1} before and {2, 3} after.
    assert!(can_split(&membership(0b001, 0), &membership(0b111, 0)));
}

#[test]
fn learners_come_and_go_without_a_joint_change() {
    let learner = |bit| Change::Learner(Profile::new(id(bit)));
    let next = membership(0b1, 0).apply(&[learner(1), learner(2), learner(3)], Transition::Auto).unwrap();
    assert!(!next.is_joint());
    assert_eq!((voters(&next), set(&next, |member| member.is_learner)), (0b1, 0b1110));
    let next =
        next.apply(&[Change::Remove(id(1)), Change::Voter(Profile::new(id(2)))], Transition::Auto).unwrap();
    assert!(!next.is_joint());
    assert_eq!((voters(&next), set(&next, |member| member.is_learner)), (0b101, 0b1000));
}

#[test]
fn a_voter_that_becomes_a_learner_in_a_joint_change_votes_until_the_change_is_complete() {
    let demoted = [Change::Learner(Profile::new(id(0))), Change::Learner(Profile::new(id(1)))];
    let joint = membership(0b111, 0).apply(&demoted, Transition::Auto).unwrap();
    assert!(joint.votes(&id(0)) && joint.get(&id(0)).unwrap().is_learner);
    assert!(!is_quorum(&joint, 0b100), "member 2 is a majority of the incoming half only");
    let last = joint.leave_joint().unwrap();
    assert_eq!((voters(&last), set(&last, |member| member.is_learner)), (0b100, 0b011));
    assert!(!last.votes(&id(0)));
}

#[test]
fn a_change_that_cannot_be_made_is_refused_and_says_why() {
    let three = membership(0b111, 0);
    let refused = |changes: &[Change]| three.apply(changes, Transition::Auto).unwrap_err();
    let all = [Change::Remove(id(0)), Change::Remove(id(1)), Change::Remove(id(2))];
    assert_eq!(refused(&all).to_string(), "no voter would be left; keep or add at least one");
    let joint = membership(0b111, 0b1);
    assert_eq!(
        joint.apply(&[Change::Remove(id(0))], Transition::Auto).unwrap_err().to_string(),
        "a joint change is in progress; wait until it has left the joint configuration"
    );
    assert_eq!(
        three.leave_joint().unwrap_err().to_string(),
        "no joint change is in progress: there is no joint configuration to leave"
    );
    let two = changes(0, 0b11);
    assert_eq!(
        Membership::default().apply(&two, Transition::Auto).unwrap_err().to_string(),
        "a cluster without voters cannot enter a joint configuration; add the first voter alone"
    );
    let learners: Vec<Change> = (3..=MAX_MEMBERS).map(|n| Change::Learner(Profile::new(id(n)))).collect();
    assert_eq!(refused(&learners).to_string(), "the membership has 65 members; at most 64 are allowed");
    assert_eq!(refused(&learners), ChangeRefused::Invalid(InvalidMembership::TooMany(65)));
}

#[test]
fn promotion_and_demotion_keep_the_profile() {
    let profile = Profile {
        incarnation: Incarnation::new(7).unwrap(),
        address: "b:1".into(),
        priority: 4,
        is_witness: true,
        ..Profile::new(id(1))
    };
    let learner = membership(0b1, 0).apply(&[Change::Learner(profile.clone())], Transition::Auto).unwrap();
    let voter = learner.apply(&[Change::Promote(id(1))], Transition::Auto).unwrap();
    assert!(voter.votes(&id(1)));
    assert_eq!(voter.get(&id(1)).unwrap().profile, profile);
    assert_eq!(voter.apply(&[Change::Demote(id(1))], Transition::Auto), Ok(learner.clone()));
    // A voter that leaves in a joint change keeps it too, until the change is complete.
    let joint = voter.apply(&[Change::Remove(id(1))], Transition::Joint).unwrap();
    assert_eq!(joint.get(&id(1)).unwrap().profile, profile);
    let refused = learner.apply(&[Change::Promote(id(2))], Transition::Auto).unwrap_err();
    assert_eq!(refused.to_string(), "2 is not a member; add it with its profile");
}

#[test]
fn a_cluster_has_a_voter_that_may_lead() {
    let witness = |bit| Change::Voter(Profile { is_witness: true, ..Profile::new(id(bit)) });
    let two = membership(0b1, 0).apply(&[witness(1)], Transition::Auto).unwrap();
    let refused = two.apply(&[Change::Remove(id(0))], Transition::Auto).unwrap_err();
    assert_eq!(refused, ChangeRefused::Invalid(InvalidMembership::OnlyWitnesses));
    assert_eq!(
        refused.to_string(),
        "all voters are witnesses, which never lead; list at least one other voter"
    );
    assert_eq!(
        Membership::default().apply(&[witness(0)], Transition::Auto),
        Err(ChangeRefused::Invalid(InvalidMembership::OnlyWitnesses))
    );
}

#[test]
fn a_voter_is_never_replaced_in_place() {
    let with = |incarnation: u64| Profile {
        incarnation: Incarnation::new(incarnation).unwrap(),
        ..Profile::new(id(1))
    };
    let before = membership(0b1, 0).apply(&[Change::Voter(with(7))], Transition::Auto).unwrap();
    let refused = ChangeRefused::Replaced(id(1));
    let replaced = Err(refused);
    for transition in [Transition::Auto, Transition::Joint] {
        assert_eq!(before.apply(&[Change::Voter(with(8))], transition), replaced);
        assert_eq!(before.apply(&[Change::Learner(with(8))], transition), replaced);
        assert_eq!(before.apply(&[Change::Remove(id(1)), Change::Voter(with(8))], transition), replaced);
        let forgotten = Profile::new(id(1));
        assert_eq!(before.apply(&[Change::Voter(forgotten)], transition), replaced);
        let witness = Profile { is_witness: true, ..with(7) };
        assert_eq!(before.apply(&[Change::Voter(witness)], transition), replaced);
        let elsewhere = Profile { address: "b:1".into(), priority: 3, ..with(7) };
        let moved = before.apply(&[Change::Voter(elsewhere.clone())], transition).unwrap();
        assert_eq!(moved.get(&id(1)).unwrap().profile, elsewhere);
    }
    // One that is not known yet gets known, and a learner has no vote to forget.
    assert!(membership(0b11, 0).apply(&[Change::Voter(with(8))], Transition::Auto).is_ok());
    let learner = before.apply(&[Change::Remove(id(1))], Transition::Auto).unwrap();
    let learner = learner.apply(&[Change::Learner(with(8))], Transition::Auto).unwrap();
    assert!(learner.apply(&[Change::Voter(with(9))], Transition::Auto).is_ok());
    assert_eq!(
        refused.to_string(),
        "voter 1 would change its incarnation or its witness flag in place; remove it, and add it \
         again once the removal is committed"
    );
}

#[test]
fn a_list_that_is_no_membership_is_refused_and_says_why() {
    let one = membership(0b1, 0).members()[0].clone();
    let refusal = |members: Vec<Member>| Membership::new(members).unwrap_err().to_string();
    assert_eq!(refusal(vec![]), "the membership has no voter; list at least one");
    assert_eq!(refusal(vec![one.clone(), one.clone()]), "member 0 is listed twice; list it once");
    assert_eq!(
        refusal(vec![Member { is_voter: false, ..one.clone() }]),
        "member 0 neither votes nor learns; list it as a voter or a learner"
    );
    assert_eq!(
        refusal(vec![Member { is_learner: true, ..one.clone() }]),
        "member 0 is listed as voter and as learner; list it as one of them"
    );
    assert_eq!(
        refusal(vec![Member { is_joining: true, ..one.clone() }]),
        "member 0 joins, but is no learner; list it as a learner"
    );
    let mut far = one.clone();
    far.profile.address = "x".repeat(256).into();
    assert_eq!(refusal(vec![far]), "the address of member 0 has 256 bytes; at most 255 are allowed");
    assert_eq!(refusal(vec![one; 65]), "the membership has 65 members; at most 64 are allowed");
}
