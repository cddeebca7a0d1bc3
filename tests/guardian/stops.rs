//! A command that stops itself, without a terminal, does not keep its lease for ever.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::beats::Manner;
use crate::place::{Candidate, DEADLINE, ENDS, Place, alive, state_of, wait_for};

/// Starts a leader whose command writes its process id and stops itself. Returns once it is stopped.
fn stops_itself(place: &Place, options: &[&str]) -> (Candidate, i32) {
    let file = place.file("stopped");
    let script =
        format!("echo $$ >> {0}; kill -STOP $$; echo continued >> {0}; exec sleep 300", file.display());
    let candidate = place.run_command("a", &["sh", "-c", &script], options);
    let pid = wait_for("the command", || {
        let text = std::fs::read_to_string(&file).ok()?;
        text.lines().next()?.parse().ok().filter(|pid| state_of(*pid) == Some('T'))
    });
    (candidate, pid)
}

#[test]
fn a_command_that_stays_stopped_for_a_lease_is_ended_as_on_a_loss() {
    let place = Place::new(ENDS);
    let (mut first, pid) = stops_itself(&place, &["--once"]);
    let second = place.run("b", Manner::Plain, &[]);
    second.wait_for_beats(0);
    assert!(!alive(pid), "the next command runs only when it is gone");
    assert_eq!(first.exit_code(), 75);
}

#[test]
fn a_command_that_is_continued_in_time_keeps_its_lease() {
    let place = Place::new(ENDS);
    let (first, pid) = stops_itself(&place, &[]);
    kill(Pid::from_raw(pid), Signal::SIGCONT).expect("the command");
    let file = place.file("stopped");
    wait_for("the command to go on", || {
        std::fs::read_to_string(&file).ok().filter(|text| text.contains("continued"))
    });
    // More than the lease that it would have had.
    std::thread::sleep(std::time::Duration::from_secs(12));
    assert!(alive(pid));
    assert_eq!(place.leader().as_deref(), Some("a"));
    drop(first);
}

#[test]
fn a_stopped_command_keeps_its_lease_where_that_was_asked_for_and_hears_sigterm() {
    let place = Place::new(ENDS);
    let (mut first, pid) = stops_itself(&place, &["--keep-stopped"]);
    std::thread::sleep(std::time::Duration::from_secs(12));
    assert!(alive(pid));
    assert_eq!(place.leader().as_deref(), Some("a"));
    first.signal(Signal::SIGTERM);
    assert_eq!(first.exit_code(), 128 + 15);
    assert!(!alive(pid), "gone within {DEADLINE:?}");
}

#[test]
fn a_command_that_reads_from_a_terminal_that_is_not_its_own_is_ended_too() {
    // As under nohup: the terminal is there, and another job has it.
    let place = Place::new(ENDS);
    let file = place.file("stopped");
    let script = format!("echo $$ >> {0}; kill -TTIN $$; exec sleep 300", file.display());
    let mut first = place.run_command("a", &["sh", "-c", &script], &["--once"]);
    assert_eq!(first.exit_code(), 75);
    assert_eq!(place.leader(), None);
}
