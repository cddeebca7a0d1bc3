//! Elections, votes and trust: each rule, step by step.

use elector::core::FencingToken;
use elector::core::lease::DeposedReason;
use elector::core::raft::{Body, ClusterId, Event, Incarnation, Input, Message, Position, Role};

use crate::cluster::{CLUSTER, Cluster, Start};
use crate::drive::{MS, from_c, id, led, only, pass, propose};

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
fn of_two_that_stand_at_the_same_time_one_gives_way() {
    let mut cluster = Cluster::of(&["a", "b", "c"]);
    cluster.now = cluster.now.saturating_add(200 * MS);
    cluster.input(id("b"), Input::Campaign);
    cluster.input(id("a"), Input::Campaign);
    // c is down: each of the others needs the vote of the other one.
    cluster.run(MS, |message| message.to == id("c"));
    assert_eq!(cluster.leaders(), [id("a")]);
    assert_eq!((cluster.raft("a").term(), cluster.raft("b").role()), (1, Role::Follower));
}

#[test]
fn one_that_is_no_voter_makes_nobody_give_way() {
    let mut cluster = Cluster::of(&["b", "c", "d"]);
    cluster.now = cluster.now.saturating_add(200 * MS);
    cluster.input(id("d"), Input::Campaign);
    let ask = Body::PreVote { last: Position::ZERO };
    let stranger = Message { from: id("a"), ..from_c("d", 1, ask) };
    cluster.deliver(&stranger);
    assert_eq!(cluster.raft("d").role(), Role::PreCandidate);
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
fn the_only_voter_of_a_cluster_waits_as_well() {
    let mut cluster = Cluster::of(&["a"]);
    cluster.input(id("a"), Input::Campaign);
    assert_eq!(cluster.raft("a").role(), Role::Follower);
    cluster.run(800 * MS, |_| false);
    assert_eq!(cluster.leaders(), [id("a")]);
}

#[test]
fn a_leader_that_reaches_nobody_is_trusted_no_more_before_another_leads() {
    let mut cluster = led();
    let until = cluster.raft("a").leadership(cluster.now).trusted_until;
    assert_eq!(until.saturating_since(cluster.now), 180 * MS);
    let cut = |message: &Message| message.from == id("a") || message.to == id("a");
    cluster.run(180 * MS, cut);
    assert!(cluster.leaders().is_empty());
    let token = FencingToken::new(1).unwrap();
    let deposed = Event::Deposed { token, reason: DeposedReason::Expired };
    assert_eq!(cluster.nodes[&id("a")].events.iter().filter(|event| **event == deposed).count(), 1);
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
fn a_forced_vote_counts_only_in_the_term_whose_leader_gave_up() {
    let mut cluster = led();
    let last = cluster.raft("b").last().position;
    let vote = |term, given_up| from_c("b", term, Body::Vote { last, given_up });
    for other in [vote(2, None), vote(2, Some(0)), vote(3, Some(2))] {
        assert!(cluster.deliver(&other).is_empty(), "withheld: it heard the leader lately");
    }
    let next = vote(9, Some(1));
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
            cluster: CLUSTER,
            from: id(from),
            from_incarnation: cluster.raft("c").config().incarnation,
            to: id("b"),
            to_incarnation: Incarnation::UNKNOWN,
            term,
            body: Body::Vote { last, given_up: None },
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

#[test]
fn a_trusted_leader_votes_for_nobody_else() {
    let mut cluster = led();
    // Right after its election, and as long as the last heartbeat may be trusted.
    let last = cluster.raft("a").last().position;
    let vote = from_c("a", 7, Body::Vote { last, given_up: None });
    assert!(cluster.deliver(&vote).is_empty());
    cluster.run(150 * MS, |_| false);
    assert!(cluster.deliver(&vote).is_empty());
    assert_eq!(cluster.leaders(), [id("a")]);
    cluster.now = cluster.now.saturating_add(200 * MS);
    let sent = cluster.deliver(&vote);
    assert!(sent.iter().any(|message| matches!(message.body, Body::VoteAnswer { granted: true, .. })));
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
    let vote = Message { from: id("a"), ..from_c("b", 9, Body::Vote { last, given_up: None }) };
    cluster.now = cluster.now.saturating_add(4_999 * MS);
    assert!(cluster.deliver(&vote).is_empty());
    cluster.now = cluster.now.saturating_add(2 * MS);
    assert!(!cluster.deliver(&vote).is_empty());
}

#[test]
fn messages_for_others_and_of_other_clusters_are_refused_and_counted() {
    let mut cluster = led();
    let vote = from_c("b", 7, Body::Vote { last: Position::new(3, 9), given_up: None });
    cluster.now = cluster.now.saturating_add(5_000 * MS);
    let strange = [
        Message { to: id("x"), ..vote.clone() },
        Message { to_incarnation: Incarnation::new(99).unwrap(), ..vote.clone() },
        Message { cluster: ClusterId([9; 16]), ..vote.clone() },
    ];
    for message in &strange {
        cluster.input(id("b"), Input::Received(message.to_bytes()));
    }
    cluster.input(id("b"), Input::Received(b"GET / HTTP/1.1".to_vec()));
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
fn the_host_is_told_to_stop_before_trust_ends_and_that_it_may_go_on() {
    let mut cluster = led();
    cluster.nodes.get_mut(&id("a")).unwrap().events.clear();
    let leadership = cluster.raft("a").leadership(cluster.now);
    assert_eq!(leadership.trusted_until.saturating_since(leadership.work_until), 20 * MS);
    // A heartbeat is lost; the next one is answered just in time.
    cluster.run(165 * MS, |message| message.from == id("a"));
    let token = leadership.token.unwrap();
    let news = |cluster: &mut Cluster| std::mem::take(&mut cluster.nodes.get_mut(&id("a")).unwrap().events);
    assert_eq!(news(&mut cluster), [Event::StopNewWork { token }]);
    assert_eq!(cluster.leaders(), [id("a")]);
    propose(&mut cluster, "a", 1, None, "x");
    cluster.stabilize();
    assert_eq!(news(&mut cluster)[0], Event::Renewed { token });
    assert_eq!(cluster.leaders(), [id("a")]);
}

#[test]
fn a_member_at_the_last_number_stands_no_more_and_does_not_panic() {
    let largest = Position::LARGEST;
    for (term, index) in [(largest, 5), (5, largest), (largest - 1, largest - 1), (5, largest - 2)] {
        let mut cluster = Cluster::of(&["a"]);
        let mut start = Start::new(id("a"), cluster.raft("a").membership().clone());
        (start.term, start.last, start.committed) = (term, Position::new(4, index), Position::new(4, index));
        let durable = start.durable().unwrap();
        cluster.add(start.config, durable);
        cluster.now = cluster.now.saturating_add(200 * MS);
        cluster.input(id("a"), Input::Campaign);
        let may_lead = term < largest && index < largest;
        assert_eq!(cluster.raft("a").leadership(cluster.now).is_leader, may_lead, "{term}.{index}");
        for request in 0..4 {
            propose(&mut cluster, "a", request, None, "x");
        }
        cluster.input(id("a"), Input::Campaign);
        assert!(cluster.raft("a").last().position.index <= largest);
    }
}

#[test]
fn a_vote_is_withheld_in_a_term_too_that_another_message_brought() {
    let mut cluster = Cluster::of(&["a", "b", "c"]);
    cluster.now = cluster.now.saturating_add(200 * MS);
    // a is elected by c, whose acknowledgement is lost; b hears nothing.
    cluster.input(id("a"), Input::Campaign);
    for (to, name) in
        [("c", "pre_vote"), ("a", "pre_vote_answer"), ("c", "vote"), ("a", "vote_answer"), ("c", "append")]
    {
        pass(&mut cluster, to, name);
    }
    // c hears a no more and stands. Its request for the vote of b is late.
    cluster.now = cluster.now.saturating_add(200 * MS);
    cluster.input(id("c"), Input::Campaign);
    pass(&mut cluster, "b", "pre_vote");
    pass(&mut cluster, "c", "pre_vote_answer");
    let vote = only(&mut cluster, "b", "vote");
    // b stands too; the refusal of c, in term 2, is late.
    cluster.input(id("b"), Input::Campaign);
    pass(&mut cluster, "c", "pre_vote");
    let refusal = only(&mut cluster, "b", "pre_vote_answer");
    // Now b hears a, and a is trusted.
    cluster.input(id("a"), Input::Timeout);
    pass(&mut cluster, "b", "append");
    pass(&mut cluster, "a", "append_answer");
    assert_eq!(cluster.leaders(), [id("a")]);
    for late in [&refusal, &vote] {
        cluster.deliver(late);
    }
    assert_ne!(cluster.raft("b").vote(), Some(id("c")));
    cluster.in_flight.retain(|message| message.to != id("a") && message.from != id("a"));
    cluster.stabilize();
    assert_eq!(cluster.leaders(), [id("a")]);
    // The same while the leader that it heard hands leadership over to it, and an answer brings a later term.
    let mut cluster = led();
    cluster.input(id("a"), Input::Transfer { request: 9, to: id("b") });
    pass(&mut cluster, "b", "timeout_now");
    cluster.deliver(&from_c("b", 5, Body::VoteAnswer { granted: false, offer: None }));
    assert_eq!((cluster.raft("b").term(), cluster.raft("b").vote()), (5, None));
    let last = Position::new(4, 9);
    cluster.deliver(&from_c("b", 5, Body::Vote { last, given_up: None }));
    assert_eq!(cluster.raft("b").vote(), None);
    cluster.now = cluster.now.saturating_add(200 * MS);
    cluster.deliver(&from_c("b", 5, Body::Vote { last, given_up: None }));
    assert_eq!(cluster.raft("b").vote(), Some(id("c")));
}

#[test]
fn a_late_answer_does_not_end_a_healthy_term() {
    let mut cluster = led();
    let late = [
        Body::PreVoteAnswer { granted: false, offer: None },
        Body::VoteAnswer { granted: false, offer: None },
        Body::AppendAnswer { matched: 0, round: 0 },
    ];
    for answer in late {
        cluster.deliver(&from_c("b", 7, answer));
    }
    cluster.run(300 * MS, |_| false);
    assert_eq!(cluster.raft("a").leadership(cluster.now).token.unwrap().get(), 1);
}

#[test]
fn a_forced_vote_is_for_voters_only() {
    let mut cluster = led();
    let last = cluster.raft("b").last().position;
    let stranger = Message { from: id("z"), ..from_c("b", 2, Body::Vote { last, given_up: Some(1) }) };
    assert!(cluster.deliver(&stranger).is_empty());
    assert_eq!(cluster.raft("b").term(), 1);
}

#[test]
fn a_term_that_no_cluster_can_have_reached_is_refused() {
    let mut cluster = led();
    let far = from_c("b", Position::LARGEST, Body::Vote { last: Position::new(5, 9), given_up: None });
    cluster.now = cluster.now.saturating_add(5_000 * MS);
    cluster.deliver(&far);
    assert_eq!((cluster.raft("b").term(), cluster.raft("b").refused().protocol), (1, 1));
    cluster.run(2_000 * MS, |_| false);
    assert_eq!(cluster.leaders().len(), 1);
}

#[test]
fn a_leader_that_stands_again_sends_no_heartbeat_in_the_new_term() {
    let mut cluster = led();
    propose(&mut cluster, "a", 1, None, "x");
    cluster.run(MS, |message| message.to == id("c"));
    cluster.run(190 * MS, |message| message.from == id("a"));
    assert!(cluster.leaders().is_empty());
    // c takes the record and answers: news, and a quorum again.
    cluster.now = cluster.now.saturating_add(100 * MS);
    cluster.input(id("a"), Input::Timeout);
    pass(&mut cluster, "c", "append");
    let answer = only(&mut cluster, "a", "append_answer");
    let sent = cluster.deliver(&answer);
    assert_eq!((cluster.raft("a").role(), cluster.raft("a").term()), (Role::Candidate, 2));
    assert!(sent.iter().all(|message| message.body.name() == "vote"), "{sent:?}");
}

#[test]
fn a_leader_that_is_too_far_away_to_be_trusted_gives_up() {
    let mut cluster = led();
    // Each answer comes 190 ms after its heartbeat: too late for trust, every time.
    let mut late = Vec::new();
    for _ in 0..20 {
        cluster.now = cluster.now.saturating_add(100 * MS);
        for message in cluster.input(id("a"), Input::Timeout) {
            late.extend(cluster.deliver(&message).into_iter().map(|answer| (cluster.now, answer)));
        }
        cluster.in_flight.clear();
        let now = cluster.now;
        let is_due = |sent: elector::core::Instant| sent.saturating_add(190 * MS) <= now;
        let due: Vec<Message> =
            late.iter().filter(|(sent, _)| is_due(*sent)).map(|(_, answer)| answer.clone()).collect();
        late.retain(|(sent, _)| !is_due(*sent));
        due.iter().for_each(|answer| {
            cluster.deliver(answer);
        });
    }
    assert_ne!(cluster.raft("a").role(), Role::Leader);
}

#[test]
fn a_candidate_whose_disk_hangs_does_not_raise_its_term_again_and_again() {
    let mut cluster = Cluster::of(&["a", "b", "c"]);
    cluster.nodes.get_mut(&id("a")).unwrap().keeps_writes = true;
    cluster.elect("a");
    assert_eq!((cluster.raft("a").term(), cluster.raft("a").role()), (1, Role::Candidate));
    for _ in 0..10 {
        cluster.now = cluster.now.saturating_add(1_000 * MS);
        cluster.input(id("a"), Input::Timeout);
        cluster.in_flight.clear();
    }
    assert_eq!(cluster.raft("a").term(), 1);
    // Once the disk has written it goes on.
    cluster.persisted(id("a"));
    cluster.stabilize();
    assert_eq!(cluster.raft("a").role(), Role::Leader);
}
