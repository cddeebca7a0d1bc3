//! How clusters are founded, by one member or by a list: each rule, step by step.

use elector::core::lease::DeposedReason;
use elector::core::raft::{
    Body, Change, ClusterId, Config, Durable, ElectionTiming, Event, Incarnation, Input, Introduction,
    KnownIds, Message, Output, Position, Profile, Raft, Refusal, Standing, StartRefused, Transition,
};

use crate::begin::{
    WAIT, between, blanks, cluster_of, config, durable, list, nothing, restart, standings, voters, witness,
};
use crate::cluster::Cluster;
use crate::drive::{MS, answers, id, only, pass, propose};

// ---- One founder ----

#[test]
fn a_member_that_knows_nobody_founds_a_cluster_alone() {
    let mut cluster = blanks(&["a"], &[]);
    cluster.run(799 * MS, nothing);
    assert_eq!(cluster.raft("a").standing(), Standing::Blank, "it waits for the maximum election time");
    cluster.run(201 * MS, nothing);
    assert_eq!(cluster.leaders(), [id("a")]);
    assert_eq!(cluster.raft("a").standing(), Standing::Founding);
    propose(&mut cluster, "a", 1, None, "x");
    assert_eq!(cluster.raft("a").standing(), Standing::Bound);
    assert_eq!(standings(&cluster, "a"), [Standing::Founding, Standing::Bound]);
    assert_eq!(durable(&cluster, "a"), cluster_durable(&cluster, "a"));
}

/// What a member would keep now: the same as what it keeps, once its writes are done.
fn cluster_durable(cluster: &Cluster, name: &str) -> Durable {
    let mut raft = cluster.raft(name).clone();
    // Any change of the term makes it write everything.
    let known = durable(cluster, name);
    raft.handle_input(cluster.now, Input::Timeout);
    assert!(!matches!(raft.poll_output(), Output::Persist { .. }), "all is written");
    known
}

#[test]
fn members_that_start_together_end_in_one_cluster_whoever_knows_whom() {
    let names = ["a", "b", "c", "d"];
    let graphs: [&[(&str, &str)]; 6] = [
        &[("a", "b"), ("b", "c"), ("c", "d")],
        &[("d", "c"), ("c", "b"), ("b", "a")],
        &[("b", "a"), ("c", "a"), ("d", "a")],
        &[("d", "a"), ("d", "b"), ("d", "c")],
        &[("a", "d"), ("b", "d"), ("c", "d")],
        &[("b", "a"), ("b", "d"), ("c", "d")],
    ];
    for knows in graphs {
        let mut cluster = blanks(&names, knows);
        cluster.run(4_000 * MS, nothing);
        assert_eq!(cluster.leaders(), [id("a")], "{knows:?}");
        for name in names {
            assert_eq!(voters(&cluster, name), names.map(id), "{knows:?}");
            assert_eq!(cluster_of(&cluster, name), cluster_of(&cluster, "a"));
            assert_eq!(cluster.raft(name).standing(), Standing::Bound);
        }
    }
}

