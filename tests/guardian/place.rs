//! Elections on SQLite files of their own, and the `elector run` that stand in them.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::Duration;

use elector::core::Instant;
use elector::driver::clock;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::beats::{self, Beat, Manner};
use elector_kit::witness::Witness;

/// What comes within `DEADLINE` comes neither by the end of this lease nor by a look, one in a third of it.
pub const LONG: &[&str] = &["--lease-ms=300000", GRACE_OPTION];
/// For a test that waits for the end of a lease. Trust ends seconds before it, and renewals are so frequent
/// that a busy machine does not lose a term.
pub const ENDS: &[&str] =
    &["--lease-ms=10000", "--margin-ms=4000", "--renew-ms=1000", "--jitter-ms=200", GRACE_OPTION];
pub const GRACE: Duration = Duration::from_millis(300);
const GRACE_OPTION: &str = "--grace-ms=300";
/// For an event that must come, so that a test that fails comes to its end.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// One election on a file of its own.
pub struct Place {
    folder: tempfile::TempDir,
    timing: &'static [&'static str],
    pub witness: Option<Witness>,
}

impl Place {
    /// Its candidates have this timing.
    pub fn new(timing: &'static [&'static str]) -> Place {
        let place = Place { folder: tempfile::tempdir().expect("a folder"), timing, witness: None };
        fs::create_dir(place.directory()).expect("a directory");
        place
    }

    /// The directory of the database, and nothing else's.
    pub fn directory(&self) -> PathBuf {
        self.folder.path().join("store")
    }

    /// A place whose candidates are watched, for bounds on real time.
    pub fn witnessed(timing: &'static [&'static str]) -> Place {
        Place { witness: Some(Witness::start(&[])), ..Place::new(timing) }
    }

    fn database(&self) -> PathBuf {
        self.directory().join("e.db")
    }

    pub fn store(&self) -> String {
        format!("--store=sqlite:{}", self.database().display())
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(format!("{name}.beats"))
    }

    /// Starts `elector run` with a beating command.
    pub fn run(&self, candidate: &str, manner: Manner, options: &[&str]) -> Candidate {
        self.run_command(candidate, &beats::command(manner, &self.file(candidate)), options)
    }

    /// Starts it with a beating daemon beside a command that does nothing.
    pub fn run_daemon(&self, candidate: &str) -> Candidate {
        let words = beats::command(Manner::IgnoresTerm, &self.file(candidate)).join(" ");
        self.run_command(candidate, &["sh", "-c", &format!("setsid {words} & exec sleep 300")], &[])
    }

    /// Starts it with this command.
    pub fn run_command(&self, candidate: &str, command: &[impl AsRef<OsStr>], options: &[&str]) -> Candidate {
        self.run_like_this(candidate, command, options, |run| {
            run.arg("--quiet");
        })
    }

    /// Starts it with this command, and what `so` says about `elector run` itself.
    pub fn run_like_this(
        &self,
        candidate: &str,
        command: &[impl AsRef<OsStr>],
        options: &[&str],
        so: impl FnOnce(&mut Command),
    ) -> Candidate {
        let mut run = elector(&["run", "--election=e"]);
        run.arg(self.store()).arg(format!("--candidate={candidate}")).args(self.timing).args(options);
        so(&mut run);
        let child = run.arg("--").args(command).spawn().expect("elector run");
        if let Some(witness) = &self.witness {
            witness.watch(child.id());
        }
        Candidate { child, file: self.file(candidate), database: self.database() }
    }

    /// Now, when a fault is about to happen.
    pub fn now(&self) -> Instant {
        if let Some(witness) = &self.witness {
            witness.reset();
        }
        clock::now()
    }

    /// Revokes the lease, as an operator does.
    pub fn break_lease(&self) {
        let status = elector(&["break", "--yes", "--election=e"]).arg(self.store()).status();
        assert!(status.expect("elector break").success());
    }

    /// Another program asks who leads.
    pub fn leader(&self) -> Option<String> {
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

pub fn elector(words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_elector"));
    command.args(words).stdin(Stdio::null()).stdout(Stdio::null()).env_remove("ELECTOR_STORE");
    command
}

/// A running `elector run`; killed when the test ends, and its guardian ends the rest.
pub struct Candidate {
    child: Child,
    file: PathBuf,
    database: PathBuf,
}

impl Candidate {
    pub fn signal(&self, signal: Signal) {
        kill(self.pid(), signal).expect("our own child is there until it is waited for");
    }

    /// Stops `elector run` between two writes. A process that is stopped in the middle of one keeps SQLite's
    /// write lock, so that no candidate is elected until it goes on or is killed.
    pub fn stop(&self) {
        loop {
            self.signal(Signal::SIGSTOP);
            wait_for("elector run to stop", || self.is_stopped().then_some(()));
            if may_be_written(&self.database) {
                return;
            }
            self.signal(Signal::SIGCONT);
            thread::sleep(Duration::from_millis(10));
        }
    }

    fn is_stopped(&self) -> bool {
        let mut tasks = fs::read_dir(format!("/proc/{}/task", self.pid())).expect("its threads").flatten();
        tasks.all(|task| state(&task.path()) == Some('T'))
    }

    pub fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id() as i32)
    }

    pub fn beats(&self) -> Vec<Beat> {
        beats::read(&self.file)
    }

    pub fn last_beat(&self) -> Beat {
        *self.beats().last().expect("a beat")
    }

    /// Waits until the command runs under a token larger than `after`; returns its first beat.
    pub fn wait_for_beats(&self, after: u64) -> Beat {
        wait_for("the command to run", || self.beats().into_iter().find(|beat| beat.token > after))
    }

    /// Waits until the candidate handles signals and campaigns: then all its threads have started.
    pub fn wait_until_it_stands(&self) {
        wait_for("the candidate to stand", || {
            let tasks = fs::read_dir(format!("/proc/{}/task", self.pid())).ok()?;
            (tasks.count() >= 4).then_some(())
        });
    }

    pub fn guardian(&self) -> Pid {
        wait_for("the guardian", || self.find_guardian())
    }

    pub fn find_guardian(&self) -> Option<Pid> {
        child_called(self.find_keeper()?, "elector-guard")
    }

    pub fn keeper(&self) -> Pid {
        wait_for("the keeper", || self.find_keeper())
    }

    pub fn find_keeper(&self) -> Option<Pid> {
        child_called(self.pid(), "elector-keeper")
    }

    pub fn wait(&mut self) -> ExitStatus {
        wait_for("elector run to end", || self.child.try_wait().expect("our child"))
    }

    pub fn exit_code(&mut self) -> i32 {
        self.wait().code().expect("an exit code, not a signal")
    }
}

