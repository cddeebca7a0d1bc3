//! Handing leadership over: at the host's wish, and to voters of higher priority.

use std::cell::Cell;

use elector::core::lease::DeposedReason;
use elector::core::raft::{Body, Input, Message, Refusal};

use crate::drive::{MS, answers, from_c, id, led, propose, with_priorities};

#[test]
fn after_a_failed_transfer_the_old_leader_leads_only_in_a_later_term() {
    let mut cluster = led();
    cluster.input(id("a"), Input::Transfer { request: 9, to: id("b") });
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
    cluster.input(id("a"), Input::Transfer { request: 9, to: id("c") });
    cluster.stabilize();
    assert_eq!(cluster.leaders(), [id("c")]);
    assert_eq!(cluster.raft("a").leader(), Some(id("c")));
}

#[test]
fn a_transfer_to_a_member_without_the_newest_record_does_nothing() {
    let mut cluster = led();
    propose(&mut cluster, "a", 1, None, "x");
    cluster.input(id("a"), Input::Transfer { request: 9, to: id("b") });
    assert_eq!(cluster.leaders(), [id("a")]);
    cluster.input(id("a"), Input::Transfer { request: 9, to: id("z") });
    cluster.input(id("a"), Input::Transfer { request: 9, to: id("a") });
    assert_eq!(cluster.leaders(), [id("a")]);
}

#[test]
fn a_successor_answers_and_has_the_newest_record_and_then_the_highest_priority() {
    let mut cluster = with_priorities([1, 0, 1]);
    cluster.elect("a");
    assert_eq!(cluster.raft("a").successor(), Some(id("c")));
    assert_eq!(cluster.raft("b").successor(), None, "it does not lead");
    propose(&mut cluster, "a", 1, None, "x");
    cluster.run(50 * MS, |message| message.to == id("c"));
    assert_eq!(cluster.raft("a").successor(), Some(id("b")), "c lacks the newest record");
}

#[test]
fn an_old_order_to_stand_is_ignored_in_a_later_term() {
    let mut cluster = led();
    cluster.input(id("a"), Input::Transfer { request: 9, to: id("c") });
    let order = cluster.in_flight.iter().find(|message| message.body == Body::TimeoutNow).cloned().unwrap();
    cluster.stabilize();
    cluster.input(id("c"), Input::Transfer { request: 9, to: id("a") });
    cluster.stabilize();
    assert_eq!(cluster.leaders(), [id("a")]);
    let term = cluster.raft("a").term();
    cluster.deliver(&order);
    cluster.stabilize();
    assert_eq!((cluster.leaders(), cluster.raft("a").term()), (vec![id("a")], term));
}

#[test]
fn a_transfer_waits_until_the_voter_has_the_newest_record() {
    let mut cluster = led();
    propose(&mut cluster, "a", 1, None, "x");
    cluster.input(id("a"), Input::Transfer { request: 2, to: id("b") });
    propose(&mut cluster, "a", 3, None, "y");
    assert_eq!(answers(&cluster, "a"), [(3, Err(Refusal::NotReady))], "no proposal is accepted meanwhile");
    cluster.stabilize();
    assert_eq!(answers(&cluster, "a")[1..], [(1, Ok(2)), (2, Ok(2))]);
    assert_eq!(cluster.leaders(), [id("b")]);
}

#[test]
fn a_transfer_to_a_voter_that_does_not_catch_up_is_given_up() {
    let mut cluster = led();
    propose(&mut cluster, "a", 1, None, "x");
    cluster.input(id("a"), Input::Transfer { request: 2, to: id("b") });
    cluster.input(id("a"), Input::Transfer { request: 3, to: id("c") });
    cluster.run(199 * MS, |message| message.to == id("b"));
    assert_eq!(answers(&cluster, "a"), [(3, Err(Refusal::Busy)), (1, Ok(2))]);
    cluster.run(MS, |message| message.to == id("b"));
    assert_eq!(answers(&cluster, "a")[2..], [(2, Err(Refusal::NotReady))]);
    assert_eq!(cluster.leaders(), [id("a")], "it goes on leading, in the same term");
    assert_eq!(cluster.raft("a").term(), 1);
    cluster.input(id("a"), Input::Transfer { request: 4, to: id("z") });
    cluster.input(id("b"), Input::Transfer { request: 5, to: id("c") });
    assert_eq!(answers(&cluster, "a")[3..], [(4, Err(Refusal::NotVoter))]);
    assert_eq!(answers(&cluster, "b"), [(5, Err(Refusal::NotLeader(Some(id("a")))))]);
}

#[test]
fn a_voter_of_higher_priority_is_handed_leadership_once_it_has_caught_up() {
    let mut cluster = with_priorities([0, 1, 2]);
    cluster.elect("a");
    assert_eq!(cluster.leaders(), [id("a")], "no vote is refused because of a priority");
    // c, the best, is cut off: b leads meanwhile.
    let without_c = |message: &Message| message.to == id("c") || message.from == id("c");
    cluster.run(1_000 * MS, without_c);
    assert_eq!(cluster.leaders(), [id("b")]);
    cluster.run(3_000 * MS, |_| false);
    assert_eq!(cluster.leaders(), [id("c")]);
    let term = cluster.raft("c").term();
    cluster.run(5_000 * MS, |_| false);
    assert_eq!((cluster.leaders(), cluster.raft("a").term()), (vec![id("c")], term), "and stays leader");
}

#[test]
fn hand_overs_in_vain_become_rare() {
    let mut cluster = with_priorities([0, 1, 0]);
    cluster.elect("a");
    // b answers heartbeats, but is never told to stand.
    cluster.run(20_000 * MS, |message| message.body == Body::TimeoutNow);
    let terms = cluster.raft("a").term();
    assert!((2..=6).contains(&terms), "{terms} terms in 20 s");
}

#[test]
fn a_voter_of_higher_priority_is_handed_leadership_while_proposals_come_without_a_pause() {
    let mut cluster = with_priorities([0, 1, 0]);
    cluster.elect("a");
    let mut request = 0;
    while cluster.leaders() == [id("a")] {
        // Two at a time: one record is always in flight.
        for _ in 0..2 {
            request += 1;
            propose(&mut cluster, "a", request, None, "x");
        }
        cluster.run(MS, |_| false);
        assert!(request < 10_000, "a still leads");
    }
    assert_eq!(cluster.leaders(), [id("b")]);
}

#[test]
fn a_voter_of_higher_priority_that_lags_does_not_stop_proposals_for_long() {
    let mut cluster = with_priorities([0, 1, 0]);
    cluster.elect("a");
    // b keeps the first record. From now on it answers each heartbeat, and keeps no record any more.
    let round_to_b = Cell::new(0);
    let lost = |message: &Message| {
        if let (true, Body::Append { round, .. }) = (message.to == id("b"), &message.body) {
            round_to_b.set(*round);
        }
        message.to == id("b")
    };
    for request in 1..=2_000 {
        propose(&mut cluster, "a", request, None, "x");
        cluster.run(10 * MS, lost);
        let answer = Body::AppendAnswer { matched: 0, round: round_to_b.get() };
        cluster.deliver(&Message { from: id("b"), ..from_c("a", cluster.raft("a").term(), answer) });
    }
    let accepted = answers(&cluster, "a").iter().filter(|(_, result)| result.is_ok()).count();
    assert!((1_500..2_000).contains(&accepted), "{accepted} of 2000");
    assert_eq!(cluster.leaders(), [id("a")]);
}
