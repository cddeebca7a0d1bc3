//! Each check of a world fires at a history that breaks what it checks.

use ::core::time::Duration;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::super::random::Random;
use super::checks::{Histories, Proposal, Watch};
use super::disk::{Disk, PROPOSE_ANSWER, check_promise, kind_of};
use super::node::first_bound;
use super::outputs::Allowance;
use super::steps::do_quorums_meet;
use super::{Fault, Plan, World};
use crate::core::lease::DeposedReason;
use crate::core::raft::{
    Body, Bound, ClusterId, Config, Durable, DurableState, Event, Incarnation, Introduction, KnownIds,
    Member, MemberId, Membership, Message, Output, Position, Profile, Protection, Raft, Record, Standing,
    Ticket,
};
use crate::core::{FencingToken, Instant};

const CLUSTER: ClusterId = ClusterId([0xC1; 16]);

fn id(name: &str) -> MemberId {
    MemberId::new(name).unwrap()
}

fn incarnation(number: u64) -> Incarnation {
    Incarnation::new(number).unwrap_or_default()
}

/// Voters, each with an incarnation.
fn voters(voters: &[(&str, u64)]) -> Membership {
    let member = |(name, number): &(&str, u64)| {
        Member::voter(Profile { incarnation: incarnation(*number), ..Profile::new(id(name)) })
    };
    Membership::new(voters.iter().map(member).collect()).unwrap()
}

fn record(term: u64, index: u64, data: &str) -> Record {
    Record {
        position: Position::new(term, index),
        cluster: CLUSTER,
        membership: voters(&[("a", 1), ("b", 1), ("c", 1)]).into(),
        data: data.as_bytes().into(),
    }
}

fn with_voters(record: Record, of: &[(&str, u64)]) -> Record {
    Record { membership: voters(of).into(), ..record }
}

fn at(term: u64, index: u64) -> Position {
    Position::new(term, index)
}

/// Histories in which 1.1 and 1.2 are committed, and 1.3 follows.
fn histories() -> Histories {
    let mut histories = Histories::default();
    histories.begin(&record(0, 0, ""));
    let history = histories.of(CLUSTER);
    for (index, data) in [(1, "1"), (2, "2!"), (3, "3")] {
        history.kept(&record(1, index, data), at(u64::from(index > 1), index - 1)).unwrap();
    }
    for (index, data) in [(1, "1"), (2, "2!")] {
        history.committed(&record(1, index, data)).unwrap();
    }
    histories
}

fn fires(result: Result<(), String>, what: &str) {
    let broken = result.expect_err("no check fired");
    assert!(broken.contains(what), "{broken}");
}

#[test]
fn records_that_contradict_each_other_are_noticed() {
    let kept = |record: &Record, before| histories().of(CLUSTER).kept(record, before);
    let committed = |record: &Record| histories().of(CLUSTER).committed(record);
    kept(&record(1, 3, "3"), at(0, 9)).unwrap();
    kept(&record(1, 4, "4"), at(1, 3)).unwrap();
    kept(&record(2, 3, "other"), at(1, 2)).unwrap();
    fires(kept(&record(1, 3, "other"), at(1, 2)), "two records at 1.3");
    fires(kept(&record(1, 5, "5"), at(1, 3)), "the record 1.5 was made from 1.3");
    fires(kept(&record(2, 2, "2"), at(1, 1)), "the record 2.2 was made without the committed 1.2");
    committed(&record(1, 3, "3")).unwrap();
    fires(committed(&record(1, 3, "other")), "another record was committed at 1.3");
    fires(committed(&record(2, 2, "2")), "two records are committed at index 2: 1.2 and 2.2");
    fires(committed(&record(2, 3, "3")), "2.3 was committed without the committed");
}

#[test]
fn a_record_committed_late_that_the_newer_ones_do_not_descend_from_is_noticed() {
    let mut histories = Histories::default();
    let history = histories.of(CLUSTER);
    history.kept(&record(1, 1, "1"), at(0, 0)).unwrap();
    history.kept(&record(2, 1, "other"), at(0, 0)).unwrap();
    history.kept(&record(2, 2, "2"), at(2, 1)).unwrap();
    history.committed(&record(2, 2, "2")).unwrap();
    fires(history.committed(&record(1, 1, "1")), "does not follow it");
}

