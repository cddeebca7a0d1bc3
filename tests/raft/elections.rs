//! Schedules of elections, each played step by step.

use std::time::Duration;

use elector::core::lease::DeposedReason;
use elector::core::raft::{
    Body, ClusterId, Event, Incarnation, Input, MemberId, Message, Position, Refusal, Role,
};

use crate::cluster::{Cluster, Start};

fn id(id: &str) -> MemberId {
    MemberId::new(id).unwrap()
}

const MS: Duration = Duration::from_millis(1);

/// A cluster of three in which a leads, with a record of its term committed everywhere.
fn led() -> Cluster {
    let mut cluster = Cluster::of(&["a", "b", "c"]);
    cluster.now = cluster.now.saturating_add(200 * MS);
    cluster.input(id("a"), Input::Campaign);
    cluster.stabilize();
    assert_eq!(cluster.leaders(), [id("a")]);
    cluster
}

fn propose(cluster: &mut Cluster, to: &str, request: u64, expected: Option<u64>, data: &str) {
    cluster.input(id(to), Input::Propose { request, expected, data: data.as_bytes().into() });
}

#[test]
fn three_members_elect_one_leader_and_follow_it() {
    let mut cluster = Cluster::of(&["a", "b", "c"]);
    cluster.run(1_700 * MS, |_| false);
    let [leader] = cluster.leaders()[..] else { panic!("{:?}", cluster.leaders()) };
    for node in cluster.nodes.values() {
        assert_eq!(node.raft.leader(), Some(leader));
        assert_eq!(node.raft.term(), 1, "nobody else had to stand");
        assert_eq!(node.raft.committed().position, cluster.nodes[&leader].raft.last().position);
    }
    let events = &cluster.nodes[&leader].events;
    assert_eq!(
        events.iter().filter(|event| matches!(event, Event::Elected { token } if token.get() == 1)).count(),
        1
    );
}

#[test]
fn a_started_member_gives_no_vote_before_the_minimum_election_time() {
    let mut cluster = Cluster::of(&["a", "b", "c"]);
    cluster.input(id("a"), Input::Campaign);
    cluster.stabilize();
    assert!(cluster.leaders().is_empty());
    assert_eq!(cluster.raft("a").term(), 0);
}

#[test]
fn a_leader_that_reaches_nobody_is_trusted_no_more_before_another_leads() {
    let mut cluster = led();
    let until = cluster.raft("a").leadership(cluster.now).trusted_until;
    assert_eq!(until.saturating_since(cluster.now), 180 * MS);
    let cut = |message: &Message| message.from == id("a") || message.to == id("a");
    cluster.run(180 * MS, cut);
    assert!(cluster.leaders().is_empty());
    let expired = DeposedReason::Expired;
    let deposed = |event: &Event| matches!(event, Event::Deposed { token, reason } if token.get() == 1 && *reason == expired);
    assert_eq!(cluster.nodes[&id("a")].events.iter().filter(|event| deposed(event)).count(), 1);
    cluster.run(900 * MS, cut);
    let [second] = cluster.leaders()[..] else { panic!("{:?}", cluster.leaders()) };
    assert_ne!(second, id("a"));
    assert!(cluster.raft("b").term() > 1);
    // The first one comes back, and follows.
    cluster.run(1_000 * MS, |_| false);
    assert_eq!(cluster.leaders(), [second]);
    assert_eq!(cluster.raft("a").leader(), Some(second));
}

#[test]
fn a_term_that_expired_does_not_come_back_when_a_quorum_answers_again() {
    let mut cluster = led();
    // The heartbeats of 190 ms are lost; those after it are not.
    cluster.run(190 * MS, |message| message.from == id("a"));
    assert_eq!(cluster.raft("a").role(), Role::Leader);
    assert!(cluster.leaders().is_empty());
    cluster.run(200 * MS, |_| false);
    assert_eq!(cluster.leaders(), [id("a")]);
    assert_eq!(cluster.raft("a").leadership(cluster.now).token.unwrap().get(), 2, "with a new token");
}