#[test]
fn a_member_founds_only_once_all_that_it_knows_answered_that_they_are_blank() {
    // The smaller one is silent: it counts as absent after four times the wait, not before.
    let mut cluster = blanks(&["b"], &[("b", "a")]);
    cluster.run(4 * 800 * MS, nothing);
    assert_eq!(cluster.raft("b").standing(), Standing::Blank);
    cluster.run(4 * WAIT, nothing);
    assert_eq!(cluster.leaders(), [id("b")]);
    // When it comes, it joins.
    cluster.add_blank(config("a", 77));
    cluster.run(2 * WAIT, nothing);
    assert_eq!((cluster.leaders(), voters(&cluster, "a")), (vec![id("b")], vec![id("a"), id("b")]));
    // One whose wait is over leaves it to a smaller one whose wait is longer.
    let mut cluster = Cluster::new();
    let mut slow = config("a", 11);
    slow.timing = ElectionTiming::new(100 * MS, 200 * MS, 2_000 * MS).unwrap();
    cluster.add_blank(slow);
    cluster.add_blank(config("b", 12));
    cluster.input(id("b"), Input::Known(id("a")));
    cluster.run(1_900 * MS, nothing);
    assert_eq!(cluster.raft("b").standing(), Standing::Blank);
    cluster.run(WAIT, nothing);
    assert_eq!(cluster.leaders(), [id("a")]);
    // Larger ones that are silent are waited for as well.
    let mut cluster = blanks(&["a"], &[("a", "b")]);
    cluster.run(2 * WAIT, nothing);
    assert_eq!(cluster.raft("a").standing(), Standing::Blank);
    // And the wait begins anew whenever another id becomes known.
    let mut cluster = blanks(&["a", "b"], &[("a", "b")]);
    cluster.run(790 * MS, nothing);
    cluster.add_blank(config("c", 78));
    cluster.input(id("c"), Input::Known(id("a")));
    cluster.run(790 * MS, nothing);
    assert_eq!(cluster.raft("a").standing(), Standing::Blank);
    cluster.run(WAIT, nothing);
    assert_eq!(voters(&cluster, "a"), ["a", "b", "c"].map(id));
}

#[test]
fn a_late_answer_says_nothing_about_whom_a_founder_waits_for() {
    // a and c have founded alone. c answered a before it did, and that is late.
    let mut cluster = blanks(&["a", "c"], &[]);
    let answer = |cluster: &mut Cluster| {
        cluster.in_flight.clear();
        cluster.input(id("a"), Input::Known(id("c")));
        let seek = only(cluster, "c", "seek");
        let answer = cluster.deliver(&seek).into_iter().find(|sent| sent.body.name() == "here");
        cluster.in_flight.clear();
        answer.unwrap()
    };
    let late = answer(&mut cluster);
    cluster.input(id("a"), Input::Gone(id("c")));
    cluster.input(id("c"), Input::Gone(id("a")));
    cluster.run(WAIT, nothing);
    assert_eq!(cluster.leaders(), ["a", "c"].map(id));
    propose(&mut cluster, "c", 1, None, "y");
    // Now a is told of c again: only an answer to what it asks now counts.
    let fresh = answer(&mut cluster);
    cluster.deliver(&late);
    propose(&mut cluster, "a", 2, None, "x");
    assert_eq!(answers(&cluster, "a"), [(2, Err(Refusal::NotReady))]);
    cluster.deliver(&fresh);
    assert_eq!(cluster.raft("a").standing(), Standing::Blank, "c has accepted data");
}

#[test]
fn who_founds_no_cluster_is_not_waited_for() {
    let mut cluster = Cluster::new();
    cluster.add_blank(witness(config("a", 11)));
    cluster.add_blank(config("c", 13));
    cluster.input(id("c"), Input::Known(id("a")));
    cluster.run(2 * WAIT, nothing);
    assert_eq!(cluster.leaders(), [id("c")]);
    assert_eq!(voters(&cluster, "a"), [id("a"), id("c")]);
    // A witness that knows nobody founds nothing.
    let mut cluster = Cluster::new();
    cluster.add_blank(witness(config("a", 11)));
    cluster.run(9 * WAIT, nothing);
    assert_eq!(cluster.raft("a").standing(), Standing::Blank);
}

#[test]
fn a_blank_member_that_its_host_stopped_answers_nobody() {
    // By its answer b would found a cluster, and a would too when it starts again and hears nothing.
    let mut cluster = blanks(&["a", "b"], &[]);
    cluster.input(id("a"), Input::Leave);
    assert!(cluster.nodes[&id("a")].events.contains(&Event::Left));
    cluster.input(id("b"), Input::Known(id("a")));
    cluster.run(WAIT, nothing);
    restart(&mut cluster, config("a", 11));
    cluster.run(WAIT, |_| true);
    assert_eq!(cluster.leaders(), [id("a")]);
    assert_eq!(cluster.raft("b").standing(), Standing::Blank);
    cluster.run(2 * WAIT, nothing);
    assert_eq!((cluster.leaders(), voters(&cluster, "a")), (vec![id("a")], vec![id("a"), id("b")]));
}

