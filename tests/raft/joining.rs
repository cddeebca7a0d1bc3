//! How members join a cluster, come back to it and leave it for good: each rule, step by step.

use elector::core::raft::{
    Body, Change, Config, Event, Incarnation, Input, Introduction, KnownIds, Message, Profile, Record,
    Refusal, Standing, Transition,
};

use crate::begin::{
    WAIT, blanks, cluster_of, config, durable, join, list, nothing, restart, voters, witness,
};
use crate::cluster::{CLUSTER, Cluster, INCARNATION, Start};
use crate::drive::{MS, answers, from_c, id, led, only, propose};

#[test]
fn a_member_enters_a_cluster_only_with_a_committed_record_that_lists_it() {
    let mut cluster = led();
    cluster.add_blank(config("d", 14));
    let profile = Profile { incarnation: Incarnation::new(14).unwrap(), ..Profile::new(id("d")) };
    let changes = vec![Change::Learner(profile)];
    cluster.input(id("a"), Input::ChangeMembership { request: 1, changes, transition: Transition::Auto });
    let sent = only(&mut cluster, "d", "append");
    let Body::Append { last, record, round, hold_ms, .. } = sent.body.clone() else { panic!("an append") };
    let with = |term, record: Option<Record>, committed| Message {
        term,
        body: Body::Append { last, record, committed, round, hold_ms },
        ..sent.clone()
    };
    let unlisted = cluster.raft("b").last().clone();
    let of_others = Body::Append {
        last: unlisted.position,
        committed: unlisted.position,
        record: Some(unlisted),
        round,
        hold_ms,
    };
    let refused = [
        sent.clone(),
        with(1, None, last),
        with(2, record.clone(), last),
        Message { body: of_others, ..sent.clone() },
        from_c("d", 5, Body::Vote { last, given_up: None }),
    ];
    for message in refused {
        let message = Message { to_incarnation: Incarnation::UNKNOWN, ..message };
        assert!(cluster.deliver(&message).is_empty(), "{message:?}");
        assert_eq!(cluster.raft("d").standing(), Standing::Blank, "{message:?}");
    }
    cluster.deliver(&with(1, record, last));
    assert_eq!(cluster.raft("d").standing(), Standing::Bound);
}

#[test]
fn a_member_that_left_only_rejoins_its_cluster_and_founds_none() {
    let mut cluster = blanks(&["a", "b", "c"], &[("b", "a"), ("c", "a")]);
    cluster.run(3 * WAIT, nothing);
    propose(&mut cluster, "a", 1, None, "x");
    let of = cluster_of(&cluster, "a");
    cluster.input(id("b"), Input::Leave);
    cluster.run(WAIT, nothing);
    assert_eq!(cluster.raft("b").standing(), Standing::Left);
    assert_eq!(voters(&cluster, "a"), [id("a"), id("c")]);
    // It stays out while it runs, even if an old message asks for it again.
    let old = join(of, "b", 12, 1);
    cluster.deliver(&old);
    assert!(cluster.raft("a").membership().get(&id("b")).is_some());
    cluster.run(WAIT, nothing);
    assert_eq!(voters(&cluster, "a"), [id("a"), id("c")], "it asked to be removed again");
    assert_eq!(cluster.raft("b").standing(), Standing::Left);
    // Started alone it waits, and founds nothing.
    let kept = durable(&cluster, "b");
    let mut alone = Cluster::new();
    alone.add(config("b", 12), kept.clone());
    alone.run(20 * WAIT, nothing);
    assert_eq!((alone.raft("b").standing(), cluster_of(&alone, "b")), (Standing::Left, of));
    // Started where its cluster is it joins, without being told of anybody.
    cluster.add(config("b", 12), kept);
    cluster.run(2 * WAIT, nothing);
    assert_eq!(voters(&cluster, "a"), ["a", "b", "c"].map(id));
}

#[test]
fn a_member_that_others_removed_stays_out_until_it_starts_again() {
    let mut cluster = led();
    let changes = vec![Change::Remove(id("c"))];
    cluster.input(id("a"), Input::ChangeMembership { request: 1, changes, transition: Transition::Auto });
    cluster.run(3 * WAIT, nothing);
    assert_eq!(voters(&cluster, "a"), [id("a"), id("b")]);
    assert!(cluster.nodes[&id("c")].events.contains(&Event::Left));
    assert_eq!(cluster.raft("c").standing(), Standing::Bound);
    restart(&mut cluster, Config::new(id("c"), INCARNATION, 7));
    cluster.run(2 * WAIT, nothing);
    assert_eq!(voters(&cluster, "a"), ["a", "b", "c"].map(id));
}