#[test]
fn after_a_failed_transfer_the_old_leader_leads_only_in_a_later_term() {
    let mut cluster = led();
    cluster.input(id("a"), Input::Transfer(id("b")));
    assert!(cluster.leaders().is_empty(), "not from the transfer on");
    assert_eq!(cluster.raft("a").leadership(cluster.now).reason, Some(DeposedReason::Released));
    cluster.run(199 * MS, |message| message.body == Body::TimeoutNow);
    assert!(cluster.leaders().is_empty());
    assert_eq!(cluster.raft("a").term(), 1);
    cluster.run(2 * MS, |_| false);
    assert_eq!(cluster.leaders(), [id("a")]);
    assert_eq!(cluster.raft("a").term(), 2);
}

#[test]
fn a_transfer_makes_the_other_one_leader_although_votes_are_withheld() {
    let mut cluster = led();
    cluster.input(id("a"), Input::Transfer(id("c")));
    cluster.stabilize();
    assert_eq!(cluster.leaders(), [id("c")]);
    assert_eq!(cluster.raft("a").leader(), Some(id("c")));
}

#[test]
fn a_transfer_to_a_member_without_the_newest_record_does_nothing() {
    let mut cluster = led();
    propose(&mut cluster, "a", 1, None, "x");
    cluster.input(id("a"), Input::Transfer(id("b")));
    assert_eq!(cluster.leaders(), [id("a")]);
    cluster.input(id("a"), Input::Transfer(id("z")));
    cluster.input(id("a"), Input::Transfer(id("a")));
    assert_eq!(cluster.leaders(), [id("a")]);
}

#[test]
fn an_old_order_to_stand_is_ignored_in_a_later_term() {
    let mut cluster = led();
    cluster.input(id("a"), Input::Transfer(id("c")));
    let order = cluster.in_flight.iter().find(|message| message.body == Body::TimeoutNow).cloned().unwrap();
    cluster.stabilize();
    cluster.input(id("c"), Input::Transfer(id("a")));
    cluster.stabilize();
    assert_eq!(cluster.leaders(), [id("a")]);
    let term = cluster.raft("a").term();
    cluster.deliver(&order);
    cluster.stabilize();
    assert_eq!((cluster.leaders(), cluster.raft("a").term()), (vec![id("a")], term));
}

#[test]
fn a_forced_vote_counts_only_in_the_term_after_the_voters() {
    let mut cluster = led();
    let vote = |term| Message {
        cluster: crate::cluster::CLUSTER,
        from: id("c"),
        from_incarnation: cluster.raft("c").config().incarnation,
        to: id("b"),
        to_incarnation: cluster.raft("b").config().incarnation,
        term,
        body: Body::Vote { last: cluster.raft("b").last().position, forced: true },
    };
    let (next, later) = (vote(2), vote(3));
    assert!(cluster.deliver(&later).is_empty(), "withheld: it heard the leader lately");
    assert_eq!(cluster.raft("b").term(), 1);
    assert_eq!(cluster.deliver(&next).len(), 1);
    assert_eq!(cluster.raft("b").vote(), Some(id("c")));
}