#[test]
fn a_blank_member_joins_the_first_cluster_that_it_hears_of() {
    let mut cluster = blanks(&["a", "c"], &[]);
    cluster.run(WAIT, nothing);
    propose(&mut cluster, "a", 1, None, "x");
    propose(&mut cluster, "c", 2, None, "y");
    cluster.add_blank(config("b", 12));
    let here = |from: &str, wait: u64, cluster_id, standing| Message {
        cluster: cluster_id,
        from: id(from),
        from_incarnation: Incarnation::new(11).unwrap(),
        to: id("b"),
        to_incarnation: Incarnation::UNKNOWN,
        term: 1,
        body: Body::Here(Introduction {
            standing,
            may_found: true,
            wait,
            leader: None,
            known: KnownIds::default(),
        }),
    };
    let (first, second) = (cluster_of(&cluster, "a"), cluster_of(&cluster, "c"));
    // The answer to what b asked now, or to what it asked before.
    let mut late = 0;
    let mut hears = |from: &str, is_late: bool, cluster_id, standing| {
        cluster.now = cluster.now.saturating_add(100 * MS);
        let asked = cluster.input(id("b"), Input::Timeout).into_iter().find_map(|sent| match sent.body {
            Body::Seek(introduction) => Some(introduction.wait),
            _ => None,
        });
        let wait = if is_late { late } else { asked.unwrap_or_default() };
        late = asked.unwrap_or_default();
        cluster.deliver(&here(from, wait, cluster_id, standing));
        cluster.in_flight.clear();
        cluster.raft("b").heard()
    };
    assert_eq!(hears("a", false, first, Standing::Bound), Some((id("a"), first)));
    assert_eq!(hears("a", true, ClusterId::NONE, Standing::Blank), Some((id("a"), first)), "from before");
    assert_eq!(hears("c", false, second, Standing::Bound), Some((id("a"), first)), "another member's word");
    assert_eq!(hears("c", false, ClusterId::NONE, Standing::Blank), Some((id("a"), first)));
    assert_eq!(hears("a", false, second, Standing::Bound), Some((id("a"), second)), "it changed itself");
    assert_eq!(hears("a", true, first, Standing::Bound), Some((id("a"), second)), "from before");
    assert_eq!(hears("a", false, ClusterId::NONE, Standing::Blank), None);
    assert_eq!(hears("c", false, second, Standing::Left), Some((id("c"), second)));
    // What it heard is durable, and the host can give up on who said it.
    let kept = durable(&cluster, "b");
    cluster.add(config("b", 12), kept);
    assert_eq!(cluster.raft("b").heard(), Some((id("c"), second)));
    cluster.input(id("b"), Input::Gone(id("c")));
    assert_eq!(cluster.raft("b").heard(), None);
    assert!(!cluster.raft("b").known().contains(&id("c")));
}

#[test]
fn a_founder_without_standing_yields_and_its_tokens_grow() {
    // Both found alone, before they know each other.
    let mut cluster = blanks(&["a", "b"], &[]);
    cluster.run(WAIT, nothing);
    assert_eq!(cluster.leaders(), [id("a"), id("b")]);
    // b is elected in a later term than a ever was.
    for _ in 0..3 {
        restart(&mut cluster, config("b", 12));
        cluster.run(WAIT, nothing);
    }
    yields(cluster);
    // In the same term.
    let mut cluster = blanks(&["a", "b"], &[]);
    cluster.run(WAIT, nothing);
    assert_eq!(cluster.raft("a").term(), cluster.raft("b").term());
    yields(cluster);
}