#[test]
fn the_host_gives_up_on_a_member_and_the_leader_removes_it() {
    let mut cluster = led();
    cluster.input(id("b"), Input::Gone(id("c")));
    cluster.run(100 * MS, nothing);
    assert_eq!(voters(&cluster, "a").len(), 3, "only the leader removes");
    cluster.input(id("a"), Input::Gone(id("c")));
    cluster.run(100 * MS, nothing);
    assert_eq!(voters(&cluster, "a"), [id("a"), id("b")]);
}

#[test]
fn a_restart_with_another_address_or_priority_is_listed() {
    let mut cluster = led();
    for (name, address, priority) in [("a", "a:1", 0), ("c", "c:3", 7)] {
        let mut settings = Config::new(id(name), INCARNATION, 7);
        (settings.address, settings.priority) = (address.into(), priority);
        restart(&mut cluster, settings);
    }
    cluster.run(4 * WAIT, nothing);
    for (name, address, priority) in [("a", "a:1", 0), ("b", "", 0), ("c", "c:3", 7)] {
        let listed = &cluster.raft("b").committed().membership.get(&id(name)).unwrap().profile;
        assert_eq!((&*listed.address, listed.priority), (address, priority), "{name}");
    }
    assert_eq!(cluster.leaders(), [id("c")], "the new priority counts");
    // An operator's change stands until the next start.
    let changes = vec![Change::Voter(Profile {
        incarnation: INCARNATION,
        address: "elsewhere".into(),
        ..Profile::new(id("b"))
    })];
    cluster.input(id("c"), Input::ChangeMembership { request: 9, changes, transition: Transition::Auto });
    cluster.run(WAIT, nothing);
    assert_eq!(
        &*cluster.raft("a").committed().membership.get(&id("b")).unwrap().profile.address,
        "elsewhere"
    );
}

#[test]
fn a_term_above_is_reached_without_a_break_for_the_voters_of_the_leader_only() {
    let mut cluster = led();
    let of = cluster_of(&cluster, "a");
    let before = cluster.raft("a").term();
    cluster.add_blank(config("d", 44));
    // d had term 40 in a cluster that it gave up.
    let join = join(of, "d", 44, 40);
    cluster.deliver(&join);
    cluster.stabilize();
    assert_eq!(cluster.leaders(), [id("a")]);
    assert_eq!(cluster.raft("a").term(), 41);
    let deposed = |event: &Event| matches!(event, Event::Deposed { token, .. } if token.get() == before);
    assert_eq!(cluster.nodes[&id("a")].events.iter().filter(|event| deposed(event)).count(), 1);
    cluster.deliver(&join);
    cluster.run(WAIT, nothing);
    assert!(cluster.raft("a").membership().get(&id("d")).is_some());
}

/// Voters of a cluster whose members are listed without incarnations. a stands for election.
fn listed_without_incarnations(names: &[&str]) -> Cluster {
    let mut cluster = Cluster::new();
    let membership = list(names);
    for name in names {
        let start = Start::new(id(name), membership.clone());
        let durable = start.durable().unwrap();
        cluster.add(start.config, durable);
    }
    cluster.now = cluster.now.saturating_add(200 * MS);
    cluster.input(id("a"), Input::Campaign);
    cluster
}

#[test]
fn what_another_incarnation_acknowledged_does_not_count() {
    let mut cluster = listed_without_incarnations(&["a", "b", "c", "d", "e"]);
    while cluster.raft("a").last().position.index == 0 {
        let message = cluster.in_flight.pop_front().unwrap();
        cluster.deliver(&message);
    }
    cluster.in_flight.clear();
    let index = cluster.raft("a").last().position.index;
    let mut answers = |from: &str, incarnation: u64, matched| {
        cluster.deliver(&Message {
            from: id(from),
            from_incarnation: Incarnation::new(incarnation).unwrap(),
            ..from_c("a", 1, Body::AppendAnswer { matched, round: 1 })
        });
        cluster.raft("a").committed().position.index
    };
    // b keeps the record, and forgets; its next incarnation answers a heartbeat.
    assert_eq!(answers("b", 5, index), 0);
    assert_eq!(answers("b", 6, 0), 0);
    assert_eq!(answers("c", 7, index), 0, "a and c are two of five");
    assert_eq!(answers("b", 6, index), index);
}