#[test]
fn a_vote_is_given_once_a_term_and_only_to_a_candidate_with_the_newest_record() {
    let mut cluster = led();
    propose(&mut cluster, "a", 1, None, "x");
    cluster.stabilize();
    cluster.now = cluster.now.saturating_add(1_000 * MS);
    let newest = cluster.raft("b").last().position;
    let mut ask = |from: &str, term, last| {
        let vote = Message {
            cluster: crate::cluster::CLUSTER,
            from: id(from),
            from_incarnation: cluster.raft("c").config().incarnation,
            to: id("b"),
            to_incarnation: Incarnation::UNKNOWN,
            term,
            body: Body::Vote { last, forced: false },
        };
        let sent = cluster.deliver(&vote);
        let answers = sent.iter().filter_map(|message| match message.body {
            Body::VoteAnswer { granted, .. } => Some(granted),
            _ => None,
        });
        answers.collect::<Vec<bool>>().last().copied()
    };
    let mut older = newest;
    older.index -= 1;
    assert_eq!(ask("c", 7, older), Some(false));
    assert_eq!(ask("c", 7, newest), Some(true));
    assert_eq!(ask("a", 7, newest), Some(false));
    assert_eq!(ask("c", 7, newest), Some(true), "the answer was lost");
    assert_eq!(ask("a", 6, newest), Some(false));
    assert_eq!(ask("a", 8, newest), Some(true));
}

#[test]
fn nothing_is_promised_before_it_is_durable() {
    let mut cluster = Cluster::of(&["a", "b", "c"]);
    cluster.now = cluster.now.saturating_add(200 * MS);
    for node in cluster.nodes.values_mut() {
        node.keeps_writes = true;
    }
    cluster.input(id("a"), Input::Campaign);
    cluster.stabilize();
    assert_eq!(cluster.raft("a").role(), Role::Candidate);
    assert!(cluster.in_flight.is_empty(), "no vote is asked for before the own one is durable");
    assert_eq!(cluster.persisted(id("a")).len(), 2);
    cluster.stabilize();
    assert_eq!(cluster.raft("b").vote(), Some(id("a")));
    assert_eq!(cluster.raft("a").role(), Role::Candidate, "no vote was answered yet");
    assert_eq!(cluster.persisted(id("b")).len(), 1);
    cluster.stabilize();
    assert_eq!(cluster.raft("a").role(), Role::Leader);
    // The record of the new term is kept by a and b only once their writes are done.
    cluster.persisted(id("a"));
    cluster.stabilize();
    assert!(cluster.leaders().is_empty());
    cluster.persisted(id("b"));
    cluster.stabilize();
    assert_eq!(cluster.leaders(), [id("a")]);
    let before = cluster.raft("a").committed().position;
    propose(&mut cluster, "a", 1, None, "x");
    cluster.stabilize();
    cluster.persisted(id("b"));
    cluster.stabilize();
    assert_eq!(cluster.raft("a").committed().position, before, "the leader's own write is not done");
    cluster.persisted(id("a"));
    assert_eq!(cluster.raft("a").committed().position.index, before.index + 1);
}

#[test]
fn an_only_voter_leads_once_its_vote_in_that_very_term_is_durable() {
    let mut cluster = Cluster::of(&["a"]);
    cluster.nodes.get_mut(&id("a")).unwrap().keeps_writes = true;
    cluster.input(id("a"), Input::Campaign);
    cluster.input(id("a"), Input::Campaign);
    assert_eq!(cluster.raft("a").term(), 2);
    cluster.persisted(id("a"));
    assert_eq!(cluster.raft("a").role(), Role::Candidate, "the write of term 1 is done");
    cluster.persisted(id("a"));
    assert_eq!(cluster.raft("a").role(), Role::Leader);
}

#[test]
fn a_leader_is_trusted_once_a_record_of_its_term_is_committed() {
    let mut cluster = Cluster::of(&["a", "b", "c"]);
    cluster.now = cluster.now.saturating_add(200 * MS);
    cluster.input(id("a"), Input::Campaign);
    while cluster.raft("a").role() != Role::Leader {
        let message = cluster.in_flight.pop_front().unwrap();
        cluster.deliver(&message);
    }
    // Its heartbeat is answered by one that does not keep its record.
    cluster.deliver(&from_c("a", 1, Body::AppendAnswer { matched: 0, round: 1 }));
    assert!(cluster.leaders().is_empty());
    cluster.deliver(&from_c("a", 1, Body::AppendAnswer { matched: 1, round: 1 }));
    assert_eq!(cluster.leaders(), [id("a")]);
}

