//! How soon the command ends: at once, after the grace, or before trust ends.
//!
//! Trust lasts `0.99 · lease − margin` from the *sending* of a renewal, and nothing is sent by a process that
//! was stopped or killed before.

mod random;

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::beats::Manner;
use crate::displaced::Displaced;
use crate::faults::{self, Ending};
use crate::hangs;
use crate::place::{Candidate, GRACE, LONG, Place, elector};

/// A short lease, whose trust ends as much before it as such a test may have to wait for a processor.
const SHORT: &[&str] = &["--lease-ms=3000", "--margin-ms=1000", "--grace-ms=300"];
const LEASE: Duration = Duration::from_millis(3_000);
const TRUST: Duration = Duration::from_millis(2_970 - 1_000);
/// For what happens at once.
const AT_ONCE: Duration = Duration::from_millis(200);

impl Place {
    #[track_caller]
    fn at_most(&self, took: Duration, bound: Duration, what: &str) {
        self.witness.as_ref().expect("a witness").at_most(took, bound, what);
    }

    /// The command ignores SIGTERM: it runs until the grace is over, and not much longer.
    #[track_caller]
    fn after_the_grace(&self, ending: &Ending) {
        self.at_most(ending.took(), GRACE + AT_ONCE, "the end of the command");
        let silent = GRACE.saturating_sub(ending.took());
        self.at_most(silent, GRACE / 2, "the time of the grace without a beat");
    }
}

/// A leader, which does not stand again, and a candidate beside it.
fn two(place: &Place, manner: Manner) -> (Candidate, Candidate) {
    let old = place.run("a", manner, &["--once"]);
    old.wait_for_beats(0);
    (old, place.run("b", Manner::Plain, &[]))
}

#[test]
fn the_command_ends_at_once_when_run_is_killed() {
    let place = Place::witnessed(LONG);
    let (old, new) = two(&place, Manner::Plain);
    let ending = faults::kill_run(&place, &old, &new);
    place.at_most(ending.took(), AT_ONCE, "the end of the command");
}

#[test]
fn a_killed_run_frees_its_sqlite_lease_right_after_the_grace() {
    let place = Place::witnessed(LONG);
    let (old, new) = two(&place, Manner::IgnoresTerm);
    let ending = faults::kill_run(&place, &old, &new);
    place.after_the_grace(&ending);
    let next = ending.next.at.saturating_since(ending.last);
    place.at_most(next, Duration::from_secs(1), "the start of the next command");
}

#[test]
fn a_daemon_ends_right_after_the_grace_when_run_is_killed() {
    let place = Place::witnessed(LONG);
    let old = place.run_daemon("a");
    old.wait_for_beats(0);
    let ending = faults::kill_run(&place, &old, &place.run("b", Manner::Plain, &[]));
    place.after_the_grace(&ending);
}

#[test]
fn the_command_ends_before_trust_while_run_is_stopped() {
    let place = Place::witnessed(SHORT);
    let (old, new) = two(&place, Manner::IgnoresTerm);
    let ending = faults::stop_run(&place, &old, &new);
    place.at_most(ending.took(), TRUST, "the end of the command");
}

/// The progress gate stops renewals after half a lease, and the last one lasts for one. Half a second is for
/// the question after the expiry and the start of the command.
#[test]
fn the_next_leader_comes_within_a_lease_and_a_half_of_a_hang_of_the_driving_thread() {
    let place = Place::witnessed(SHORT);
    let (old, new) = two(&place, Manner::IgnoresTerm);
    let (fault, last, next) = hangs::hang(&place, &old, &new);
    place.at_most(
        next.saturating_since(fault),
        LEASE * 3 / 2 + Duration::from_millis(500),
        "the next leader",
    );
    place.at_most(last.saturating_since(fault), TRUST, "the end of the old command");
}

#[test]
fn the_command_ends_at_once_when_the_guardian_is_killed() {
    let place = Place::witnessed(LONG);
    let ending = faults::kill_guardian(&place, &place.run("a", Manner::IgnoresTerm, &[]));
    place.at_most(ending.took(), AT_ONCE, "the end of the command");
}

