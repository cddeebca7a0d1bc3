//! The command under `elector run` never outlives trust, whoever is killed or stopped.
//!
//! Real processes on a real SQLite file. The command writes the boot clock's time into a file every 2 ms,
//! so the file shows when it ran. The bound is exact: trust lasts `0.99 · lease − margin` from the
//! *sending* of a renewal, and nothing is sent by a process that was stopped or killed before.
#![cfg(all(target_os = "linux", feature = "cli"))]

#[path = "guardian/beats.rs"]
mod beats;
#[path = "guardian/random.rs"]
mod random;

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::Duration;

use beats::{Beat, Manner};
use elector::core::Instant;
use elector::driver::clock;
use nix::sys::signal::{SigHandler, Signal, kill, signal};
use nix::unistd::Pid;

const LEASE: Duration = Duration::from_millis(2_000);
/// `0.99 · lease − margin`, with the default margin of 250 ms.
const TRUST: Duration = Duration::from_millis(1_980 - 250);
/// A lease that ends after the test, so that it is not its end that makes the next leader.
const LONG: &str = "--lease-ms=60000";
const GRACE: Duration = Duration::from_millis(300);
/// Nothing here may take longer.
const DEADLINE: Duration = Duration::from_secs(20);
/// What a busy machine may add to something that happens at once.
const AT_ONCE: Duration = Duration::from_millis(700);

/// Not a test: the command, started by the tests.
#[test]
#[ignore = "the command that the other tests run"]
fn beat() {
    beats::beat();
}

/// One election on a file of its own.
struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Place {
        Place { folder: tempfile::tempdir().expect("a folder") }
    }

    fn store(&self) -> String {
        format!("--store=sqlite:{}", self.folder.path().join("e.db").display())
    }

    fn beats(&self, candidate: &str) -> PathBuf {
        self.folder.path().join(format!("{candidate}.beats"))
    }

    /// Starts `elector run` with a beating command.
    fn run(&self, candidate: &str, manner: Manner, options: &[&str]) -> Candidate {
        let file = self.beats(candidate);
        self.run_command(candidate, &beats::command(manner, &file), options)
    }

    fn run_command(
        &self,
        candidate: &str,
        command: &[impl AsRef<std::ffi::OsStr>],
        options: &[&str],
    ) -> Candidate {
        let lease = (!options.contains(&LONG)).then(|| format!("--lease-ms={}", LEASE.as_millis()));
        let grace = format!("--grace-ms={}", GRACE.as_millis());
        let timing = lease.as_deref().into_iter().chain([&*grace]);
        self.run_plainly(candidate, command, &timing.chain(options.iter().copied()).collect::<Vec<_>>())
    }

    /// The same with no options but these.
    fn run_plainly(
        &self,
        candidate: &str,
        command: &[impl AsRef<std::ffi::OsStr>],
        options: &[&str],
    ) -> Candidate {
        let child = elector(&["run", "--quiet", "--election=e"])
            .arg(self.store())
            .arg(format!("--candidate={candidate}"))
            .args(options)
            .arg("--")
            .args(command)
            .spawn()
            .expect("elector run");
        Candidate { child, file: self.beats(candidate) }
    }

    /// Another program asks who leads.
    fn leader(&self) -> Option<String> {
        let output = elector(&["status", "--json", "--election=e"])
            .arg(self.store())
            .stdout(Stdio::piped())
            .output()
            .expect("elector status");
        assert!(output.status.success(), "{output:?}");
        let line: serde_json::Value = serde_json::from_slice(&output.stdout).expect("a line of JSON");
        assert_eq!(line["election"], "e", "{line}");
        match &line["candidate"] {
            serde_json::Value::Null => None,
            candidate => Some(candidate.as_str().expect("a name").to_owned()),
        }
    }
}

fn elector(words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_elector"));
    command.args(words).stdin(Stdio::null()).stdout(Stdio::null()).env_remove("ELECTOR_STORE");
    command
}

/// A running `elector run`; killed when the test ends, and its guardian ends the rest.
struct Candidate {
    child: Child,
    file: PathBuf,
}

impl Candidate {
    fn signal(&self, signal: Signal) {
        kill(self.pid(), signal).expect("our own child is there until it is waited for");
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id() as i32)
    }

    fn beats(&self) -> Vec<Beat> {
        beats::read(&self.file)
    }

    fn last_beat(&self) -> Instant {
        self.beats().last().expect("a beat").at
    }

    /// Waits until the command runs under a token larger than `after`; returns its first beat.
    fn wait_for_beats(&self, after: u64) -> Beat {
        wait_for("the command to run", || self.beats().into_iter().find(|beat| beat.token > after))
    }

    fn guardian(&self) -> Pid {
        let keeper = self.keeper();
        wait_for("the guardian", || child_called(keeper, "elector-guard"))
    }

    fn keeper(&self) -> Pid {
        wait_for("the keeper", || child_called(self.pid(), "elector-keeper"))
    }

    fn wait(&mut self) -> ExitStatus {
        wait_for("elector run to end", || self.child.try_wait().expect("our child"))
    }

    fn exit_code(&mut self) -> i32 {
        self.wait().code().expect("an exit code, not a signal")
    }
}