#[test]
fn trust_counts_from_the_send_of_a_heartbeat() {
    let mut cluster = led();
    let before = cluster.raft("a").leadership(cluster.now).trusted_until;
    cluster.now = cluster.now.saturating_add(100 * MS);
    let sent_at = cluster.now;
    let sent = cluster.input(id("a"), Input::Timeout);
    assert_eq!(cluster.raft("a").leadership(cluster.now).trusted_until, before);
    let answers: Vec<Message> = sent.iter().flat_map(|message| cluster.deliver(message)).collect();
    cluster.now = cluster.now.saturating_add(50 * MS);
    answers.iter().for_each(|answer| {
        cluster.deliver(answer);
    });
    let until = cluster.raft("a").leadership(cluster.now).trusted_until;
    assert_eq!(until, sent_at.saturating_add(180 * MS));
}

/// A message to a member of [`led`], as another one would send it.
fn from_c(to: &str, term: u64, body: Body) -> Message {
    let incarnation = crate::cluster::INCARNATION;
    let cluster = crate::cluster::CLUSTER;
    let (from, to) = (id("c"), id(to));
    Message { cluster, from, from_incarnation: incarnation, to, to_incarnation: incarnation, term, body }
}

#[test]
fn a_trusted_leader_votes_for_nobody_else() {
    let mut cluster = led();
    // Right after its election, and as long as the last heartbeat may be trusted.
    let last = cluster.raft("a").last().position;
    let vote = from_c("a", 7, Body::Vote { last, forced: false });
    assert!(cluster.deliver(&vote).is_empty());
    cluster.run(150 * MS, |_| false);
    assert!(cluster.deliver(&vote).is_empty());
    assert_eq!(cluster.leaders(), [id("a")]);
    cluster.now = cluster.now.saturating_add(200 * MS);
    let sent = cluster.deliver(&vote);
    assert!(sent.iter().any(|message| matches!(message.body, Body::VoteAnswer { granted: true, .. })));
}

#[test]
fn a_record_never_replaces_a_newer_one() {
    let mut cluster = led();
    propose(&mut cluster, "a", 1, None, "x");
    let is_record = |message: &&Message| matches!(&message.body, Body::Append { record: Some(_), .. });
    let early =
        cluster.in_flight.iter().filter(is_record).find(|message| message.to == id("b")).cloned().unwrap();
    cluster.stabilize();
    propose(&mut cluster, "a", 2, None, "y");
    cluster.stabilize();
    let (last, refused) = (cluster.raft("b").last().clone(), cluster.raft("b").refused());
    cluster.deliver(&early);
    assert_eq!(cluster.raft("b").last(), &last);
    assert_eq!(cluster.raft("b").refused(), refused, "an old message is no fault");
}

#[test]
fn a_record_is_committed_when_the_leader_says_so() {
    let mut cluster = led();
    let before = cluster.raft("b").committed().position;
    propose(&mut cluster, "a", 1, None, "x");
    let appends: Vec<Message> = cluster.in_flight.drain(..).collect();
    for append in &appends {
        cluster.deliver(append);
    }
    assert_eq!(cluster.raft("b").last().position.index, before.index + 1);
    assert_eq!(cluster.raft("b").committed().position, before);
    cluster.stabilize();
    assert_eq!(cluster.raft("b").committed().position.index, before.index + 1);
}