#[test]
fn members_that_change_too_much_or_too_early_are_noticed() {
    let kept = |record: Record, before| histories().of(CLUSTER).kept(&record, before);
    let four = [("a", 1), ("b", 1), ("c", 1), ("d", 1)];
    // 1.2 is committed, 1.3 is not.
    let mut all = histories();
    all.of(CLUSTER).committed(&record(1, 3, "3")).unwrap();
    all.of(CLUSTER).kept(&with_voters(record(1, 4, "4"), &four), at(1, 3)).unwrap();
    let early = with_voters(record(1, 4, "4"), &four);
    fires(kept(early, at(1, 3)), "1.4 changes the voters of 1.3, which is not committed in its term");
    let later = with_voters(record(2, 3, "3"), &four);
    fires(kept(later, at(1, 2)), "2.3 changes the voters of 1.2, which is not committed in its term");
    let far = with_voters(record(1, 4, "4"), &[("a", 1), ("b", 2), ("c", 2)]);
    fires(kept(far, at(1, 3)), "not all quorums of 1.4 meet those of 1.3");
}

#[test]
fn quorums_meet_in_a_voter_of_the_same_incarnation() {
    let meet = |one: &[(&str, u64)], other: &[(&str, u64)]| do_quorums_meet(&voters(one), &voters(other));
    let three = [("a", 1), ("b", 1), ("c", 1)];
    assert!(meet(&three, &three));
    assert!(meet(&three, &three[..2]) && meet(&three[..2], &three));
    assert!(!meet(&three, &three[..1]), "b and c do not meet a");
    assert!(!meet(&three[..1], &[("a", 2)]), "another incarnation");
    assert!(meet(&[("a", 0)], &[("a", 2)]), "a founding list has no incarnations");
    assert!(!meet(&three, &[("a", 1), ("b", 2), ("c", 2)]));
    // A joint configuration meets the one before it and the one after it, which do not meet each other.
    let after = [("a", 1), ("d", 1), ("e", 1)];
    let mut joint: Vec<Member> = voters(&three).members().to_vec();
    joint.iter_mut().for_each(|member| (member.is_voter, member.is_outgoing) = (false, true));
    joint[0].is_voter = true;
    joint.extend(voters(&after).members()[1..].to_vec());
    let joint = Membership::new(joint).unwrap();
    assert!(do_quorums_meet(&voters(&three), &joint) && do_quorums_meet(&joint, &voters(&after)));
    assert!(!meet(&three, &after));
}

#[test]
fn tokens_reads_and_answers_that_break_a_promise_are_noticed() {
    let token = |number| Event::Elected { token: FencingToken::new(number).unwrap() };
    let mut histories = histories();
    Watch::new(&raft(1, 1)).event(&token(7), &mut histories).unwrap();
    fires(Watch::new(&raft(1, 1)).event(&token(7), &mut histories), "token 7 came after");
    histories.read(&record(1, 2, "2!")).unwrap();
    fires(histories.read(&record(1, 1, "1")), "it leads without the committed 1.2");

    let watch = Watch::new(&raft(1, 1));
    let mut answered =
        |index, number, expected| watch.answered(index, &Proposal::new(number, expected), &mut histories);
    answered(1, 1, None).unwrap();
    answered(1, 9, None).unwrap();
    answered(2, 2, Some(1)).unwrap();
    fires(answered(3, 3, None), "3 was answered, which is not committed");
    fires(answered(2, 9, None), "was answered with");
    fires(answered(2, 2, Some(0)), "was answered with");
    fires(answered(1, 2, Some(0)), "was answered with");
}

#[test]
fn events_out_of_order_are_noticed() {
    let token = |number| FencingToken::new(number).unwrap();
    let elected = Event::Elected { token: token(1) };
    let stop = Event::StopNewWork { token: token(1) };
    let renewed = Event::Renewed { token: token(1) };
    let deposed = Event::Deposed { token: token(1), reason: DeposedReason::Lost };
    let committed = |index| Event::Committed(record(1, index, if index == 1 { "1" } else { "2!" }));
    let moved = Event::StandingChanged { standing: Standing::Bound, cluster: ClusterId([7; 16]) };
    let play = |events: &[&Event]| {
        let (mut watch, mut histories) = (Watch::new(&raft(1, 1)), histories());
        events.iter().try_for_each(|event| watch.event(event, &mut histories))
    };
    play(&[&elected, &stop, &renewed, &stop, &deposed, &committed(1), &committed(2), &moved]).unwrap();
    fires(play(&[&elected, &elected]), "elected to 1 while elected to 1");
    fires(play(&[&stop]), "told to stop in 1");
    fires(play(&[&elected, &stop, &stop]), "told to stop in 1");
    fires(play(&[&elected, &renewed]), "renewed in 1");
    fires(play(&[&deposed]), "deposed from 1");
    fires(play(&[&committed(2), &committed(1)]), "1.1 was committed after 1.2");
    fires(play(&[&elected, &moved]), "while elected in");
}

