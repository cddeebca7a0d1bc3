//! Changes of the members by a leader, and members that leave.

use elector::core::lease::DeposedReason;
use elector::core::raft::{
    Body, Change, ChangeRefused, Event, Input, MemberId, Membership, Message, Position, Profile, Refusal,
    Transition,
};

use crate::cluster::{Cluster, INCARNATION, Start};
use crate::drive::{MS, answers, from_c, id, led, propose};

fn profile(name: &str) -> Profile {
    Profile { incarnation: INCARNATION, ..Profile::new(id(name)) }
}

/// A process that knows the cluster, and is no member of it.
fn add_spare(cluster: &mut Cluster, name: &str) {
    let start = Start::new(id(name), cluster.raft("a").membership().clone());
    let durable = start.durable().unwrap();
    cluster.add(start.config, durable);
}

fn change(cluster: &mut Cluster, request: u64, changes: Vec<Change>) {
    cluster.input(id("a"), Input::ChangeMembership { request, changes, transition: Transition::Auto });
}

fn voters(membership: &Membership) -> Vec<MemberId> {
    let voters = membership.members().iter().filter(|member| member.is_voter);
    voters.map(|member| member.profile.id).collect()
}

fn has_left(cluster: &Cluster, name: &str) -> bool {
    cluster.nodes[&id(name)].events.contains(&Event::Left)
}

#[test]
fn a_new_voter_is_a_learner_until_it_has_caught_up() {
    let mut cluster = led();
    add_spare(&mut cluster, "d");
    change(&mut cluster, 1, vec![Change::Voter(profile("d"))]);
    let member = cluster.raft("a").membership().get(&id("d")).unwrap().clone();
    assert!(member.is_learner && member.is_joining && !member.is_voter);
    cluster.stabilize();
    assert_eq!(voters(cluster.raft("d").membership()), ["a", "b", "c", "d"].map(id));
    assert_eq!(answers(&cluster, "a"), [(1, Ok(2))], "the index of its first step");
    // One that never answers stays a learner, and the cluster goes on.
    change(&mut cluster, 2, vec![Change::Voter(profile("e"))]);
    cluster.run(2_000 * MS, |_| false);
    assert!(cluster.raft("b").membership().get(&id("e")).unwrap().is_joining);
    assert_eq!(cluster.leaders(), [id("a")]);
}

#[test]
fn a_change_waits_until_a_record_of_the_leaders_term_is_committed() {
    let mut cluster = Cluster::of(&["a", "b", "c"]);
    cluster.now = cluster.now.saturating_add(200 * MS);
    cluster.input(id("a"), Input::Campaign);
    while cluster.raft("a").leader() != Some(id("a")) {
        let message = cluster.in_flight.pop_front().unwrap();
        cluster.deliver(&message);
    }
    change(&mut cluster, 1, vec![Change::Remove(id("c"))]);
    assert_eq!(answers(&cluster, "a"), [(1, Err(Refusal::NotReady))]);
    change(&mut cluster, 2, vec![]);
    cluster.stabilize();
    cluster.input(
        id("b"),
        Input::ChangeMembership { request: 3, changes: vec![], transition: Transition::Auto },
    );
    assert_eq!(answers(&cluster, "b"), [(3, Err(Refusal::NotLeader(Some(id("a")))))]);
}

#[test]
fn a_change_after_which_no_quorum_answers_is_refused() {
    let mut cluster = led();
    // c is gone for longer than the minimum election time.
    let without_c = |message: &Message| message.to == id("c") || message.from == id("c");
    cluster.run(400 * MS, without_c);
    change(&mut cluster, 1, vec![Change::Remove(id("b"))]);
    assert_eq!(answers(&cluster, "a"), [(1, Err(Refusal::NoQuorum))]);
    change(&mut cluster, 2, vec![Change::Remove(id("c"))]);
    cluster.run(100 * MS, without_c);
    assert_eq!(voters(cluster.raft("b").committed().membership.as_ref()), ["a", "b"].map(id));
}

#[test]
fn a_change_waits_for_the_record_in_flight_and_a_second_change_is_refused() {
    let mut cluster = led();
    propose(&mut cluster, "a", 1, None, "x");
    change(&mut cluster, 2, vec![Change::Remove(id("c"))]);
    change(&mut cluster, 3, vec![Change::Remove(id("b"))]);
    assert_eq!(answers(&cluster, "a"), [(3, Err(Refusal::Busy))]);
    cluster.stabilize();
    assert_eq!(answers(&cluster, "a")[1..], [(1, Ok(2)), (2, Ok(3))]);
    change(&mut cluster, 4, vec![Change::Remove(id("a")), Change::Remove(id("b"))]);
    let refused = Event::ChangeRefused { request: 4, refused: ChangeRefused::NoVoterLeft };
    assert_eq!(cluster.nodes[&id("a")].events.last(), Some(&refused));
}

#[test]
fn a_change_of_two_voters_goes_through_a_joint_configuration_and_leaves_it_by_itself() {
    let mut cluster = Cluster::of(&["a", "b", "c", "d", "e"]);
    cluster.elect("a");
    change(&mut cluster, 1, vec![Change::Remove(id("d")), Change::Demote(id("e"))]);
    let joint = cluster.raft("a").membership().clone();
    assert!(joint.is_joint() && joint.votes(&id("d")) && joint.votes(&id("e")));
    cluster.stabilize();
    let last = cluster.raft("b").committed().membership.clone();
    assert_eq!((last.is_joint(), voters(&last)), (false, ["a", "b", "c"].map(id).to_vec()));
    assert!(last.get(&id("e")).unwrap().is_learner && last.get(&id("d")).is_none());
    assert!(has_left(&cluster, "d") && !has_left(&cluster, "e"));
}