/// b gives up the cluster that it leads, and joins that of a.
fn yields(mut cluster: Cluster) {
    let token = cluster.raft("b").leadership(cluster.now).token;
    cluster.input(id("b"), Input::Known(id("a")));
    cluster.stabilize();
    let events = &cluster.nodes[&id("b")].events;
    let is_deposed = |event: &Event| matches!(event, Event::Deposed { reason: DeposedReason::Lost, .. });
    assert_eq!(events.iter().filter(|event| is_deposed(event)).count(), 1);
    propose(&mut cluster, "b", 5, None, "lost");
    cluster.run(2 * WAIT, nothing);
    assert_eq!(cluster_of(&cluster, "b"), cluster_of(&cluster, "a"));
    assert_eq!(voters(&cluster, "b"), [id("a"), id("b")]);
    assert_eq!(cluster.leaders(), [id("a")]);
    assert!(cluster.raft("a").leadership(cluster.now).token > token, "tokens grow");
    let gained = standings(&cluster, "b");
    assert!(gained.ends_with(&[Standing::Blank, Standing::Bound]), "{gained:?}");
}

#[test]
fn a_founder_with_standing_yields_to_nobody_and_the_other_one_does() {
    let mut cluster = blanks(&["a", "b"], &[]);
    cluster.run(WAIT, nothing);
    // The larger one has accepted data.
    propose(&mut cluster, "b", 1, None, "kept");
    cluster.input(id("a"), Input::Known(id("b")));
    cluster.run(2 * WAIT, nothing);
    assert_eq!(cluster.leaders(), [id("b")]);
    assert_eq!(voters(&cluster, "a"), [id("a"), id("b")]);
    assert_eq!(&*cluster.raft("a").committed().data, b"kept");
    // Two that have accepted data refuse each other for ever, and say so once.
    let mut cluster = blanks(&["a", "b"], &[]);
    cluster.run(WAIT, nothing);
    propose(&mut cluster, "a", 1, None, "x");
    propose(&mut cluster, "b", 2, None, "y");
    cluster.input(id("a"), Input::Known(id("b")));
    cluster.run(9 * WAIT, nothing);
    assert_eq!(cluster.leaders(), [id("a"), id("b")]);
    let other = Event::OtherCluster { member: id("b"), cluster: cluster_of(&cluster, "b") };
    assert_eq!(cluster.nodes[&id("a")].events.iter().filter(|event| **event == other).count(), 1);
}

#[test]
fn a_founder_asks_everybody_known_before_it_accepts_data_or_a_member() {
    let mut cluster = blanks(&["a", "c"], &[]);
    cluster.run(WAIT, nothing);
    // c is a founder as well. The joining b knows it, and does not reach it.
    propose(&mut cluster, "c", 1, None, "y");
    cluster.add_blank(config("b", 12));
    cluster.input(id("b"), Input::Known(id("a")));
    cluster.input(id("b"), Input::Known(id("c")));
    cluster.run(200 * MS, between("b", "c"));
    // It asked, heard of the established cluster, and gave its own up.
    assert_eq!(standings(&cluster, "a"), [Standing::Founding, Standing::Blank, Standing::Bound]);
    cluster.run(2 * WAIT, between("b", "c"));
    assert_eq!(cluster.leaders(), [id("c")]);
    // Data is refused until all known ones have answered.
    let mut cluster = blanks(&["a"], &[]);
    cluster.run(WAIT, nothing);
    cluster.input(id("a"), Input::Known(id("z")));
    propose(&mut cluster, "a", 1, None, "x");
    cluster.input(
        id("a"),
        Input::ChangeMembership {
            request: 2,
            changes: vec![Change::Learner(Profile::new(id("q")))],
            transition: Transition::Auto,
        },
    );
    let not_ready = Err(Refusal::NotReady);
    assert_eq!(answers(&cluster, "a"), [(1, not_ready), (2, not_ready)]);
    // The known ids outlast a restart.
    restart(&mut cluster, config("a", 11));
    assert!(cluster.raft("a").known().contains(&id("z")));
    cluster.run(2 * WAIT, nothing);
    propose(&mut cluster, "a", 3, None, "x");
    assert_eq!(answers(&cluster, "a").last(), Some(&(3, not_ready)));
    cluster.run(3 * WAIT, nothing);
    propose(&mut cluster, "a", 4, None, "x");
    assert!(matches!(answers(&cluster, "a").last(), Some((4, Ok(_)))), "z is absent");
}