#[test]
fn daemons_end_at_once_when_the_guardian_is_killed() {
    let place = Place::witnessed(LONG);
    let ending = faults::kill_guardian(&place, &place.run_daemon("a"));
    place.at_most(ending.took(), AT_ONCE, "the end of the daemon");
}

#[test]
fn the_command_ends_right_after_the_grace_when_the_keeper_is_killed() {
    let place = Place::witnessed(LONG);
    let ending = faults::kill_keeper(&place, &place.run("a", Manner::IgnoresTerm, &[]));
    place.after_the_grace(&ending);
}

#[test]
fn daemons_end_at_once_when_the_keeper_is_stopped_and_the_guardian_is_killed() {
    let place = Place::witnessed(LONG);
    let ending = faults::stop_keeper_and_kill_guardian(&place, &place.run_daemon("a"));
    place.at_most(ending.took(), AT_ONCE, "the end of the daemon");
}

#[test]
fn run_ends_the_command_before_trust_when_the_guardian_is_stopped() {
    let place = Place::witnessed(SHORT);
    let (old, new) = two(&place, Manner::Plain);
    let ending = faults::stop_guardian_and_break(&place, &old, &new);
    place.at_most(ending.took(), TRUST, "the end of the command");
}

#[test]
fn a_broken_term_ends_the_command_before_trust() {
    let place = Place::witnessed(SHORT);
    let (old, new) = two(&place, Manner::IgnoresTerm);
    let ending = faults::break_lease(&place, &old, &new);
    place.at_most(ending.took(), TRUST, "the end of the command");
}

/// The next candidate starts right after the fault.
fn displaced(displace: fn(&Path) -> Displaced) {
    let place = Place::witnessed(LONG);
    let old = place.run("a", Manner::IgnoresTerm, &[]);
    let token = old.wait_for_beats(0).token;
    old.stop();
    let directory = place.directory();
    let fault = place.now();
    let _displaced = displace(&directory);
    let next = place.run("b", Manner::Plain, &[]).wait_for_beats(token);
    place.at_most(Ending::of(fault, &old, next).took(), AT_ONCE, "the end of the command");
}

#[test]
fn the_command_ends_at_once_when_the_directory_is_moved_while_run_is_stopped() {
    displaced(Displaced::by_move);
}

#[test]
fn the_command_ends_at_once_when_the_directory_is_mounted_over_while_run_is_stopped() {
    displaced(Displaced::by_mount);
}

#[test]
fn a_waiting_run_ends_at_once_on_sigterm() {
    let place = Place::witnessed(LONG);
    let (_leader, mut waiting) = two(&place, Manner::Plain);
    waiting.wait_until_it_stands();
    let asked = place.now();
    waiting.signal(Signal::SIGTERM);
    assert_eq!(waiting.exit_code(), 128 + 15);
    let took = elector::driver::clock::now().saturating_since(asked);
    place.at_most(took, Duration::from_millis(500), "the end of elector run");
}

#[test]
fn a_store_that_is_out_of_reach_is_told_of_within_a_second() {
    let place = Place::witnessed(LONG);
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let silent = format!("--store=postgres://{}/db?sslmode=disable", silent.local_addr().expect("it"));
    let refuses = "--store=postgres://127.0.0.1:1/db".to_owned();
    let tells = |words: &[&str], store: &str| {
        let asked = place.now();
        let mut asking = elector(words);
        asking.args([store, "--election=e"]).args(["--", "true"].iter().filter(|_| words == ["run"]));
        let mut asking = asking.stderr(Stdio::piped()).spawn().expect("elector");
        let mut line = String::new();
        BufReader::new(asking.stderr.take().expect("a pipe")).read_line(&mut line).expect("a line");
        let took = elector::driver::clock::now().saturating_since(asked);
        let _ = asking.kill();
        asking.wait().expect("our child");
        place.at_most(took, Duration::from_secs(1), &line);
    };
    tells(&["run"], &refuses);
    tells(&["run"], &silent);
    tells(&["watch"], &refuses);
    tells(&["watch"], &silent);
}
