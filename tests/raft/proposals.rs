//! Proposals and their answers.

use elector::core::raft::{Body, Event, Input, MAX_DATA_BYTES, Message, Refusal};

use crate::cluster::{Cluster, Start};
use crate::drive::{MS, answers, from_c, id, led, propose};

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
fn proposals_are_answered_with_the_index_of_their_record() {
    let mut cluster = led();
    let base = cluster.raft("a").committed().position.index;
    propose(&mut cluster, "a", 1, Some(base), "x");
    propose(&mut cluster, "a", 2, None, "y");
    propose(&mut cluster, "a", 3, None, "z");
    propose(&mut cluster, "a", 4, Some(base), "stale");
    propose(&mut cluster, "b", 5, None, "elsewhere");
    cluster.stabilize();
    let mut expected = vec![
        (4, Err(Refusal::IndexMismatch(base + 2))),
        (1, Ok(base + 1)),
        (2, Ok(base + 2)),
        (3, Ok(base + 2)),
    ];
    expected.sort_by_key(|(request, _)| *request);
    let mut found = answers(&cluster, "a");
    found.sort_by_key(|(request, _)| *request);
    assert_eq!(found, expected);
    assert_eq!(answers(&cluster, "b"), [(5, Ok(base + 2))], "forwarded");
    assert_eq!(&*cluster.raft("c").committed().data, b"elsewhere");
}

#[test]
fn a_forwarded_proposal_that_is_not_answered_may_still_take_effect() {
    let mut cluster = led();
    propose(&mut cluster, "b", 5, None, "x");
    cluster.run(1_599 * MS, |message| matches!(message.body, Body::ProposeAnswer { .. }));
    assert_eq!(answers(&cluster, "b"), []);
    assert_eq!(&*cluster.raft("c").committed().data, b"x");
    cluster.run(MS, |_| false);
    assert_eq!(answers(&cluster, "b"), [(5, Err(Refusal::Unknown))]);
    // With no leader to forward to there is nothing to wait for.
    let mut cluster = Cluster::of(&["a", "b", "c"]);
    propose(&mut cluster, "b", 6, None, "x");
    assert_eq!(answers(&cluster, "b"), [(6, Err(Refusal::NotLeader(None)))]);
}

#[test]
fn strangers_propose_nothing() {
    let mut cluster = led();
    let proposal = Body::Propose { request: 1, expected: None, data: b"x"[..].into() };
    let stranger = Message { from: id("z"), ..from_c("a", 1, proposal.clone()) };
    assert!(cluster.deliver(&stranger).is_empty());
    assert!(!cluster.deliver(&from_c("a", 1, proposal)).is_empty());
}

#[test]
fn nothing_is_coalesced_with_a_proposal_that_expects_an_index() {
    let mut cluster = led();
    propose(&mut cluster, "a", 1, None, "in flight");
    propose(&mut cluster, "a", 2, Some(2), "compare-and-set");
    propose(&mut cluster, "a", 3, None, "plain");
    propose(&mut cluster, "a", 4, Some(3), "another");
    cluster.stabilize();
    let mut found = answers(&cluster, "a");
    found.sort_by_key(|(request, _)| *request);
    assert_eq!(found, [(1, Ok(2)), (2, Ok(3)), (3, Err(Refusal::Busy)), (4, Err(Refusal::Busy))]);
    assert_eq!(&*cluster.raft("b").committed().data, b"compare-and-set");
}

#[test]
fn no_setting_lets_a_record_grow_beyond_what_members_read() {
    let mut cluster = Cluster::of(&["a"]);
    let mut start = Start::new(id("a"), cluster.raft("a").membership().clone());
    start.config.max_data = usize::MAX;
    let durable = start.durable().unwrap();
    cluster.add(start.config, durable);
    cluster.run(900 * MS, |_| false);
    let data = vec![0; MAX_DATA_BYTES + 1].into();
    cluster.input(id("a"), Input::Propose { request: 1, expected: None, data });
    assert_eq!(answers(&cluster, "a"), [(1, Err(Refusal::TooLarge(MAX_DATA_BYTES as u64)))]);
}

#[test]
fn the_number_of_proposals_that_wait_has_a_bound() {
    let mut cluster = led();
    // The leader's record reaches nobody, so that its proposals wait.
    (1..=1_025).for_each(|request| propose(&mut cluster, "a", request, None, "x"));
    assert_eq!(answers(&cluster, "a"), [(1_025, Err(Refusal::Busy))]);
    // A member's proposals do not reach the leader.
    (1..=257).for_each(|request| propose(&mut cluster, "b", request, None, "x"));
    assert_eq!(answers(&cluster, "b"), [(257, Err(Refusal::Busy))]);
}
