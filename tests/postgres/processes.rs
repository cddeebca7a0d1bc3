//! Candidates that are killed, stopped, or give up.

use std::time::Duration;

use crate::cluster::{Release, fresh_database};
use crate::field::{Field, LEASE, SLACK, STEADY};

const SOON: Duration = Duration::from_secs(10);

crate::on_each_release! {
    a_killed_leader_is_followed_once_its_lease_has_ended
    a_stopped_leader_is_followed_and_knows_it_when_it_goes_on
    a_short_stop_costs_no_term
    a_release_is_heard_long_before_the_lease_would_end
    ten_processes_that_start_at_once_make_one_table_and_one_leader
    a_fallen_majority_does_not_matter
}

fn a_killed_leader_is_followed_once_its_lease_has_ended(release: Release) {
    let mut field = Field::start(&fresh_database(release), 3);
    for _ in 0..4 {
        let old = field.leader(SOON);
        field.pass(Duration::from_millis(300));
        let killed = field.kill(old.candidate);
        let new = field.leader_after(Some(old.token), SOON);
        let took = new.since.saturating_since(killed);
        assert!(took <= LEASE + SLACK, "{took:?}");
        field.add();
    }
    assert_eq!(field.errors, [""; 0]);
    assert_eq!(field.judge(), 5);
}

fn a_stopped_leader_is_followed_and_knows_it_when_it_goes_on(release: Release) {
    let mut field = Field::start(&fresh_database(release), 3);
    for _ in 0..2 {
        let old = field.leader(SOON);
        field.pass(Duration::from_millis(200));
        let stopped = field.stop(old.candidate);
        let new = field.leader_after(Some(old.token), SOON);
        let took = new.since.saturating_since(stopped);
        assert!(took <= LEASE + SLACK, "{took:?}");
        // Whatever it had sent, was about to send, or was about to answer, it now does.
        field.go_on(old.candidate);
        field.end_of(old.token, SOON);
        field.pass(Duration::from_millis(500));
        assert_eq!(field.leader(SOON), new, "the new term goes on");
    }
    field.judge();
}

fn a_short_stop_costs_no_term(release: Release) {
    let mut field = Field::with_lease(&fresh_database(release), 2, STEADY);
    let leader = field.leader(SOON);
    for _ in 0..5 {
        field.stop(leader.candidate);
        field.pass(LEASE / 4);
        field.go_on(leader.candidate);
        field.pass(LEASE / 2);
    }
    assert_eq!(field.leader(SOON), leader);
    assert_eq!(field.judge(), 1);
}

fn a_release_is_heard_long_before_the_lease_would_end(release: Release) {
    let lease = Duration::from_secs(20);
    let mut field = Field::with_lease(&fresh_database(release), 3, lease);
    let mut old = field.leader(SOON);
    for _ in 0..6 {
        field.pass(Duration::from_millis(100));
        field.say(old.candidate, "release");
        let ended = field.end_of(old.token, SOON);
        let new = field.leader_after(Some(old.token), SOON);
        let took = new.since.saturating_since(ended);
        // By looking alone it would take more than 6 s. How quick it is, the bench measures.
        assert!(took < Duration::from_secs(3), "{took:?}");
        field.say(old.candidate, "campaign");
        old = new;
    }
    assert_eq!(field.errors, [""; 0]);
    field.judge();
}

fn ten_processes_that_start_at_once_make_one_table_and_one_leader(release: Release) {
    let url = fresh_database(release);
    let mut field = Field::with_lease(&url, 10, Duration::from_secs(10));
    let leader = field.leader(SOON);
    field.pass(Duration::from_secs(2));
    assert_eq!(field.leader(SOON), leader);
    assert_eq!(field.errors, [""; 0]);
    assert_eq!(crate::session::Session::open(&url).number("SELECT count(*) FROM leader_lease"), 1);
    // The nine others take over from one another, each once, as they end.
    field.judge();
}

fn a_fallen_majority_does_not_matter(release: Release) {
    let mut field = Field::with_lease(&fresh_database(release), 5, STEADY);
    let leader = field.leader(SOON);
    for candidate in (0..5).filter(|&candidate| candidate != leader.candidate).take(3) {
        field.kill(candidate);
    }
    field.pass(2 * STEADY);
    assert_eq!(field.leader(SOON), leader, "candidates are no quorum; the database decides");
    let killed = field.kill(leader.candidate);
    let new = field.leader_after(Some(leader.token), SOON);
    assert!(new.since.saturating_since(killed) <= STEADY + SLACK);
    field.judge();
}