#[test]
fn a_record_of_an_earlier_leader_is_not_committed_with_those_of_a_later_one() {
    let mut cluster = Cluster::of(&["a", "b", "c"]);
    let mut start = Start::new(id("b"), cluster.raft("b").membership().clone());
    (start.term, start.committed, start.last) = (1, Position::new(1, 4), Position::new(1, 5));
    let durable = start.durable().unwrap();
    cluster.add(start.config, durable);
    let (last, committed) = (Position::new(2, 6), Position::new(2, 5));
    cluster.deliver(&from_c("b", 2, Body::Append { last, record: None, committed, round: 1, hold_ms: 200 }));
    assert_eq!(cluster.raft("b").committed().position, Position::new(1, 4));
    let answer = cluster.in_flight.back().map(|message| message.body.clone());
    assert_eq!(answer, Some(Body::AppendAnswer { matched: 0, round: 1 }), "it lacks the record");
}

#[test]
fn a_member_withholds_its_vote_as_long_as_its_leader_asks() {
    let mut cluster = led();
    let last = cluster.raft("b").last().position;
    let committed = last;
    let append = from_c("b", 2, Body::Append { last, record: None, committed, round: 1, hold_ms: 5_000 });
    // The last record of c's term would be its own: any position of term 2 will do here.
    let last = Position::new(2, last.index + 1);
    let Body::Append { committed, .. } = append.body else { panic!("an append") };
    let append =
        Message { body: Body::Append { last, record: None, committed, round: 1, hold_ms: 5_000 }, ..append };
    cluster.deliver(&append);
    assert_eq!(cluster.raft("b").leader(), Some(id("c")));
    let vote = Message { from: id("a"), ..from_c("b", 9, Body::Vote { last, forced: false }) };
    cluster.now = cluster.now.saturating_add(4_999 * MS);
    assert!(cluster.deliver(&vote).is_empty());
    cluster.now = cluster.now.saturating_add(2 * MS);
    assert!(!cluster.deliver(&vote).is_empty());
}

#[test]
fn messages_for_others_and_of_other_clusters_are_refused_and_counted() {
    let mut cluster = led();
    let vote = from_c("b", 7, Body::Vote { last: Position::new(3, 9), forced: false });
    cluster.now = cluster.now.saturating_add(5_000 * MS);
    let strange = [
        Message { to: id("x"), ..vote.clone() },
        Message { to_incarnation: Incarnation::new(99).unwrap(), ..vote.clone() },
        Message { cluster: ClusterId([9; 16]), ..vote.clone() },
    ];
    for message in &strange {
        cluster.input(id("b"), Input::Received(message.to_bytes().into()));
    }
    cluster.input(id("b"), Input::Received(b"GET / HTTP/1.1".to_vec().into()));
    let refused = cluster.raft("b").refused();
    assert_eq!((refused.address, refused.cluster, refused.invalid, refused.protocol), (2, 1, 1, 0));
    assert_eq!(cluster.raft("b").term(), 1, "nothing took effect");
    let newest = cluster.raft("a").last().position;
    cluster.now = cluster.raft("a").now();
    let second =
        from_c("a", 1, Body::Append { last: newest, record: None, committed: newest, round: 1, hold_ms: 1 });
    cluster.deliver(&second);
    assert_eq!(cluster.raft("a").refused().protocol, 1, "a second leader in its own term");
}

#[test]
fn answers_of_another_incarnation_do_not_count() {
    let mut cluster = led();
    for node in cluster.nodes.values_mut() {
        node.events.clear();
    }
    propose(&mut cluster, "a", 1, None, "x");
    let answer = Body::AppendAnswer { matched: cluster.raft("a").last().position.index, round: 0 };
    let other = Message { from_incarnation: Incarnation::new(99).unwrap(), ..from_c("a", 1, answer.clone()) };
    cluster.deliver(&other);
    assert!(cluster.nodes[&id("a")].events.is_empty());
    cluster.deliver(&from_c("a", 1, answer));
    assert_eq!(cluster.nodes[&id("a")].events.last(), Some(&Event::Answered { request: 1, result: Ok(2) }));
}

