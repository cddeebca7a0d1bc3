//! Records: what is promised once it is durable, what replaces what, and when it is committed.

use std::sync::Arc;

use elector::core::lease::DeposedReason;
use elector::core::raft::{
    Body, Change, Event, Incarnation, Input, Message, Position, Refusal, Role, Transition,
};

use crate::cluster::{Cluster, Start};
use crate::drive::{MS, from_c, id, led, propose};

#[test]
fn a_record_shares_its_members_with_the_one_before_if_they_are_equal() {
    let mut cluster = led();
    let members = |cluster: &Cluster| cluster.raft("b").committed().membership.clone();
    let before = members(&cluster);
    propose(&mut cluster, "a", 1, None, "x");
    cluster.stabilize();
    assert_eq!(&*cluster.raft("b").committed().data, b"x");
    assert!(Arc::ptr_eq(&before, &members(&cluster)), "each message has them, and b keeps them once");
    let changes = vec![Change::Remove(id("c"))];
    cluster.input(id("a"), Input::ChangeMembership { request: 2, changes, transition: Transition::Auto });
    cluster.stabilize();
    assert_eq!(members(&cluster).members().len(), 2);
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
    cluster.now = cluster.now.saturating_add(200 * MS);
    // A message raises its term to 7, and the write of that has begun.
    cluster.deliver(&from_c("a", 7, Body::Vote { last: Position::ZERO, given_up: None }));
    cluster.now = cluster.now.saturating_add(800 * MS);
    cluster.input(id("a"), Input::Campaign);
    assert_eq!((cluster.raft("a").term(), cluster.raft("a").role()), (8, Role::Candidate));
    cluster.persisted(id("a"));
    assert_eq!(cluster.raft("a").role(), Role::Candidate, "the write of term 7 is done");
    cluster.persisted(id("a"));
    assert_eq!(cluster.raft("a").role(), Role::Leader);
}

#[test]
fn a_slow_disk_acknowledges_what_it_has_written_although_records_follow() {
    let mut cluster = led();
    cluster.nodes.get_mut(&id("c")).unwrap().keeps_writes = true;
    let mut acknowledged = 0;
    for request in 0..300 {
        propose(&mut cluster, "a", request, None, "x");
        cluster.stabilize();
        // Every third record a write is done.
        if request % 3 == 2 {
            let sent = cluster.persisted(id("c"));
            let acknowledges = |message: &&Message| match message.body {
                Body::AppendAnswer { matched, .. } => matched > 0,
                _ => false,
            };
            acknowledged += sent.iter().filter(acknowledges).count();
        }
    }
    assert!(acknowledged >= 90, "{acknowledged} acknowledgements of 100 writes");
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
    let vote = from_c("b", 2, Body::Vote { last, given_up: Some(1) });
    assert!(cluster.deliver(&vote).is_empty());
    assert_eq!(cluster.raft("b").term(), 1);
    // The next write has everything, and then it votes again.
    cluster.now = cluster.now.saturating_add(2 * MS);
    cluster.deliver(&vote);
    assert_eq!(cluster.persisted(id("b")).len(), 1);
    assert_eq!(cluster.raft("b").vote(), Some(id("c")));
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