/// A member in a term whose newest record is committed at an index.
fn raft(term: u64, index: u64) -> Raft {
    raft_with(bound(term, index))
}

fn raft_with(bound: Bound) -> Raft {
    let config = Config::new(id("a"), incarnation(1), 1);
    let state = DurableState::Bound(bound);
    let durable = Durable { id: config.id, incarnation: config.incarnation, state };
    Raft::restore(config, durable, Instant::from_millis(1_000)).unwrap()
}

fn bound(term: u64, index: u64) -> Bound {
    Bound { term, ..first_bound(record(1, index, "x")) }
}

#[test]
fn a_machine_that_goes_back_is_noticed() {
    let machine = |before: &Raft, after: &Raft, leads| Watch::new(before).machine(after, leads);
    machine(&raft(2, 2), &raft(3, 3), false).unwrap();
    fires(machine(&raft(2, 2), &raft(1, 2), false), "the term fell from 2 to 1");
    fires(machine(&raft(2, 2), &raft(2, 1), false), "its records fell from 1.2 (1.2 committed) to 1.1");
    let newer = raft_with(Bound { uncommitted: Some(record(2, 5, "y")), ..bound(2, 3) });
    fires(machine(&newer, &raft(2, 4), false), "its records fell from 2.5 (1.3 committed) to 1.4");
    fires(machine(&raft(2, 4), &newer, false), "its records fell from 1.4 (1.4 committed) to 2.5");
    fires(machine(&raft(2, 2), &raft(2, 2), true), "it leads without having said so");
}

fn message(term: u64, body: Body) -> Vec<u8> {
    let message = Message {
        cluster: CLUSTER,
        from: id("a"),
        from_incarnation: incarnation(1),
        to: id("b"),
        to_incarnation: incarnation(2),
        term,
        body,
    };
    message.to_bytes()
}

#[test]
fn promises_that_the_disk_does_not_keep_are_noticed() {
    let keeps = |bound: &Bound, term, body: &Body, without| {
        let state = DurableState::Bound(bound.clone());
        let kept = Durable { id: id("a"), incarnation: incarnation(1), state };
        check_promise(Some(&kept), &message(term, body.clone()), without)
    };
    let answer = Body::AppendAnswer { matched: 5, round: 1 };
    let kept = bound(2, 5);
    fires(keeps(&kept, 2, &answer, None), "it promises by append_answer");
    keeps(&kept, 2, &answer, Some(Protection::OwnTerm)).unwrap();
    fires(keeps(&bound(2, 4), 2, &answer, Some(Protection::OwnTerm)), "it promises by append_answer");
    keeps(&bound(1, 5), 1, &answer, None).unwrap();
    let newer = Bound { uncommitted: Some(record(3, 6, "y")), ..bound(3, 5) };
    keeps(&newer, 2, &answer, None).unwrap();
    fires(keeps(&newer, 4, &answer, Some(Protection::OwnTerm)), "it promises by append_answer");
    keeps(&kept, 9, &Body::AppendAnswer { matched: 0, round: 1 }, None).unwrap();

    let granted = Body::VoteAnswer { granted: true, offer: None };
    let asks = Body::Vote { last: at(1, 5), given_up: None };
    let voted = |name, number| Bound { vote: Some((id(name), incarnation(number))), ..bound(2, 5) };
    keeps(&voted("b", 2), 2, &granted, None).unwrap();
    keeps(&voted("c", 1), 1, &granted, None).unwrap();
    fires(keeps(&voted("b", 1), 2, &granted, None), "it promises by vote_answer");
    fires(keeps(&voted("b", 2), 3, &granted, None), "it promises by vote_answer");
    fires(keeps(&bound(2, 5), 2, &granted, None), "it promises by vote_answer");
    keeps(&voted("a", 1), 2, &asks, None).unwrap();
    fires(keeps(&voted("a", 2), 2, &asks, None), "it promises by vote in term 2");
    fires(check_promise(None, &message(2, asks), None), "it promises by vote without being a member");
}

