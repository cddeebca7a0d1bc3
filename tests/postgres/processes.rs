//! Candidates that are killed, stopped, or release.

use std::time::Duration;

use crate::watch::{SLACK, watch};
use elector_kit::cluster::{Release, fresh_database, shared_pid};
use elector_kit::field::{Field, LEASE, STEADY};

elector_kit::on_each_release! {
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
        let old = field.leader();
        field.pass(Duration::from_millis(300));
        let witness = watch(&field, shared_pid(release));
        let killed = field.kill(old.candidate);
        let new = field.leader_after(old.token);
        let took = new.since.saturating_since(killed);
        println!("followed after {took:?}");
        witness.at_most(took, LEASE + SLACK, "the fail-over");
        field.add();
    }
    field.assert_no_complaint();
    // A busy machine may cost one of the short leases; `a_fallen_majority_does_not_matter` counts exactly.
    assert!(field.judge() >= 5);
}

fn a_stopped_leader_is_followed_and_knows_it_when_it_goes_on(release: Release) {
    let mut field = Field::with_lease(&fresh_database(release), 3, STEADY);
    for _ in 0..2 {
        let old = field.leader();
        field.pass(Duration::from_millis(200));
        let witness = watch(&field, shared_pid(release));
        let stopped = field.stop(old.candidate);
        let new = field.leader_after(old.token);
        let took = new.since.saturating_since(stopped);
        println!("followed after {took:?}");
        witness.at_most(took, STEADY + SLACK, "the fail-over");
        // Whatever it had sent, was about to send, or was about to answer, it now does.
        field.go_on(old.candidate);
        field.end_of(old.token);
        field.pass(Duration::from_millis(500));
        assert_eq!(field.leader(), new, "the new term goes on");
    }
    field.judge();
}

fn a_short_stop_costs_no_term(release: Release) {
    let mut field = Field::with_lease(&fresh_database(release), 2, STEADY);
    let leader = field.leader();
    // For longer than a lease, which nothing else would end.
    for _ in 0..5 {
        field.stop(leader.candidate);
        field.pass(STEADY / 10);
        field.go_on(leader.candidate);
        field.pass(STEADY / 5);
    }
    assert_eq!(field.leader(), leader);
    assert_eq!(field.judge(), 1);
}

/// By looking alone a release would be found after a third of the lease. How soon it is heard, the bench
/// measures.
fn a_release_is_heard_long_before_the_lease_would_end(release: Release) {
    let lease = Duration::from_secs(300);
    let mut field = Field::with_lease(&fresh_database(release), 3, lease);
    let mut old = field.leader();
    for _ in 0..6 {
        field.pass(Duration::from_millis(100));
        field.say(old.candidate, "release");
        field.end_of(old.token);
        let new = field.leader_after(old.token);
        field.say(old.candidate, "campaign");
        old = new;
    }
    field.assert_no_complaint();
    field.judge();
}

fn ten_processes_that_start_at_once_make_one_table_and_one_leader(release: Release) {
    let url = fresh_database(release);
    let mut field = Field::with_lease(&url, 10, STEADY);
    let leader = field.leader();
    field.pass(Duration::from_secs(2));
    assert_eq!(field.leader(), leader);
    field.assert_no_complaint();
    assert_eq!(elector_kit::session::Session::open(&url).number("SELECT count(*) FROM leader_lease"), 1);
    assert_eq!(field.judge(), 1);
}

fn a_fallen_majority_does_not_matter(release: Release) {
    let mut field = Field::with_lease(&fresh_database(release), 5, STEADY);
    let leader = field.leader();
    for candidate in (0..5).filter(|&candidate| candidate != leader.candidate).take(3) {
        field.kill(candidate);
    }
    field.pass(2 * STEADY);
    assert_eq!(field.leader(), leader, "candidates are no quorum; the database decides");
    let witness = watch(&field, shared_pid(release));
    let killed = field.kill(leader.candidate);
    let new = field.leader_after(leader.token);
    witness.at_most(new.since.saturating_since(killed), STEADY + SLACK, "the fail-over");
    assert_eq!(field.judge(), 2);
}