#[test]
fn a_newcomer_enters_while_proposals_come_without_a_pause() {
    let mut cluster = blanks(&["a"], &[]);
    cluster.run(WAIT, nothing);
    cluster.add_blank(config("b", 12));
    cluster.input(id("b"), Input::Known(id("a")));
    for request in 0..400 {
        propose(&mut cluster, "a", request, None, "x");
        propose(&mut cluster, "a", request, None, "y");
        cluster.run(MS / 2, nothing);
    }
    assert_eq!(voters(&cluster, "b"), [id("a"), id("b")]);
}

// ---- Founding list ----

fn listed(name: &str, number: u64, names: &[&str]) -> Config {
    let mut config = config(name, number);
    config.founding = Some(list(names));
    config
}

/// Members that start with one founding list.
fn by_list(names: &[&str], seed: u64) -> Cluster {
    let mut cluster = Cluster::new();
    for (number, name) in names.iter().enumerate() {
        let number = number as u64 + seed;
        cluster.add_blank(listed(name, number, names));
    }
    cluster
}

#[test]
fn the_members_of_a_founding_list_begin_a_cluster_together() {
    let mut cluster = by_list(&["a", "b", "c"], 11);
    cluster.run(2 * WAIT, nothing);
    let [leader] = cluster.leaders()[..] else { panic!("{:?}", cluster.leaders()) };
    let first = cluster_of(&cluster, &leader);
    assert!(!first.is_open());
    for (number, name) in ["a", "b", "c"].into_iter().enumerate() {
        assert_eq!((cluster.raft(name).standing(), cluster_of(&cluster, name)), (Standing::Bound, first));
        let own = cluster.raft(&leader).membership().get(&id(name)).unwrap().clone();
        assert_eq!(own.profile.incarnation.get(), number as u64 + 11, "learned from its answers");
    }
    // The same list begins another cluster the next time.
    let mut again = by_list(&["a", "b", "c"], 31);
    again.run(2 * WAIT, nothing);
    let second = cluster_of(&again, "a");
    assert_eq!(first.0[..8], second.0[..8]);
    assert_ne!(first, second);
}

#[test]
fn a_quorum_of_a_founding_list_is_enough_and_less_is_not() {
    let cut = |message: &Message| [message.from, message.to].contains(&id("c"));
    let mut cluster = by_list(&["a", "b", "c"], 11);
    cluster.run(3 * WAIT, cut);
    assert_eq!(cluster.leaders().len(), 1);
    assert_eq!(cluster.raft("c").standing(), Standing::Founding);
    assert!(cluster.raft("c").committed().cluster.is_open(), "one of three begins nothing");
    // It takes part once it is heard.
    cluster.run(2 * WAIT, nothing);
    assert_eq!(cluster.raft("c").standing(), Standing::Bound);
    assert_eq!(cluster.leaders().len(), 1);
}

#[test]
fn a_founding_list_must_name_the_member_and_stay_the_same() {
    let now = Cluster::new().now;
    let refused = |config| Raft::new(config, now).map(drop);
    assert_eq!(refused(listed("z", 9, &["a", "b"])), Err(StartRefused::NotInFoundingList));
    assert_eq!(refused(witness(listed("a", 9, &["a", "b"]))), Err(StartRefused::NotInFoundingList));
    let mut long = config("a", 9);
    long.address = "x".repeat(256).into();
    assert_eq!(refused(long), Err(StartRefused::AddressTooLong(256)));
    assert_eq!(
        StartRefused::AddressTooLong(256).to_string(),
        "the member's address has 256 bytes; at most 255 are allowed"
    );
    assert_eq!(
        StartRefused::NotInFoundingList.to_string(),
        "the founding list does not name this member, or as a witness where its settings say that it is \
         none, or the other way round; give all members the same list, with all of them in it"
    );
    assert_eq!(
        StartRefused::OtherFoundingList.to_string(),
        "the member already takes part in a founding with another list, whose cluster may exist; start it \
         with the list that it had, and change the members afterwards"
    );
    // Before it has a record the list may be mended, afterwards not.
    let mut cluster = by_list(&["a", "b", "c"], 11);
    let kept = durable(&cluster, "a");
    assert!(Raft::restore(listed("a", 11, &["a", "b"]), kept, now).is_ok());
    let is_append = |message: &Message| message.body.name() == "append_answer";
    cluster.run(2 * WAIT, is_append);
    let follower = ["a", "b", "c"].into_iter().find(|name| {
        let raft = cluster.raft(name);
        raft.standing() == Standing::Founding && raft.last().position.index > 0
    });
    let kept = durable(&cluster, follower.unwrap());
    let other = listed(follower.unwrap(), 11, &["a", "b", "c", "d"]);
    assert_eq!(Raft::restore(other, kept, now).map(drop), Err(StartRefused::OtherFoundingList));
}