impl Drop for Candidate {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn may_be_written(database: &Path) -> bool {
    let connection = rusqlite::Connection::open(database).expect("the database");
    connection.busy_timeout(Duration::from_millis(500)).expect("a setting");
    match connection.execute_batch("BEGIN IMMEDIATE; ROLLBACK") {
        Ok(()) => true,
        Err(error) if error.sqlite_error_code() == Some(rusqlite::ErrorCode::DatabaseBusy) => false,
        Err(error) => panic!("{error}"),
    }
}

pub fn wait_for<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let end = clock::now().saturating_add(DEADLINE);
    loop {
        if let Some(found) = found() {
            return found;
        }
        assert!(clock::now() < end, "waited {DEADLINE:?} for {what}");
        thread::sleep(Duration::from_millis(10));
    }
}

fn children(pid: Pid) -> Vec<Pid> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let lists = tasks.filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
    let pids =
        lists.flat_map(|list| list.split(' ').filter_map(|pid| pid.parse().ok()).collect::<Vec<i32>>());
    pids.map(Pid::from_raw).collect()
}

pub fn child_called(parent: Pid, name: &str) -> Option<Pid> {
    let called =
        |pid: &Pid| fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|it| it.trim() == name);
    children(parent).into_iter().find(called)
}

/// Whether a process exists that is not a zombie.
pub fn alive(pid: i32) -> bool {
    state_of(pid).is_some_and(|state| !matches!(state, 'Z' | 'X'))
}

/// The state of a process.
pub fn state_of(pid: i32) -> Option<char> {
    state(&Path::new("/proc").join(pid.to_string()))
}

/// The letter of proc(5) for the state of a process or thread.
fn state(folder: &Path) -> Option<char> {
    let stat = fs::read_to_string(folder.join("stat")).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}
