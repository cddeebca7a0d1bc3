//! How one member founds a cluster, each rule, step by step; in `list`, how those of a founding list do.

mod list;

use elector::core::lease::DeposedReason;
use elector::core::raft::{
    Body, Change, ClusterId, Durable, ElectionTiming, Event, Incarnation, Input, Introduction, KnownIds,
    Message, Output, Profile, Refusal, Standing, Transition,
};

use crate::begin::{
    WAIT, between, blanks, cluster_of, config, durable, nothing, restart, standings, voters, witness,
};
use crate::cluster::Cluster;
use crate::drive::{MS, answers, id, only, propose};

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