impl Drop for Candidate {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn wait_for<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let end = clock::now().saturating_add(DEADLINE);
    loop {
        if let Some(found) = found() {
            return found;
        }
        assert!(clock::now() < end, "waited {DEADLINE:?} for {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

fn children(pid: Pid) -> Vec<Pid> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let lists = tasks.filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
    let pids =
        lists.flat_map(|list| list.split(' ').filter_map(|pid| pid.parse().ok()).collect::<Vec<i32>>());
    pids.map(Pid::from_raw).collect()
}

fn child_called(parent: Pid, name: &str) -> Option<Pid> {
    let called =
        |pid: &Pid| fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|it| it.trim() == name);
    children(parent).into_iter().find(called)
}

/// Whether a process exists that is not a zombie.
fn alive(pid: i32) -> bool {
    let stat = fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

/// The property itself: no two commands at once, and none after its trust ended.
fn assert_ended(old: &Candidate, by: Instant, new: &Beat) {
    let last = old.beats().iter().rfind(|beat| beat.token < new.token).expect("a beat").at;
    assert!(last <= by, "the old command ran {:?} too long", last.saturating_since(by));
    assert!(last < new.at, "two commands at once for {:?}", last.saturating_since(new.at));
}

#[test]
fn the_command_ends_when_run_is_killed() {
    let place = Place::new();
    let first = place.run("a", Manner::Plain, &[]);
    let token = first.wait_for_beats(0).token;
    let second = place.run("b", Manner::Plain, &[]);
    let killed = clock::now();
    first.signal(Signal::SIGKILL);
    let beat = second.wait_for_beats(token);
    assert_ended(&first, killed.saturating_add(AT_ONCE), &beat);
}

#[test]
fn a_killed_run_frees_its_sqlite_lease_only_once_the_command_is_gone() {
    let place = Place::new();
    let first = place.run("a", Manner::IgnoresTerm, &[LONG]);
    let token = first.wait_for_beats(0).token;
    let second = place.run("b", Manner::Plain, &[LONG]);
    let killed = clock::now();
    first.signal(Signal::SIGKILL);
    let beat = second.wait_for_beats(token);
    let last = first.last_beat();
    assert!(last.saturating_since(killed) > GRACE / 2, "the command survived SIGTERM for its grace");
    assert_ended(&first, killed.saturating_add(GRACE + AT_ONCE), &beat);
    assert!(beat.at.saturating_since(last) < AT_ONCE * 2, "the lock, not the lease, decided");
}

#[test]
fn the_command_ends_before_trust_while_run_is_stopped() {
    let place = Place::new();
    let first = place.run("a", Manner::IgnoresTerm, &[]);
    let token = first.wait_for_beats(0).token;
    let mut second = place.run("b", Manner::Plain, &[]);
    first.signal(Signal::SIGSTOP);
    let stopped = clock::now();
    let beat = second.wait_for_beats(token);
    assert_ended(&first, stopped.saturating_add(TRUST), &beat);
    // Continued, it is a candidate like any other.
    first.signal(Signal::SIGCONT);
    thread::sleep(Duration::from_millis(100));
    assert!(!alive(first.beats()[0].pid));
    second.signal(Signal::SIGTERM);
    assert_eq!(second.exit_code(), 128 + 15);
    let again = first.wait_for_beats(beat.token);
    assert!(second.last_beat() < again.at);
}

#[test]
fn the_command_ends_when_the_guardian_is_killed() {
    let place = Place::new();
    let first = place.run("a", Manner::IgnoresTerm, &[]);
    let beat = first.wait_for_beats(0);
    let killed = clock::now();
    kill(first.guardian(), Signal::SIGKILL).expect("the guardian");
    let again = first.wait_for_beats(beat.token);
    assert_ne!(again.pid, beat.pid);
    assert_ended(&first, killed.saturating_add(AT_ONCE), &again);
}

#[test]
fn daemons_end_when_the_guardian_is_killed() {
    let place = Place::new();
    let sleep = format!("BEAT_MANNER=IgnoresTerm; export BEAT_MANNER; setsid {} & wait", {
        let words = beats::command(Manner::IgnoresTerm, &place.beats("a"));
        words.join(" ")
    });
    let first = place.run_command("a", &["sh", "-c", &sleep], &[]);
    let beat = first.wait_for_beats(0);
    let killed = clock::now();
    kill(first.guardian(), Signal::SIGKILL).expect("the guardian");
    let again = first.wait_for_beats(beat.token);
    assert_ended(&first, killed.saturating_add(AT_ONCE), &again);
}

#[test]
fn the_command_ends_in_order_when_the_keeper_is_killed() {
    let place = Place::new();
    let first = place.run("a", Manner::IgnoresTerm, &[]);
    let beat = first.wait_for_beats(0);
    let killed = clock::now();
    kill(first.keeper(), Signal::SIGKILL).expect("the keeper");
    let again = first.wait_for_beats(beat.token);
    assert_ended(&first, killed.saturating_add(GRACE + AT_ONCE), &again);
    let last = first.beats().iter().rfind(|beat| beat.token < again.token).expect("a beat").at;
    assert!(last.saturating_since(killed) > GRACE / 2, "the command survived SIGTERM for its grace");
}

#[test]
fn daemons_end_when_the_keeper_is_stopped_and_the_guardian_is_killed() {
    let place = Place::new();
    let words = beats::command(Manner::IgnoresTerm, &place.beats("a")).join(" ");
    let first = place.run_command("a", &["sh", "-c", &format!("setsid {words} & exec sleep 100")], &[]);
    let beat = first.wait_for_beats(0);
    let (keeper, guardian) = (first.keeper(), first.guardian());
    kill(keeper, Signal::SIGSTOP).expect("the keeper");
    let killed = clock::now();
    kill(guardian, Signal::SIGKILL).expect("the guardian");
    let again = first.wait_for_beats(beat.token);
    assert_ended(&first, killed.saturating_add(AT_ONCE), &again);
}

/// A shell that replaces itself by `elector run` leaves its children to it, and theirs may become orphans.
#[test]
fn processes_that_are_not_the_commands_are_left_alone() {
    let place = Place::new();
    let file = place.beats("others");
    let script = format!(
        "sleep 777 & echo $! >> {0}; (sh -c 'echo $$ >> {0}; exec sleep 778' & exec sleep 0.3) & \
         exec {1} run -q -e e --once {2} -- sleep 1",
        file.display(),
        env!("CARGO_BIN_EXE_elector"),
        place.store()
    );
    let mut first = Command::new("sh").args(["-c", &script]).spawn().expect("a shell");
    let run = Pid::from_raw(first.id() as i32);
    let keeper = wait_for("the keeper", || child_called(run, "elector-keeper"));
    let guardian = wait_for("the guardian", || child_called(keeper, "elector-guard"));
    thread::sleep(Duration::from_millis(500));
    kill(guardian, Signal::SIGKILL).expect("the guardian");
    let status = wait_for("elector run to end", || first.try_wait().expect("our child"));
    let others: Vec<i32> = fs::read_to_string(&file)
        .expect("their numbers")
        .lines()
        .filter_map(|pid| pid.parse().ok())
        .collect();
    let left: Vec<bool> = others.iter().map(|pid| alive(*pid)).collect();
    for pid in others {
        let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
    }
    assert_eq!(status.code(), Some(75), "the guardian was killed, so the term was lost");
    assert_eq!(left, [true, true], "a child from before, and an orphan of the meantime");
}

#[test]
fn run_ends_the_command_in_time_when_the_guardian_is_stopped() {
    let place = Place::new();
    let first = place.run("a", Manner::Plain, &["--once"]);
    let token = first.wait_for_beats(0).token;
    let second = place.run("b", Manner::Plain, &[]);
    kill(first.guardian(), Signal::SIGSTOP).expect("the guardian");
    // Revoked, so the term ends; a stopped guardian does not hear of it.
    let broken = clock::now();
    assert!(
        elector(&["break", "--yes", "--election=e"]).arg(place.store()).status().expect("break").success()
    );
    let beat = second.wait_for_beats(token);
    assert_ended(&first, broken.saturating_add(TRUST), &beat);
}

#[test]
fn whatever_the_command_leaves_behind_ends_before_run_does() {
    let place = Place::new();
    let mut first = place.run("a", Manner::LeavesDaemon, &[]);
    let beat = first.wait_for_beats(0);
    assert_eq!(first.exit_code(), 0);
    assert!(!alive(beat.pid), "the daemon is gone");
    assert_eq!(place.leader(), None);
}

#[test]
fn a_daemon_ends_when_run_is_killed() {
    let place = Place::new();
    let words = beats::command(Manner::IgnoresTerm, &place.beats("a")).join(" ");
    let first = place.run_command("a", &["sh", "-c", &format!("setsid {words} & exec sleep 100")], &[]);
    let token = first.wait_for_beats(0).token;
    let second = place.run("b", Manner::Plain, &[]);
    let killed = clock::now();
    first.signal(Signal::SIGKILL);
    let beat = second.wait_for_beats(token);
    assert_ended(&first, killed.saturating_add(GRACE + AT_ONCE), &beat);
}

#[test]
fn sigterm_is_passed_on_and_the_lease_released_after_the_command() {
    let place = Place::new();
    let mut first = place.run("a", Manner::CleansUp, &[LONG]);
    let token = first.wait_for_beats(0).token;
    let second = place.run("b", Manner::Plain, &[LONG]);
    // The handler is installed before the first beat.
    first.signal(Signal::SIGTERM);
    assert_eq!(first.exit_code(), 7, "the command's own code");
    let beat = second.wait_for_beats(token);
    assert!(first.last_beat() < beat.at);
}

#[test]
fn a_waiting_run_ends_at_once_on_sigterm() {
    let place = Place::new();
    let first = place.run("a", Manner::Plain, &[]);
    first.wait_for_beats(0);
    let mut second = place.run("b", Manner::Plain, &[]);
    // It has begun to listen for signals when its threads are there.
    wait_for("the second candidate to stand", || {
        let tasks = fs::read_dir(format!("/proc/{}/task", second.pid())).ok()?;
        (tasks.count() >= 4).then_some(())
    });
    let asked = clock::now();
    second.signal(Signal::SIGTERM);
    assert_eq!(second.exit_code(), 128 + 15);
    assert!(clock::now().saturating_since(asked) < AT_ONCE * 2);
    assert!(second.beats().is_empty());
}

#[test]
fn a_broken_term_ends_the_command_and_once_exits_with_75() {
    let place = Place::new();
    let mut first = place.run("a", Manner::IgnoresTerm, &["--once"]);
    let token = first.wait_for_beats(0).token;
    let second = place.run("b", Manner::Plain, &[]);
    let broken = clock::now();
    assert!(
        elector(&["break", "--yes", "--election=e"]).arg(place.store()).status().expect("break").success()
    );
    assert_eq!(first.exit_code(), 75);
    let beat = second.wait_for_beats(token);
    assert_ended(&first, broken.saturating_add(TRUST), &beat);
}

#[test]
fn without_a_grace_the_end_of_trust_is_not_taken_for_the_end_of_the_command() {
    let place = Place::new();
    let command = beats::command(Manner::Plain, &place.beats("a"));
    let mut first = place.run_plainly("a", &command, &["--lease-ms=2000", "--grace-ms=0", "--once"]);
    first.wait_for_beats(0);
    let guardian = first.guardian();
    first.signal(Signal::SIGSTOP);
    wait_for("the guardian to end the command", || (!alive(guardian.as_raw())).then_some(()));
    first.signal(Signal::SIGCONT);
    assert_eq!(first.exit_code(), 75, "as after any loss");
}

#[test]
fn forever_stands_again_after_the_command_ended() {
    let place = Place::new();
    let script = format!("echo $ELECTOR_TOKEN >> {}", place.beats("tokens").display());
    let mut first = place.run_command("a", &["sh", "-c", &script], &["--forever"]);
    let tokens = wait_for("two terms", || {
        let text = fs::read_to_string(place.beats("tokens")).unwrap_or_default();
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
    let place = Place::new();
    let code = |words: &[&str]| place.run_command("a", words, &[]).exit_code();
    assert_eq!(code(&["true"]), 0);
    assert_eq!(code(&["sh", "-c", "exit 3"]), 3);
    assert_eq!(code(&["sh", "-c", "kill -9 $$"]), 128 + 9);
    assert_eq!(code(&["sh", "-c", "kill -36 $$"]), 128 + 36, "real-time signals have no names");
    assert_eq!(code(&["/nonexistent/command"]), 127);
    assert_eq!(code(&["no-such-command-anywhere"]), 127);
    assert_eq!(code(&["/"]), 126);
    let no_interpreter = place.beats("script");
    fs::write(&no_interpreter, "#!/nonexistent/interpreter\n").expect("a script");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(&no_interpreter, mode).expect("its mode");
    assert_eq!(code(&[no_interpreter.to_str().expect("UTF-8")]), 127, "found only when it is started");
    assert_eq!(place.leader(), None, "nothing is held after any of them");
}

#[test]
fn run_exits_as_the_command_did_even_where_its_caller_ignores_sigchld() {
    let place = Place::new();
    let mut command = elector(&["run", "--quiet", "--once", "--election=e"]);
    command.arg(place.store()).args(["--", "sh", "-c", "exit 5"]);
    // SAFETY: one system call between fork and exec, and no handler.
    unsafe {
        command.pre_exec(|| Ok(signal(Signal::SIGCHLD, SigHandler::SigIgn).map(|_| ())?));
    }
    assert_eq!(command.status().expect("elector run").code(), Some(5));
}
