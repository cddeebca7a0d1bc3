//! The command under `elector run` never runs beside the next one, whichever process is killed or stopped.
//!
//! Real processes on a real SQLite file. The command writes the boot clock's time into a file every 2 ms,
//! so the file shows when it ran: the last beat of a term must come before the first beat of the next. Where
//! the end of a lease makes the next leader, trust ends seconds before it, so that no busy machine is taken
//! for a fault; elsewhere the lease is longer than a test may last. How soon the command ends stands in the
//! module `timed`.
#![cfg(all(target_os = "linux", feature = "cli"))]

mod beats;
mod displaced;
mod faults;
mod hangs;
mod place;
mod stops;
mod strangers;
mod terminals;
mod timed;
mod verdicts;

use std::fs;
use std::os::unix::process::CommandExt;
use std::process::Command;

use beats::Manner;
use faults::Ending;
use nix::sys::signal::{SigHandler, Signal, kill, signal};
use nix::unistd::Pid;
use place::{ENDS, GRACE, LONG, Place, alive, child_called, elector, wait_for};

/// Longer than any test, so that only a command that ends by itself can be gone.
const LONG_GRACE: &[&str] = &["--lease-ms=600000", "--grace-ms=120000"];

/// Not a test: the command, started by the tests.
#[test]
#[ignore = "the command that the other tests run"]
fn beat() {
    beats::beat();
}

#[test]
fn the_command_ends_when_run_is_killed() {
    let place = Place::new(LONG);
    let first = place.run("a", Manner::Plain, &[]);
    first.wait_for_beats(0);
    faults::kill_run(&place, &first, &place.run("b", Manner::Plain, &[]));
}

/// The command ignores SIGTERM, so whatever comes before the end of the grace comes while it runs.
fn assert_after_the_grace(ending: &Ending) {
    let freed = ending.next.at.saturating_since(ending.fault);
    assert!(freed >= GRACE, "the next term began {freed:?} after the fault");
}

#[test]
fn a_killed_run_frees_its_sqlite_lease_only_once_the_command_is_gone() {
    let place = Place::new(LONG);
    let first = place.run("a", Manner::IgnoresTerm, &[]);
    first.wait_for_beats(0);
    let ending = faults::kill_run(&place, &first, &place.run("b", Manner::Plain, &[]));
    assert_after_the_grace(&ending);
}

#[test]
fn the_command_may_clean_up_within_the_grace_when_run_or_its_keeper_is_killed() {
    let place = Place::new(LONG_GRACE);
    let first = place.run("a", Manner::CleansUp, &[]);
    first.wait_for_beats(0);
    let second = place.run("b", Manner::CleansUp, &[]);
    faults::kill_run(&place, &first, &second);
    assert!(beats::cleaned_up(&place.file("a")), "SIGKILL came before the end of the grace");
    faults::kill_keeper(&place, &second);
    assert!(beats::cleaned_up(&place.file("b")), "SIGKILL came before the end of the grace");
}

#[test]
fn the_command_ends_before_trust_while_run_is_stopped() {
    let place = Place::new(ENDS);
    let first = place.run("a", Manner::IgnoresTerm, &[]);
    let pid = first.wait_for_beats(0).pid;
    let mut second = place.run("b", Manner::Plain, &[]);
    let ending = faults::stop_run(&place, &first, &second);
    // Continued, it is a candidate like any other.
    first.signal(Signal::SIGCONT);
    wait_for("the end of the command", || (!alive(pid)).then_some(()));
    second.signal(Signal::SIGTERM);
    assert_eq!(second.exit_code(), 128 + 15);
    let again = first.wait_for_beats(ending.next.token);
    assert!(second.last_beat().at < again.at);
}

#[test]
fn the_command_ends_when_the_guardian_is_killed() {
    let place = Place::new(LONG);
    let first = place.run("a", Manner::IgnoresTerm, &[]);
    let pid = first.wait_for_beats(0).pid;
    let ending = faults::kill_guardian(&place, &first);
    assert_ne!(ending.next.pid, pid);
}

#[test]
fn daemons_end_when_the_guardian_is_killed() {
    let place = Place::new(LONG);
    let words = beats::command(Manner::IgnoresTerm, &place.file("a")).join(" ");
    faults::kill_guardian(
        &place,
        &place.run_command("a", &["sh", "-c", &format!("setsid {words} & wait")], &[]),
    );
}