#[test]
fn a_leader_lists_the_incarnations_of_members_that_answer() {
    let mut cluster = listed_without_incarnations(&["a", "b", "c"]);
    cluster.run(WAIT, nothing);
    for member in cluster.raft("b").committed().membership.members() {
        assert_eq!(member.profile.incarnation, INCARNATION);
    }
    assert_eq!(cluster.leaders(), [id("a")]);
}

#[test]
fn answers_from_before_a_member_left_and_came_back_do_not_count() {
    let mut cluster = led();
    cluster.run(450 * MS, nothing);
    cluster.now = cluster.now.saturating_add(100 * MS);
    cluster.input(id("a"), Input::Timeout);
    let heartbeat = only(&mut cluster, "c", "append");
    // The answer of c is late.
    let late = cluster.deliver(&heartbeat).remove(0);
    let without_c = |message: &Message| [message.from, message.to].contains(&id("c"));
    let change = |cluster: &mut Cluster, change| {
        let changes = vec![change];
        cluster.input(id("a"), Input::ChangeMembership { request: 1, changes, transition: Transition::Auto });
        cluster.run(10 * MS, without_c);
    };
    change(&mut cluster, Change::Remove(id("c")));
    change(&mut cluster, Change::Join(Profile { incarnation: INCARNATION, ..Profile::new(id("c")) }));
    cluster.deliver(&late);
    cluster.run(10 * MS, without_c);
    assert!(cluster.raft("a").membership().get(&id("c")).unwrap().is_joining, "it has not caught up");
    assert_eq!(answers(&cluster, "a").len(), 2);
}

#[test]
fn a_change_leaves_a_voter_that_answers_and_may_lead() {
    let mut cluster = Cluster::new();
    for config in [config("a", 11), witness(config("b", 12)), witness(config("c", 13)), config("d", 14)] {
        cluster.add_blank(config);
    }
    for name in ["b", "c", "d"] {
        cluster.input(id(name), Input::Known(id("a")));
    }
    cluster.run(3 * WAIT, nothing);
    assert_eq!((cluster.leaders(), voters(&cluster, "a").len()), (vec![id("a")], 4));
    // d is gone. a may leave only two witnesses behind.
    let without_d = |message: &Message| [message.from, message.to].contains(&id("d"));
    cluster.run(400 * MS, without_d);
    let changes = vec![Change::Remove(id("a"))];
    cluster.input(id("a"), Input::ChangeMembership { request: 1, changes, transition: Transition::Auto });
    assert_eq!(answers(&cluster, "a"), [(1, Err(Refusal::NoQuorum))]);
    assert_eq!(cluster.leaders(), [id("a")]);
}

#[test]
fn a_leaving_leader_that_cannot_be_removed_hands_leadership_over() {
    let mut cluster = led();
    // c is gone: without a only b of two would be left.
    let without_c = |message: &Message| [message.from, message.to].contains(&id("c"));
    cluster.run(400 * MS, without_c);
    // The host may ask again and again.
    for _ in 0..4 {
        assert_eq!(cluster.leaders(), [id("a")]);
        cluster.input(id("a"), Input::Leave);
        cluster.run(50 * MS, without_c);
    }
    cluster.run(100 * MS, without_c);
    assert_eq!(cluster.leaders(), [id("b")], "a minimum election time after it first asked");
    assert_eq!(cluster.raft("b").membership().members().len(), 3);
    // Once c is back the new leader removes it.
    cluster.run(500 * MS, nothing);
    assert_eq!(voters(&cluster, "b"), [id("b"), id("c")]);
    assert_eq!((cluster.raft("a").standing(), cluster_of(&cluster, "a")), (Standing::Left, CLUSTER));
}

#[test]
fn an_old_request_does_not_remove_a_member_that_answers() {
    let mut cluster = led();
    cluster.run(300 * MS, nothing);
    // c lost its state once before: what its earlier incarnation asked for is late.
    let of = cluster_of(&cluster, "a");
    cluster.deliver(&join(of, "c", 77, 1));
    cluster.stabilize();
    assert_eq!(voters(&cluster, "a").len(), 3);
    // Once c answers no more it is removed, and then admitted as what asks.
    let without_c = |message: &Message| [message.from, message.to].contains(&id("c"));
    cluster.run(400 * MS, without_c);
    cluster.deliver(&join(of, "c", 77, 1));
    cluster.run(10 * MS, without_c);
    assert_eq!(voters(&cluster, "a"), ["a", "b"].map(id));
    cluster.deliver(&join(of, "c", 77, 1));
    assert!(cluster.raft("a").membership().get(&id("c")).unwrap().is_joining);
}