#[test]
fn a_member_whose_disk_fails_gives_no_vote() {
    let mut cluster = led();
    cluster.nodes.get_mut(&id("b")).unwrap().keeps_writes = true;
    propose(&mut cluster, "a", 1, None, "x");
    cluster.stabilize();
    let ticket = cluster.nodes[&id("b")].write.unwrap();
    cluster.input(id("b"), Input::PersistFailed(ticket));
    cluster.now = cluster.now.saturating_add(199 * MS);
    let last = cluster.raft("b").last().position;
    let vote = from_c("b", 2, Body::Vote { last, forced: true });
    assert!(cluster.deliver(&vote).is_empty());
    assert_eq!(cluster.raft("b").term(), 1);
    // The next write has everything, and then it votes again.
    cluster.now = cluster.now.saturating_add(2 * MS);
    cluster.deliver(&vote);
    assert_eq!(cluster.persisted(id("b")).len(), 1);
    assert_eq!(cluster.raft("b").vote(), Some(id("c")));
}

#[test]
fn data_beyond_the_limit_is_refused() {
    let mut cluster = led();
    let propose = |cluster: &mut Cluster, length: usize| {
        let data = vec![7; length].into();
        cluster.input(id("a"), Input::Propose { request: 1, expected: None, data });
        cluster.stabilize();
        cluster.nodes[&id("a")].events.last().cloned()
    };
    let refused = Event::Answered { request: 1, result: Err(Refusal::TooLarge(65_536)) };
    assert_eq!(propose(&mut cluster, 65_537), Some(refused));
    assert!(matches!(propose(&mut cluster, 65_536), Some(Event::Answered { result: Ok(_), .. })));
}

#[test]
fn a_leader_whose_write_fails_leads_no_more() {
    let mut cluster = led();
    cluster.nodes.get_mut(&id("a")).unwrap().keeps_writes = true;
    propose(&mut cluster, "a", 1, None, "x");
    let ticket = cluster.nodes[&id("a")].write.unwrap();
    cluster.input(id("a"), Input::PersistFailed(ticket));
    assert!(cluster.leaders().is_empty());
    let events = &cluster.nodes[&id("a")].events;
    assert!(
        events.iter().any(|event| matches!(event, Event::Deposed { reason: DeposedReason::Revoked, .. }))
    );
    assert!(events.contains(&Event::Answered { request: 1, result: Err(Refusal::Unknown) }));
    cluster.run(1_000 * MS, |_| false);
    let [leader] = cluster.leaders()[..] else { panic!("{:?}", cluster.leaders()) };
    assert_ne!(leader, id("a"), "its write is still not answered");
}

#[test]
fn proposals_are_answered_with_the_index_of_their_record() {
    let mut cluster = led();
    let base = cluster.raft("a").committed().position.index;
    propose(&mut cluster, "a", 1, Some(base), "x");
    propose(&mut cluster, "a", 2, None, "y");
    propose(&mut cluster, "a", 3, None, "z");
    propose(&mut cluster, "a", 4, Some(base), "stale");
    propose(&mut cluster, "b", 5, None, "elsewhere");
    cluster.stabilize();
    let answers = |of: &str| -> Vec<(u64, Result<u64, Refusal>)> {
        let answer = |event: &Event| match event {
            Event::Answered { request, result } => Some((*request, *result)),
            _ => None,
        };
        cluster.nodes[&id(of)].events.iter().filter_map(answer).collect()
    };
    let mut expected = vec![
        (4, Err(Refusal::IndexMismatch(base + 2))),
        (1, Ok(base + 1)),
        (2, Ok(base + 2)),
        (3, Ok(base + 2)),
    ];
    expected.sort_by_key(|(request, _)| *request);
    let mut found = answers("a");
    found.sort_by_key(|(request, _)| *request);
    assert_eq!(found, expected);
    assert_eq!(answers("b"), [(5, Err(Refusal::NotLeader(Some(id("a")))))]);
    assert_eq!(&*cluster.raft("c").committed().data, b"z");
}