#[test]
fn the_command_ends_in_order_when_the_keeper_is_killed() {
    let place = Place::new(LONG);
    let ending = faults::kill_keeper(&place, &place.run("a", Manner::IgnoresTerm, &[]));
    assert_after_the_grace(&ending);
}

#[test]
fn daemons_end_when_the_keeper_is_stopped_and_the_guardian_is_killed() {
    let place = Place::new(LONG);
    faults::stop_keeper_and_kill_guardian(&place, &place.run_daemon("a"));
}

#[test]
fn a_daemon_ends_when_run_is_killed() {
    let place = Place::new(LONG);
    let first = place.run_daemon("a");
    first.wait_for_beats(0);
    faults::kill_run(&place, &first, &place.run("b", Manner::Plain, &[]));
}

/// A shell that executes `elector run` in its place leaves its children to `elector run`, and the children's
/// own children may become orphans.
#[test]
fn processes_that_are_not_the_commands_are_left_alone() {
    let place = Place::new(LONG);
    let file = place.file("others");
    let script = format!(
        "sleep 777 & echo $! >> {0}; (sh -c 'echo $PPID $$ >> {0}; exec sleep 778' & exec sleep 0.3) & \
         exec {1} run -q -e e --once --lease-ms=120000 {2} -- sleep 120",
        file.display(),
        env!("CARGO_BIN_EXE_elector"),
        place.store()
    );
    let mut first = Command::new("sh").args(["-c", &script]).spawn().expect("a shell");
    let run = Pid::from_raw(first.id() as i32);
    let numbers = || -> Vec<i32> {
        let text = fs::read_to_string(&file).unwrap_or_default();
        text.split_whitespace().filter_map(|pid| pid.parse().ok()).collect()
    };
    let parent_of = |pid: i32| {
        let line = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        line.lines().find_map(|line| line.strip_prefix("PPid:")?.trim().parse::<i32>().ok())
    };
    // The two lines come in any order: one of a child, one of a parent that ends and of its child.
    let others = wait_for("both processes", || Some(numbers()).filter(|pids| pids.len() == 3));
    let lines = fs::read_to_string(&file).expect("their numbers");
    let pair = lines.lines().find_map(|line| line.split_once(' ')).expect("a parent and its child");
    let (parent, orphan): (i32, i32) = (pair.0.parse().unwrap(), pair.1.parse().unwrap());
    wait_for("an orphan", || (parent_of(orphan) != Some(parent)).then_some(()));
    let keeper = wait_for("the keeper", || child_called(run, "elector-keeper"));
    let guardian = wait_for("the guardian", || child_called(keeper, "elector-guard"));
    wait_for("the command", || child_called(guardian, "sleep"));
    kill(guardian, Signal::SIGKILL).expect("the guardian");
    let status = wait_for("elector run to end", || first.try_wait().expect("our child"));
    let others: Vec<i32> = others.into_iter().filter(|pid| *pid != parent).collect();
    let left: Vec<bool> = others.iter().map(|pid| alive(*pid)).collect();
    for pid in others {
        let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
    }
    assert_eq!(status.code(), Some(75), "the guardian was killed, so the term was lost");
    assert_eq!(left, [true, true], "the shell's child and the orphan are still alive");
}

#[test]
fn run_ends_the_command_in_time_when_the_guardian_is_stopped() {
    let place = Place::new(ENDS);
    let first = place.run("a", Manner::Plain, &["--once"]);
    first.wait_for_beats(0);
    faults::stop_guardian_and_break(&place, &first, &place.run("b", Manner::Plain, &[]));
}

#[test]
fn a_broken_term_ends_the_command_and_once_exits_with_75() {
    let place = Place::new(ENDS);
    let mut first = place.run("a", Manner::IgnoresTerm, &["--once"]);
    first.wait_for_beats(0);
    faults::break_lease(&place, &first, &place.run("b", Manner::Plain, &[]));
    assert_eq!(first.exit_code(), 75);
}

#[test]
fn whatever_the_command_leaves_behind_ends_before_run_does() {
    let place = Place::new(LONG);
    let mut first = place.run("a", Manner::LeavesDaemon, &[]);
    let beat = first.wait_for_beats(0);
    assert_eq!(first.exit_code(), 0);
    assert!(!alive(beat.pid), "the daemon is gone");
    assert_eq!(place.leader(), None);
}