#[test]
fn a_member_that_left_comes_back_as_another_incarnation() {
    let mut cluster = led();
    cluster.input(id("c"), Input::Leave);
    let late = only(&mut cluster, "a", "leave");
    cluster.deliver(&late);
    cluster.run(300 * MS, nothing);
    assert_eq!(cluster.raft("c").standing(), Standing::Left);
    let kept = durable(&cluster, "c");
    cluster.add(config("c", 99), kept);
    cluster.run(WAIT, nothing);
    assert_eq!(voters(&cluster, "a").len(), 3);
    // What it asked for before it left is late, and is not for this one.
    cluster.deliver(&late);
    cluster.run(WAIT, nothing);
    assert_eq!(voters(&cluster, "a").len(), 3);
    assert_eq!(durable(&cluster, "c").incarnation.get(), 99);
    // Also if the host gives the same number again.
    cluster.input(id("c"), Input::Leave);
    cluster.run(300 * MS, nothing);
    let kept = durable(&cluster, "c");
    cluster.add(config("c", 99), kept);
    cluster.run(WAIT, nothing);
    assert_eq!(voters(&cluster, "a").len(), 3);
    assert_ne!(durable(&cluster, "c").incarnation.get(), 99);
}

#[test]
fn a_member_asks_every_leader_that_it_is_named() {
    let mut cluster = led();
    cluster.add_blank(config("d", 14));
    cluster.input(id("d"), Input::Known(id("b")));
    cluster.input(id("d"), Input::Known(id("c")));
    // c names one that does not lead any more, and always answers first.
    let of = cluster_of(&cluster, "a");
    for _ in 0..3 {
        let (known, may_found, wait) = (KnownIds::default(), true, 0);
        let leader = Some(id("z"));
        let body = Body::Here(Introduction { standing: Standing::Bound, may_found, wait, leader, known });
        let stale = Message { cluster: of, to_incarnation: Incarnation::UNKNOWN, ..from_c("d", 1, body) };
        cluster.deliver(&stale);
        cluster.run(100 * MS, |message| message.from == id("c"));
    }
    assert!(cluster.raft("a").membership().get(&id("d")).is_some());
}

#[test]
fn a_new_leader_waits_for_an_answer_before_an_old_request_removes_a_member() {
    let mut cluster = led();
    let without_c = |message: &Message| [message.from, message.to].contains(&id("c"));
    cluster.input(id("a"), Input::Transfer { request: 1, to: id("b") });
    cluster.run(2 * MS, without_c);
    assert_eq!(cluster.leaders(), [id("b")]);
    // c is slow, and has not answered yet.
    let of = cluster_of(&cluster, "b");
    let late = Message { to: id("b"), ..join(of, "c", 77, 1) };
    cluster.deliver(&late);
    cluster.run(200 * MS, nothing);
    assert_eq!(voters(&cluster, "b").len(), 3);
}

#[test]
fn a_hand_over_that_the_host_waits_for_is_answered_although_the_leader_leaves() {
    let mut cluster = led();
    // No quorum answers, so that the removal is refused, and b does not catch up.
    let alone = |message: &Message| [message.from, message.to].contains(&id("a"));
    cluster.run(MS, alone);
    propose(&mut cluster, "a", 1, None, "x");
    cluster.input(id("a"), Input::Leave);
    cluster.run(199 * MS, alone);
    cluster.input(id("a"), Input::Transfer { request: 2, to: id("b") });
    cluster.run(900 * MS, alone);
    assert!(answers(&cluster, "a").iter().any(|(request, _)| *request == 2), "{:?}", answers(&cluster, "a"));
}

#[test]
fn a_member_that_was_just_listed_is_not_removed_by_an_old_request() {
    let mut cluster = led();
    cluster.run(500 * MS, nothing);
    // d lost its state while it asked to be admitted: what it asked for before is late.
    let of = cluster_of(&cluster, "a");
    cluster.deliver(&join(of, "d", 78, 0));
    cluster.run(MS, nothing);
    cluster.deliver(&join(of, "d", 77, 0));
    cluster.run(MS, nothing);
    let listed = cluster.raft("a").membership().get(&id("d")).map(|member| member.profile.incarnation.get());
    assert_eq!(listed, Some(78));
}
