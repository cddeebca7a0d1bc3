//! Messages that come late, and members that come and go meanwhile: each schedule, step by step.

use elector::core::Instant;
use elector::core::raft::{
    Body, Change, Config, Event, Incarnation, Input, Introduction, KnownIds, Message, Profile, Standing,
    Transition,
};

use crate::begin::{WAIT, between, blanks, cluster_of, config, join, nothing, restart, standings, voters};
use crate::cluster::{Cluster, INCARNATION};
use crate::drive::{MS, id, led, only, propose};

/// Messages from and to these members are lost.
fn without(names: &'static [&'static str]) -> impl Fn(&Message) -> bool {
    move |message| names.iter().any(|name| [message.from, message.to].contains(&id(name)))
}

fn again(name: &str) -> Config {
    Config::new(id(name), INCARNATION, 7)
}

fn change(cluster: &mut Cluster, to: &str, change: Change) {
    let changes = vec![change];
    cluster.input(id(to), Input::ChangeMembership { request: 9, changes, transition: Transition::Auto });
}

#[test]
fn a_founder_that_starts_with_another_address_asks_before_it_is_established() {
    let mut cluster = blanks(&["a", "b"], &[]);
    cluster.run(WAIT, nothing);
    // Both found alone. They start again with other addresses, learn of each other, and are apart at first.
    for (name, number) in [("a", 11), ("b", 12)] {
        let mut settings = config(name, number);
        settings.address = "elsewhere".into();
        restart(&mut cluster, settings);
    }
    cluster.input(id("a"), Input::Known(id("b")));
    cluster.input(id("b"), Input::Known(id("a")));
    cluster.run(WAIT, between("a", "b"));
    assert_eq!(cluster.raft("a").standing(), Standing::Founding);
    cluster.run(3 * WAIT, nothing);
    assert_eq!(cluster_of(&cluster, "a"), cluster_of(&cluster, "b"));
    for member in cluster.raft("b").committed().membership.members() {
        assert_eq!(&*member.profile.address, "elsewhere");
    }
    assert_eq!((cluster.leaders(), voters(&cluster, "a")), (vec![id("a")], vec![id("a"), id("b")]));
}

#[test]
fn a_member_that_leaves_and_lost_its_cluster_finds_it_by_those_that_left() {
    let mut cluster = led();
    // c hears nothing of d, and of the departure of all that it knows.
    cluster.add_blank(config("d", 14));
    let d = Profile { incarnation: Incarnation::new(14).unwrap(), ..Profile::new(id("d")) };
    change(&mut cluster, "a", Change::Join(d));
    cluster.run(2 * WAIT, without(&["c"]));
    for name in ["a", "b"] {
        cluster.input(id(name), Input::Leave);
        cluster.run(WAIT, without(&["c"]));
    }
    change(&mut cluster, "d", Change::Remove(id("c")));
    cluster.run(WAIT, without(&["c"]));
    assert_eq!((cluster.leaders(), voters(&cluster, "d")), (vec![id("d")], vec![id("d")]));
    cluster.input(id("c"), Input::Leave);
    cluster.run(4 * WAIT, nothing);
    assert_eq!(cluster.raft("c").standing(), Standing::Left);
    assert!(cluster.nodes[&id("c")].events.contains(&Event::Left));
}

#[test]
fn a_member_that_leaves_while_it_is_listed_anew_says_that_it_left_if_it_is_not() {
    let mut cluster = led();
    change(&mut cluster, "a", Change::Remove(id("c")));
    cluster.run(WAIT, nothing);
    restart(&mut cluster, again("c"));
    cluster.in_flight.clear();
    // a lists it again in a record that only c keeps, and is gone.
    cluster.nodes.get_mut(&id("a")).unwrap().keeps_writes = true;
    let asks = join(cluster_of(&cluster, "a"), "c", INCARNATION.get(), 0);
    cluster.deliver(&asks);
    let record = only(&mut cluster, "c", "append");
    cluster.deliver(&record);
    cluster.in_flight.clear();
    assert!(cluster.raft("c").membership().get(&id("c")).is_some());
    cluster.input(id("c"), Input::Leave);
    cluster.run(2 * WAIT, without(&["a"]));
    // a and b go on without c.
    restart(&mut cluster, again("a"));
    cluster.run(3 * WAIT, nothing);
    assert_eq!(voters(&cluster, "b"), [id("a"), id("b")]);
    assert_eq!(cluster.raft("c").standing(), Standing::Left);
    assert!(cluster.nodes[&id("c")].events.contains(&Event::Left), "the host waits for that");
}