#[test]
fn a_voter_that_lost_its_state_is_admitted_anew_and_its_old_votes_do_not_count() {
    for names in [&["a", "b", "c"][..], &["a", "b", "c", "d", "e"]] {
        let mut cluster = by_list(names, 11);
        cluster.run(2 * WAIT, nothing);
        let leader = cluster.leaders()[0];
        propose(&mut cluster, &leader, 1, None, "x");
        cluster.run(WAIT, nothing);
        let of = cluster_of(&cluster, "a");
        // c comes back with nothing, and with the list that it had.
        cluster.add_blank(listed("c", 99, names));
        assert!(cluster.raft("c").committed().cluster.is_open());
        cluster.run(3 * WAIT, nothing);
        assert_eq!((cluster.raft("c").standing(), cluster_of(&cluster, "c")), (Standing::Bound, of));
        let leader = cluster.leaders()[0];
        let listed = cluster.raft(&leader).membership().get(&id("c")).unwrap();
        assert!(listed.is_voter);
        assert_eq!(listed.profile.incarnation.get(), 99);
        assert_eq!(&*cluster.raft("c").committed().data, b"x");
    }
}

#[test]
fn a_member_that_lost_its_state_is_found_by_those_that_count_on_it() {
    // b comes back with nothing. The only member that it knows is down, and the others do not ask members.
    for of_list in [true, false] {
        let mut cluster = if of_list { by_list(&["a", "b"], 11) } else { blanks(&["a", "b"], &[("b", "a")]) };
        cluster.run(2 * WAIT, nothing);
        for (number, name) in [(21, "c"), (22, "d"), (23, "e")] {
            cluster.add_blank(config(name, number));
            cluster.input(id(name), Input::Known(id("a")));
            cluster.run(2 * WAIT, nothing);
        }
        let leader = cluster.leaders()[0];
        propose(&mut cluster, &leader, 1, None, "x");
        cluster.run(WAIT, nothing);
        let is_down = |message: &Message| [message.from, message.to].contains(&id("a"));
        cluster.run(2 * WAIT, is_down);
        cluster.add_blank(if of_list { listed("b", 99, &["a", "b"]) } else { config("b", 99) });
        cluster.input(id("b"), Input::Known(id("a")));
        cluster.run(4 * WAIT, is_down);
        assert_eq!(voters(&cluster, "b"), ["a", "b", "c", "d", "e"].map(id), "of a list: {of_list}");
        assert_eq!(&*cluster.raft("b").committed().data, b"x");
    }
}

#[test]
fn members_that_forgot_do_not_begin_a_list_anew_while_they_hear_of_its_cluster() {
    let names = ["a", "b", "c"];
    let mut cluster = by_list(&names, 11);
    cluster.run(2 * WAIT, nothing);
    let leader = cluster.leaders()[0];
    propose(&mut cluster, &leader, 1, None, "x");
    cluster.run(WAIT, nothing);
    // Nobody hears anybody for a while: no leader is left.
    cluster.run(2 * WAIT, |_| true);
    // Two of three forget: more than what is promised. The third one still says that there is a cluster.
    cluster.add_blank(listed("b", 98, &names));
    cluster.add_blank(listed("c", 99, &names));
    cluster.run(20 * WAIT, nothing);
    assert!(cluster.leaders().is_empty(), "no quorum is left, and no second cluster begins");
    for name in ["b", "c"] {
        assert_eq!(cluster.raft(name).vote(), None, "nobody stands without the record of the cluster");
    }
    assert_eq!(cluster.raft("b").standing(), Standing::Founding);
    assert_eq!(cluster.raft("b").heard().map(|(by, _)| by), Some(id("a")));
}

