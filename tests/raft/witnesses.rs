//! Two servers and a witness: what the witness keeps alone is not lost.

use elector::core::raft::{Body, Change, Input, Membership, Message, Position, Record, Role, Transition};

use crate::cluster::{CLUSTER, Cluster, Start};
use crate::drive::{MS, answers, id, propose};

/// Servers a and b, and the witness w; a leads.
fn with_witness() -> Cluster {
    let mut cluster = Cluster::of(&["a", "b", "w"]);
    let mut members = cluster.raft("a").membership().members().to_vec();
    members[2].profile.is_witness = true;
    let membership = Membership::new(members).unwrap();
    for name in ["a", "b", "w"] {
        let mut start = Start::new(id(name), membership.clone());
        start.config.is_witness = name == "w";
        let durable = start.durable().unwrap();
        cluster.add(start.config, durable);
    }
    cluster.in_flight.clear();
    cluster.elect("a");
    assert_eq!(cluster.leaders(), [id("a")]);
    cluster
}

/// The leader commits a record that only it and the witness keep, and ends.
fn committed_by_the_witness() -> Cluster {
    let mut cluster = with_witness();
    propose(&mut cluster, "a", 1, None, "x");
    cluster.run(MS, |message| message.to == id("b"));
    assert_eq!(answers(&cluster, "a"), [(1, Ok(2))]);
    assert_eq!(cluster.raft("b").last().position.index, 1);
    cluster
}

fn without_a(message: &Message) -> bool {
    message.to == id("a") || message.from == id("a")
}

#[test]
fn a_server_is_elected_with_the_record_that_only_the_witness_keeps() {
    let mut cluster = committed_by_the_witness();
    cluster.run(2_000 * MS, without_a);
    assert_eq!(cluster.leaders(), [id("b")]);
    assert_eq!(&*cluster.raft("b").committed().data, b"x");
}

#[test]
fn a_witness_never_stands() {
    let mut cluster = with_witness();
    let only_w = |message: &Message| message.from != id("w");
    cluster.input(id("w"), Input::Campaign);
    cluster.run(5_000 * MS, only_w);
    assert_eq!(cluster.raft("w").term(), 1);
    let sent = cluster.input(id("w"), Input::Campaign);
    assert!(sent.iter().all(|message| message.body.name() != "pre_vote"), "{sent:?}");
    assert_eq!(cluster.raft("w").role(), Role::Follower);
}

#[test]
fn while_only_the_witness_answers_the_leader_has_no_successor() {
    let mut cluster = with_witness();
    assert_eq!(cluster.raft("a").successor(), Some(id("b")));
    cluster.run(250 * MS, |message| message.to == id("b"));
    assert_eq!(cluster.leaders(), [id("a")]);
    assert_eq!(cluster.raft("a").successor(), None);
}

/// A refusal of w to b, with this record.
fn offer(cluster: &Cluster, term: u64, position: Position) -> Message {
    let membership = cluster.raft("b").last().membership.clone();
    let record = Record { position, cluster: CLUSTER, membership, data: b"y"[..].into() };
    let incarnation = crate::cluster::INCARNATION;
    Message {
        cluster: CLUSTER,
        from: id("w"),
        from_incarnation: incarnation,
        to: id("b"),
        to_incarnation: incarnation,
        term,
        body: Body::VoteAnswer { granted: false, offer: Some(record) },
    }
}

#[test]
fn an_offered_record_is_taken_by_a_candidate_only_and_is_not_committed_by_that() {
    let mut cluster = committed_by_the_witness();
    let offered = offer(&cluster, 5, Position::new(4, 9));
    cluster.deliver(&offered);
    assert_eq!(cluster.raft("b").last().position.index, 1, "b follows a");
    cluster.now = cluster.now.saturating_add(300 * MS);
    cluster.input(id("b"), Input::Campaign);
    cluster.in_flight.clear();
    let sent = cluster.deliver(&offered);
    assert_eq!(cluster.raft("b").last().position, Position::new(4, 9));
    assert_eq!(cluster.raft("b").committed().position.index, 1);
    assert_eq!(cluster.raft("b").term(), 5, "no record is of a later term than the member's");
    let stands_anew = |message: &Message| {
        matches!(message.body, Body::PreVote { last } if last == Position::new(4, 9)) && message.term == 6
    };
    assert!(sent.iter().all(stands_anew) && sent.len() == 2, "and nothing is acknowledged: {sent:?}");
    // An older one changes nothing, and one in the place of what is committed is no correct member's.
    let refused = cluster.raft("b").refused().protocol;
    cluster.deliver(&offer(&cluster, 5, Position::new(3, 12)));
    assert_eq!(cluster.raft("b").last().position, Position::new(4, 9));
    assert_eq!(cluster.raft("b").refused().protocol, refused);
    cluster.deliver(&offer(&cluster, 6, Position::new(5, 1)));
    assert_eq!(cluster.raft("b").refused().protocol, refused + 1);
    assert_eq!(cluster.raft("b").last().position, Position::new(4, 9));
}