#[test]
fn a_member_that_did_not_hear_of_its_removal_learns_it_when_it_stands() {
    let mut cluster = led();
    let without_c = |message: &Message| message.to == id("c") || message.from == id("c");
    change(&mut cluster, 1, vec![Change::Remove(id("c"))]);
    cluster.run(MS, without_c);
    assert_eq!(voters(&cluster.raft("b").committed().membership), ["a", "b"].map(id));
    cluster.run(2_000 * MS, without_c);
    assert!(!has_left(&cluster, "c"));
    cluster.run(2_000 * MS, |_| false);
    assert!(has_left(&cluster, "c"));
    assert_eq!((cluster.leaders(), cluster.raft("a").term()), (vec![id("a")], 1), "and disturbs nobody");
    let term = cluster.raft("c").term();
    cluster.run(5_000 * MS, |_| false);
    assert_eq!(cluster.raft("c").term(), term, "it stands no more");
}

#[test]
fn a_leader_that_is_removed_commits_that_and_hands_leadership_over() {
    let mut cluster = led();
    change(&mut cluster, 1, vec![Change::Remove(id("a"))]);
    cluster.stabilize();
    assert!(has_left(&cluster, "a"));
    let [leader] = cluster.leaders()[..] else { panic!("{:?}", cluster.leaders()) };
    assert_ne!(leader, id("a"), "without an election time of waiting");
    assert_eq!(voters(&cluster.raft("b").committed().membership), ["b", "c"].map(id));
    let released = |event: &Event| matches!(event, Event::Deposed { reason: DeposedReason::Released, .. });
    assert!(cluster.nodes[&id("a")].events.iter().any(released));
    assert_eq!(answers(&cluster, "a"), [(1, Ok(2))]);
}

#[test]
fn members_leave_by_themselves_and_the_last_one_stays() {
    let mut cluster = led();
    cluster.input(id("b"), Input::Leave);
    // The first message is lost.
    cluster.in_flight.clear();
    cluster.run(300 * MS, |_| false);
    assert!(has_left(&cluster, "b"));
    cluster.input(id("a"), Input::Leave);
    cluster.run(300 * MS, |_| false);
    assert!(has_left(&cluster, "a"));
    assert_eq!(cluster.leaders(), [id("c")]);
    cluster.input(id("c"), Input::Leave);
    cluster.run(2_000 * MS, |_| false);
    assert_eq!(cluster.leaders(), [id("c")], "with it the state would be lost");
    assert!(!has_left(&cluster, "c"));
}

#[test]
fn only_members_ask_to_leave() {
    let mut cluster = led();
    cluster.deliver(&Message { from: id("z"), ..from_c("a", 1, Body::Leave) });
    assert!(cluster.raft("a").membership() == cluster.raft("b").membership());
    cluster.in_flight.clear();
    cluster.deliver(&from_c("a", 1, Body::Leave));
    cluster.stabilize();
    assert!(has_left(&cluster, "c"));
}

#[test]
fn a_voter_that_only_an_uncommitted_record_removes_can_still_be_elected() {
    let mut cluster = Cluster::of(&["a", "b"]);
    cluster.elect("a");
    // Only a keeps the record that removes it: b can elect nobody without the vote of a, which has the newer
    // record.
    change(&mut cluster, 1, vec![Change::Remove(id("a"))]);
    cluster.in_flight.clear();
    cluster.run(1_000 * MS, |message| message.from == id("a"));
    assert_eq!(answers(&cluster, "a"), [(1, Err(Refusal::Unknown))]);
    cluster.run(3_000 * MS, |_| false);
    assert_eq!(cluster.leaders(), [id("b")]);
    assert!(has_left(&cluster, "a"));
}

#[test]
fn no_record_follows_that_with_the_largest_index() {
    // Only hostile bytes bring a cluster there. It goes on leading, and keeps its members and its data.
    let largest = (1 << 53) - 1;
    let membership = Cluster::of(&["a", "b", "c"]).raft("a").membership().clone();
    let mut cluster = Cluster::new();
    for name in ["a", "b", "c"] {
        let last = Position { term: 1, index: largest - 1 };
        let start = Start { term: 1, committed: last, last, ..Start::new(id(name), membership.clone()) };
        let durable = start.durable().unwrap();
        cluster.add(start.config, durable);
    }
    cluster.elect("a");
    let changes = vec![Change::Remove(id("c"))];
    cluster.input(id("a"), Input::ChangeMembership { request: 5, changes, transition: Transition::Joint });
    propose(&mut cluster, "a", 6, None, "data");
    cluster.stabilize();
    assert_eq!(cluster.leaders(), [id("a")]);
    assert_eq!(cluster.raft("b").committed().position, Position { term: 2, index: largest });
    assert_eq!(cluster.raft("a").membership(), &membership);
    assert_eq!(answers(&cluster, "a"), [(5, Err(Refusal::NotReady)), (6, Err(Refusal::NotReady))]);
}

#[test]
fn a_removal_that_is_not_committed_keeps_nobody_from_being_elected() {
    let mut cluster = led();
    // a removes c, which b does not hear of. c asks why it hears nothing, and a dies.
    change(&mut cluster, 1, vec![Change::Remove(id("c"))]);
    cluster.run(790 * MS, |message| message.to == id("b"));
    cluster.input(id("c"), Input::Campaign);
    cluster.run(MS, |message| message.to == id("b"));
    cluster.run(3_000 * MS, |message| [message.from, message.to].contains(&id("a")));
    assert!(cluster.leaders().iter().any(|leader| *leader != id("a")), "b and c are two of three");
}