#[test]
fn a_blank_member_that_was_suspended_asks_anew_before_it_counts_others_as_silent() {
    let mut cluster = blanks(&["a", "b"], &[("a", "b")]);
    cluster.run(300 * MS, nothing);
    // a is suspended. b counts it as absent, and begins a cluster.
    cluster.nodes.get_mut(&id("a")).unwrap().due = cluster.now.saturating_add(6 * WAIT);
    cluster.run(6 * WAIT - MS, without(&["a"]));
    propose(&mut cluster, "b", 1, None, "kept");
    assert_eq!(cluster.raft("b").standing(), Standing::Bound);
    cluster.now = cluster.now.saturating_add(10 * MS);
    cluster.input(id("a"), Input::Timeout);
    propose(&mut cluster, "a", 2, None, "lost");
    assert_eq!(standings(&cluster, "a"), [], "nobody was asked");
    cluster.run(WAIT, nothing);
    assert_eq!(cluster_of(&cluster, "a"), cluster_of(&cluster, "b"));
}

#[test]
fn a_member_that_is_admitted_with_an_address_of_before_its_start_is_listed_with_the_new_one() {
    let mut cluster = blanks(&["a"], &[]);
    cluster.run(WAIT, nothing);
    let named = |address: &str| {
        let mut settings = config("b", 12);
        settings.address = address.into();
        settings
    };
    cluster.add_blank(named("old"));
    cluster.input(id("b"), Input::Known(id("a")));
    let to_b = |message: &Message| message.to == id("b") && message.body.name() == "append";
    cluster.run(200 * MS, to_b);
    assert_eq!(&*cluster.raft("a").membership().get(&id("b")).unwrap().profile.address, "old");
    // It is admitted, starts again elsewhere, and enters before it has asked once more.
    restart(&mut cluster, named("new"));
    cluster.run(200 * MS, |message| message.body.name() == "join");
    assert_eq!(cluster.raft("b").standing(), Standing::Bound);
    cluster.run(2 * WAIT, nothing);
    assert_eq!(&*cluster.raft("a").membership().get(&id("b")).unwrap().profile.address, "new");
}

/// A cluster that a leads, with data, and d, which an operator starts, and adds at a.
fn added_by_an_operator(restarts: usize, wait: std::time::Duration) -> Cluster {
    let mut cluster = led();
    propose(&mut cluster, "a", 1, None, "x");
    cluster.add_blank(config("d", 14));
    for _ in 0..restarts {
        cluster.run(WAIT, nothing);
        restart(&mut cluster, config("d", 14));
    }
    cluster.run(wait, nothing);
    change(&mut cluster, "a", Change::Voter(Profile::new(id("d"))));
    cluster
}

#[test]
fn a_member_that_an_operator_adds_after_it_founded_alone_yields_and_enters() {
    let mut cluster = added_by_an_operator(0, 2 * WAIT);
    cluster.run(2 * WAIT, nothing);
    assert_eq!(voters(&cluster, "d"), ["a", "b", "c", "d"].map(id));
    assert_eq!(cluster.leaders(), [id("a")]);
    // Its term is above that of the cluster.
    let mut cluster = added_by_an_operator(3, 2 * WAIT);
    cluster.run(3 * WAIT, nothing);
    assert_eq!(voters(&cluster, "d"), ["a", "b", "c", "d"].map(id));
}

#[test]
fn an_answer_to_a_question_of_an_earlier_life_says_nothing() {
    // The clock of a process may begin at zero.
    let life = |seed: u64| {
        let mut cluster = Cluster::new();
        cluster.now = Instant::ZERO;
        let mut settings = config("a", 11);
        settings.seed = seed;
        cluster.add_blank(settings);
        cluster.input(id("a"), Input::Known(id("b")));
        cluster
    };
    let mut earlier = life(1);
    let seek = only(&mut earlier, "b", "seek");
    let Body::Seek(asked) = seek.body.clone() else { panic!("{seek:?}") };
    let answer = Message {
        from: seek.to,
        from_incarnation: Incarnation::new(12).unwrap(),
        to: seek.from,
        to_incarnation: seek.from_incarnation,
        body: Body::Here(Introduction { known: KnownIds::default(), ..asked }),
        ..seek
    };
    for (seed, founds) in [(1, true), (2, false)] {
        let mut later = life(seed);
        later.deliver(&answer);
        later.run(2 * WAIT, nothing);
        assert_eq!(later.leaders() == [id("a")], founds, "seed {seed}");
    }
}

#[test]
fn an_address_that_was_listed_in_a_record_that_is_lost_is_listed_again() {
    let mut cluster = Cluster::of(&["a", "b", "c", "d", "e"]);
    cluster.elect("a");
    let mut settings = again("c");
    settings.address = "new".into();
    restart(&mut cluster, settings);
    // The record that lists it reaches c alone, and a is gone. The others elect one of them.
    cluster.run(150 * MS, without(&["b", "d", "e"]));
    let address = |cluster: &Cluster, of: &str| {
        cluster.raft(of).membership().get(&id("c")).unwrap().profile.address.to_string()
    };
    assert_eq!(address(&cluster, "c"), "new");
    cluster.run(3 * WAIT, without(&["a", "c"]));
    assert_eq!(address(&cluster, &cluster.leaders()[0]), "");
    cluster.run(2 * WAIT, without(&["a"]));
    assert_eq!(address(&cluster, "b"), "new");
}