#[test]
fn offers_come_from_witnesses_only_and_once_in_a_minimum_election_time() {
    let mut cluster = committed_by_the_witness();
    cluster.now = cluster.now.saturating_add(300 * MS);
    let offers = |sent: &[Message]| {
        let offers = sent.iter().filter(|message| {
            matches!(
                &message.body,
                Body::PreVoteAnswer { offer: Some(_), .. } | Body::VoteAnswer { offer: Some(_), .. }
            )
        });
        offers.count()
    };
    let ask = |cluster: &mut Cluster, of: &str, last, term| {
        let body = Body::PreVote { last };
        let message =
            Message { to: id(of), from: id("b"), term, body, ..offer(cluster, 5, Position::new(4, 9)) };
        cluster.deliver(&message)
    };
    let older = Position::new(1, 1);
    let passed = ask(&mut cluster, "w", Position::ZERO, 1);
    assert_eq!((passed.len(), offers(&passed)), (1, 0), "not for a term that has passed");
    assert_eq!(offers(&ask(&mut cluster, "w", older, 2)), 1);
    assert_eq!(offers(&ask(&mut cluster, "w", older, 2)), 0);
    cluster.now = cluster.now.saturating_add(200 * MS);
    assert_eq!(offers(&ask(&mut cluster, "w", older, 2)), 1);
    assert_eq!(offers(&ask(&mut cluster, "a", older, 2)), 0, "other voters stand themselves");
}

/// Member a leads; b is a voter or a learner, and so are the witnesses v and w.
fn with_two_witnesses(b_votes: bool, witnesses_vote: bool) -> Cluster {
    let mut cluster = Cluster::of(&["a", "b", "v", "w"]);
    let mut members = cluster.raft("a").membership().members().to_vec();
    members[2..].iter_mut().for_each(|member| member.profile.is_witness = true);
    for (member, is_voter) in members.iter_mut().zip([true, b_votes, witnesses_vote, witnesses_vote]) {
        (member.is_voter, member.is_learner) = (is_voter, !is_voter);
    }
    let membership = Membership::new(members).unwrap();
    for name in ["a", "b", "v", "w"] {
        let mut start = Start::new(id(name), membership.clone());
        start.config.is_witness = ["v", "w"].contains(&name);
        let durable = start.durable().unwrap();
        cluster.add(start.config, durable);
    }
    cluster.in_flight.clear();
    cluster.now = cluster.now.saturating_add(200 * MS);
    cluster.input(id("a"), Input::Campaign);
    cluster.run(150 * MS, |_| false);
    cluster
}

#[test]
fn a_voter_is_elected_by_records_that_made_learners_voters_and_that_only_witnesses_keep() {
    let mut cluster = with_two_witnesses(true, false);
    for (request, name) in [(1, "v"), (2, "w")] {
        let changes = vec![Change::Promote(id(name))];
        cluster.input(id("a"), Input::ChangeMembership { request, changes, transition: Transition::Auto });
        cluster.run(MS, |message| message.to == id("b"));
    }
    assert!(matches!(answers(&cluster, "a")[..], [(1, Ok(_)), (2, Ok(_))]));
    cluster.run(3_000 * MS, without_a);
    assert_eq!(cluster.leaders(), [id("b")]);
}

#[test]
fn a_learner_is_elected_by_a_record_that_makes_it_a_voter_and_that_only_witnesses_keep() {
    let mut cluster = with_two_witnesses(false, true);
    let changes = vec![Change::Promote(id("b"))];
    cluster.input(id("a"), Input::ChangeMembership { request: 1, changes, transition: Transition::Auto });
    cluster.run(MS, |message| message.to == id("b"));
    assert!(matches!(answers(&cluster, "a")[..], [(1, Ok(_))]));
    // a is gone. A learner raises no term.
    let term = cluster.raft("b").term();
    cluster.run(3_000 * MS, |message| without_a(message) || message.from != id("b"));
    assert_eq!(cluster.raft("b").term(), term);
    cluster.run(3_000 * MS, without_a);
    assert_eq!(cluster.leaders(), [id("b")]);
}

#[test]
fn a_learner_that_all_would_vote_for_does_not_lead() {
    let mut cluster = with_witness();
    let changes = vec![Change::Demote(id("b"))];
    cluster.input(id("a"), Input::ChangeMembership { request: 1, changes, transition: Transition::Auto });
    cluster.run(200 * MS, |_| false);
    let term = cluster.raft("b").term();
    cluster.nodes.remove(&id("a"));
    cluster.nodes.remove(&id("w"));
    for _ in 0..20 {
        cluster.run(100 * MS, |_| true);
        for from in ["a", "w"] {
            let granted = Message { from: id(from), ..offer(&cluster, term + 1, Position::ZERO) };
            let body = Body::PreVoteAnswer { granted: true, offer: None };
            cluster.deliver(&Message { body, ..granted });
        }
    }
    assert_eq!(cluster.raft("b").term(), term);
}