#[test]
fn a_record_that_began_the_list_elsewhere_is_not_kept() {
    let names = ["a", "b", "c"];
    let mut cluster = by_list(&names, 11);
    let mut other = by_list(&names, 31);
    for cluster in [&mut cluster, &mut other] {
        cluster.run(2 * WAIT, nothing);
    }
    // c hears of the one cluster, and a late leader of the other one sends it the first record of that one.
    cluster.add_blank(listed("c", 99, &names));
    cluster.in_flight.clear();
    let (of, foreign) = (cluster_of(&cluster, "a"), other.raft("a").committed().clone());
    let key = cluster_of(&cluster, "c");
    let to_c = |from: &str, cluster, body| Message {
        cluster,
        from: id(from),
        from_incarnation: Incarnation::new(11).unwrap(),
        to: id("c"),
        to_incarnation: Incarnation::UNKNOWN,
        term: foreign.position.term,
        body,
    };
    let (known, leader, may_found, wait) = (KnownIds::default(), None, true, 0);
    let here = Body::Here(Introduction { standing: Standing::Bound, may_found, wait, leader, known });
    cluster.deliver(&to_c("a", of, here));
    let last = foreign.position;
    let append = |record| Body::Append { last, record, committed: Position::ZERO, round: 1, hold_ms: 200 };
    cluster.deliver(&to_c("b", key, append(Some(foreign.clone()))));
    assert_eq!(cluster.raft("c").last().position, Position::ZERO);
    assert_eq!(cluster.raft("c").refused().cluster, 1);
    // Nor does it take that record as a witness's offer.
    cluster.now = cluster.now.saturating_add(WAIT);
    cluster.input(id("c"), Input::Campaign);
    let offer = Body::PreVoteAnswer { granted: false, offer: Some(foreign.clone()) };
    cluster.deliver(&to_c("b", key, offer));
    assert_eq!(cluster.raft("c").last().position, Position::ZERO);
    assert_eq!(cluster.raft("c").refused().cluster, 2);
}

#[test]
fn a_founder_tells_nobody_of_its_cluster_before_that_is_durable() {
    let mut cluster = blanks(&["a", "b"], &[("a", "b")]);
    cluster.run(700 * MS, nothing);
    cluster.nodes.get_mut(&id("a")).unwrap().keeps_writes = true;
    cluster.run(600 * MS, nothing);
    assert_eq!(cluster.raft("a").standing(), Standing::Founding);
    assert_eq!(cluster.raft("b").heard(), None, "it would wait for a cluster that a crash may undo");
    cluster.persisted(id("a"));
    cluster.stabilize();
    assert_eq!(cluster.raft("b").heard().map(|(by, _)| by), Some(id("a")));
}

#[test]
fn a_vote_outlasts_a_founding_list_that_was_changed_and_changed_back() {
    let names = ["a", "b", "c"];
    let mut cluster = by_list(&names, 11);
    cluster.run(WAIT, |_| true);
    // a votes for b, and starts with another list, and then with the first one again.
    cluster.in_flight.clear();
    cluster.input(id("b"), Input::Campaign);
    let asks = only(&mut cluster, "a", "pre_vote");
    cluster.deliver(&asks);
    pass(&mut cluster, "b", "pre_vote_answer");
    pass(&mut cluster, "a", "vote");
    let (term, vote) = (cluster.raft("a").term(), cluster.raft("a").vote());
    assert_eq!(vote, Some(id("b")));
    for list in [&["a", "b"][..], &names] {
        restart(&mut cluster, listed("a", 11, list));
        assert_eq!((cluster.raft("a").term(), cluster.raft("a").vote()), (term, vote));
    }
}