#[test]
fn each_kind_of_message_that_promises_something_is_checked() {
    let introduction = Introduction {
        standing: Standing::Bound,
        may_found: true,
        wait: 1,
        leader: None,
        known: KnownIds::default(),
    };
    let (last, known) = (at(1, 1), KnownIds::default());
    let append = Body::Append { last, record: None, committed: last, round: 1, hold_ms: 1 };
    let join = Body::Join { address: "".into(), priority: 0, is_witness: false, known };
    let promising = [
        Body::Vote { last, given_up: None },
        Body::VoteAnswer { granted: true, offer: None },
        Body::AppendAnswer { matched: 1, round: 1 },
    ];
    let others = [
        Body::PreVote { last },
        Body::PreVoteAnswer { granted: true, offer: None },
        append,
        Body::TimeoutNow,
        Body::Seek(introduction.clone()),
        Body::Here(introduction),
        join,
        Body::Leave,
        Body::Propose { request: 1, expected: None, data: Arc::default() },
    ];
    for body in promising {
        fires(check_promise(None, &message(2, body), None), "without being a member");
    }
    for body in others {
        check_promise(None, &message(2, body.clone()), None).unwrap();
        assert_ne!(kind_of(&message(2, body)), Some(PROPOSE_ANSWER));
    }
    let answer = message(2, Body::ProposeAnswer { request: 1, result: Ok(1) });
    assert_eq!(kind_of(&answer), Some(PROPOSE_ANSWER));
    fires(check_promise(None, &[b'E', b'R', 1, 0, 4], None), "it sends what cannot be read");
}

#[test]
fn a_torn_state_is_refused() {
    let mut random = Random::new(1);
    let state = DurableState::Bound(bound(2, 5));
    let durable = Durable { id: id("a"), incarnation: incarnation(1), state };
    for _ in 0..500 {
        let mut disk = Disk::new(Some(&durable));
        disk.write(Ticket(1), durable.to_bytes());
        disk.tear(0, &mut random);
        assert!(disk.is_torn() && disk.read() == Ok(None));
    }
}

#[test]
fn more_outputs_than_are_promised_are_noticed() {
    let leaves = Output::Event(Event::Left);
    let answered = Output::Event(Event::Answered { request: 1, result: Ok(1) });
    let forwarded = message(2, Body::ProposeAnswer { request: 1, result: Ok(1) });
    let forwarded = Output::Send { to: id("b"), bytes: forwarded };
    let mut allowance = Allowance::new(2);
    assert!((0..12).all(|_| allowance.allows(&leaves)));
    assert!((0..640).all(|_| allowance.allows(&answered) && allowance.allows(&forwarded)));
    assert!(allowance.allows(&Output::WaitUntil(Instant::MAX)));
    assert!([leaves, answered, forwarded].iter().all(|output| !allowance.allows(output)));
}

/// A world of three voters in which nothing goes wrong, changed before it is played.
fn world(change: impl Fn(&mut World)) -> Result<(), String> {
    let plan = Plan {
        // None happens, but a torn file is never given up.
        faults: [Fault::Churn].into(),
        chaos: Duration::ZERO,
        ..Plan::drawn(1).of_voters(3)
    };
    let mut world = World::with(1, plan);
    change(&mut world);
    world.run().map_err(|violation| format!("{violation}"))
}

fn tear(world: &mut World, index: usize) {
    let node = &mut world.nodes[index];
    let durable = node.disk.read().unwrap().unwrap();
    node.disk.write(Ticket(0), durable.to_bytes());
    node.disk.tear(0, &mut world.random);
}

#[test]
fn what_becomes_of_a_world_is_noticed() {
    world(|_| {}).unwrap();
    let second = Record { cluster: ClusterId([7; 16]), ..record(0, 0, "") };
    fires(world(|world| world.histories.begin(&second)), "two clusters of one start are established");
    fires(world(|world| tear(world, 0)), "not all members keep the newest records after the heal");
    fires(world(|world| (0..2).for_each(|index| tear(world, index))), "nobody leads");
    let token = FencingToken::new(1_000);
    let elected = world(|world| world.nodes.iter_mut().for_each(|node| node.token = token));
    fires(elected, "elected to");
}
