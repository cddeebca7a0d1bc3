//! Proposals and their answers.

use elector::core::raft::{Body, Event, Input, MAX_DATA_BYTES, Message, Refusal};

use crate::begin::durable;
use crate::cluster::{Cluster, Start};
use crate::drive::{MS, answers, from_c, id, led, only, propose};

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

/// Delivers a copy of a message and what follows from it.
fn copy(cluster: &mut Cluster, message: &Message) {
    cluster.deliver(message);
    cluster.stabilize();
}

#[test]
fn a_forwarded_proposal_takes_effect_once_however_often_it_arrives() {
    let mut cluster = led();
    let base = cluster.raft("a").committed().position.index;
    propose(&mut cluster, "c", 1, Some(base), "mine");
    let mine = only(&mut cluster, "a", "propose");
    // Both copies arrive before the record of the first one is committed.
    cluster.deliver(&mine);
    copy(&mut cluster, &mine);
    assert_eq!(answers(&cluster, "c"), [(1, Ok(base + 1))]);
    assert_eq!(&*cluster.raft("a").committed().data, b"mine");
    // Another copy comes after a later proposal, and does not undo it.
    propose(&mut cluster, "b", 2, None, "later");
    cluster.stabilize();
    copy(&mut cluster, &mine);
    propose(&mut cluster, "c", 3, None, "plain");
    let plain = only(&mut cluster, "a", "propose");
    copy(&mut cluster, &plain);
    propose(&mut cluster, "b", 4, None, "last");
    cluster.stabilize();
    copy(&mut cluster, &plain);
    assert_eq!(&*cluster.raft("a").committed().data, b"last");
    assert_eq!(answers(&cluster, "c")[1..], [(3, Ok(base + 3))]);
}

#[test]
fn forwarded_proposals_may_overtake_each_other() {
    let mut cluster = led();
    propose(&mut cluster, "c", 1, None, "first");
    let first = only(&mut cluster, "a", "propose");
    propose(&mut cluster, "c", 2, None, "second");
    cluster.stabilize();
    copy(&mut cluster, &first);
    copy(&mut cluster, &first);
    let mut found = answers(&cluster, "c");
    found.sort_by_key(|(request, _)| *request);
    assert_eq!(found, [(1, Ok(3)), (2, Ok(2))]);
    assert_eq!(cluster.raft("a").committed().position.index, 3);
}

#[test]
fn copies_from_an_earlier_life_of_a_member_take_no_effect() {
    let mut cluster = led();
    let mut earlier: Vec<Message> = vec![];
    for seed in 1..20 {
        let mut start = Start::new(id("c"), cluster.raft("a").membership().clone());
        start.config.seed = seed;
        let kept = durable(&cluster, "c");
        cluster.add(start.config, kept);
        cluster.run(200 * MS, |_| false);
        propose(&mut cluster, "c", seed, None, &format!("{seed}"));
        let proposal = only(&mut cluster, "a", "propose");
        copy(&mut cluster, &proposal);
        earlier.push(proposal);
        earlier.iter().for_each(|proposal| copy(&mut cluster, proposal));
        // It is the only record of this life, and the newest one.
        let index = cluster.raft("a").committed().position.index;
        assert_eq!(answers(&cluster, "c"), [(seed, Ok(index))]);
        assert_eq!(&*cluster.raft("a").committed().data, format!("{seed}").as_bytes());
    }
}

#[test]
fn a_copy_of_another_term_does_not_let_copies_of_this_one_pass() {
    let mut cluster = led();
    propose(&mut cluster, "c", 1, None, "x");
    let earlier = only(&mut cluster, "a", "propose");
    copy(&mut cluster, &earlier);
    // Another life of c, and another term of a.
    let mut start = Start::new(id("c"), cluster.raft("a").membership().clone());
    start.config.seed = 8;
    let kept = durable(&cluster, "c");
    cluster.add(start.config, kept);
    cluster.input(id("a"), Input::Transfer { request: 2, to: id("b") });
    cluster.run(10 * MS, |_| false);
    cluster.input(id("b"), Input::Transfer { request: 3, to: id("a") });
    cluster.run(10 * MS, |_| false);
    assert_eq!(cluster.leaders(), [id("a")]);
    let index = cluster.raft("a").committed().position.index;
    propose(&mut cluster, "c", 4, Some(index), "y");
    let proposal = only(&mut cluster, "a", "propose");
    cluster.deliver(&proposal);
    cluster.in_flight.retain(|message| message.body.name() != "propose_answer");
    for message in [&earlier, &proposal, &earlier, &proposal] {
        copy(&mut cluster, message);
    }
    let refused = answers(&cluster, "c").into_iter().find(|(_, result)| result.is_err());
    assert_eq!(refused, None, "it took effect");
    assert_eq!(&*cluster.raft("a").committed().data, b"y");
}

#[test]
fn a_copy_that_reaches_a_leader_that_leads_no_more_is_not_denied_its_effect() {
    let mut cluster = led();
    propose(&mut cluster, "c", 1, None, "x");
    let proposal = only(&mut cluster, "a", "propose");
    // a makes the record, which reaches b alone, and hears of a later term.
    cluster.deliver(&proposal);
    let record = only(&mut cluster, "b", "append");
    cluster.deliver(&record);
    cluster.in_flight.clear();
    cluster.deliver(&from_c("a", 2, Body::AppendAnswer { matched: 0, round: 0 }));
    cluster.in_flight.clear();
    copy(&mut cluster, &proposal);
    assert_eq!(answers(&cluster, "c"), [(1, Err(Refusal::Unknown))]);
    cluster.run(2_000 * MS, |_| false);
    assert_eq!(&*cluster.raft("c").committed().data, b"x", "b had the record");
    // A leader of a later term takes no proposal of an earlier one: that leader may have had it.
    let leader = cluster.leaders()[0];
    let late = Message {
        to: leader,
        ..from_c("a", 1, Body::Propose { request: 99, expected: None, data: b"y"[..].into() })
    };
    let late = if leader == id("c") { Message { from: id("b"), ..late } } else { late };
    copy(&mut cluster, &late);
    assert_eq!(&*cluster.raft(&leader).committed().data, b"x");
}

#[test]
fn an_expected_index_that_no_record_can_have_is_refused() {
    let mut cluster = led();
    for (number, to) in [(1, "a"), (2, "b")] {
        propose(&mut cluster, to, number, Some(u64::MAX), "x");
        cluster.stabilize();
        assert_eq!(answers(&cluster, to), [(number, Err(Refusal::IndexMismatch(1)))]);
    }
}
