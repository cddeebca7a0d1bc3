//! How the members of a founding list begin a cluster, and what becomes of those that lost their state: each
//! rule, step by step.

use elector::core::raft::{
    Body, Config, Incarnation, Input, Introduction, KnownIds, Message, Position, Raft, Standing, StartRefused,
};

use crate::begin::{WAIT, blanks, cluster_of, config, durable, list, nothing, restart, voters, witness};
use crate::cluster::Cluster;
use crate::drive::{id, only, pass, propose};

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