#[test]
fn sigterm_is_passed_on_and_the_lease_released_after_the_command() {
    let place = Place::new(LONG);
    let mut first = place.run("a", Manner::CleansUp, &[]);
    let token = first.wait_for_beats(0).token;
    let second = place.run("b", Manner::Plain, &[]);
    second.wait_until_it_stands();
    // The handler is installed before the first beat.
    first.signal(Signal::SIGTERM);
    assert_eq!(first.exit_code(), 7, "the command's own code");
    let beat = second.wait_for_beats(token);
    assert!(first.last_beat().at < beat.at);
}

#[test]
fn a_waiting_run_ends_on_sigterm_while_another_leads() {
    let place = Place::new(LONG);
    let first = place.run("a", Manner::Plain, &[]);
    first.wait_for_beats(0);
    let mut second = place.run("b", Manner::Plain, &[]);
    second.wait_until_it_stands();
    second.signal(Signal::SIGTERM);
    assert_eq!(second.exit_code(), 128 + 15);
    assert!(second.beats().is_empty());
    assert_eq!(place.leader().as_deref(), Some("a"));
}

#[test]
fn without_a_grace_the_end_of_trust_is_not_taken_for_the_end_of_the_command() {
    let place = Place::new(&["--lease-ms=10000", "--margin-ms=5000", "--renew-ms=1000", "--grace-ms=0"]);
    let mut first = place.run("a", Manner::Plain, &["--once"]);
    first.wait_for_beats(0);
    let guardian = first.guardian();
    first.signal(Signal::SIGSTOP);
    wait_for("the guardian to end the command", || (!alive(guardian.as_raw())).then_some(()));
    first.signal(Signal::SIGCONT);
    assert_eq!(first.exit_code(), 75, "as after any loss");
}

#[test]
fn forever_stands_again_after_the_command_ended() {
    let place = Place::new(LONG);
    let script = format!("echo $ELECTOR_TOKEN >> {}", place.file("tokens").display());
    let mut first = place.run_command("a", &["sh", "-c", &script], &["--forever"]);
    let tokens = wait_for("two terms", || {
        let text = fs::read_to_string(place.file("tokens")).unwrap_or_default();
        let tokens: Vec<u64> = text.lines().filter_map(|line| line.parse().ok()).collect();
        (tokens.len() >= 2).then_some(tokens)
    });
    assert!(tokens[0] < tokens[1], "each term has a larger token");
    first.signal(Signal::SIGTERM);
    let code = first.exit_code();
    assert!(code == 128 + 15 || code == 0, "ended while it waited, or while the command ran: {code}");
}

#[test]
fn run_exits_as_the_command_did() {
    let place = Place::new(LONG);
    let code = |words: &[&str]| place.run_command("a", words, &[]).exit_code();
    assert_eq!(code(&["true"]), 0);
    assert_eq!(code(&["sh", "-c", "exit 3"]), 3);
    assert_eq!(code(&["sh", "-c", "kill -9 $$"]), 128 + 9);
    assert_eq!(code(&["sh", "-c", "kill -36 $$"]), 128 + 36, "real-time signals have no names");
    assert_eq!(code(&["/nonexistent/command"]), 127);
    assert_eq!(code(&["no-such-command-anywhere"]), 127);
    assert_eq!(code(&["/"]), 126);
    let no_interpreter = place.file("script");
    fs::write(&no_interpreter, "#!/nonexistent/interpreter\n").expect("a script");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(&no_interpreter, mode).expect("its mode");
    assert_eq!(code(&[no_interpreter.to_str().expect("UTF-8")]), 127, "found only when it is started");
    assert_eq!(place.leader(), None, "nothing is held after any of them");
}

#[test]
fn run_exits_as_the_command_did_even_where_its_caller_ignores_sigchld() {
    let place = Place::new(LONG);
    let mut command = elector(&["run", "--quiet", "--once", "--election=e", "--lease-ms=120000"]);
    command.arg(place.store()).args(["--", "sh", "-c", "exit 5"]);
    // SAFETY: one system call between fork and exec, and no handler.
    unsafe {
        command.pre_exec(|| Ok(signal(Signal::SIGCHLD, SigHandler::SigIgn).map(|_| ())?));
    }
    assert_eq!(command.status().expect("elector run").code(), Some(5));
}
