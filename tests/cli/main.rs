//! The command line as its users meet it: help, refusals, output for programs, and nothing left behind.
#![cfg(all(unix, feature = "cli"))]

mod options;
mod outages;
mod readme;
mod secrets;
mod tasks;
mod watching;

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{SigHandler, Signal, kill, signal};
use nix::unistd::Pid;
use serde_json::Value;

const TASKS: [&str; 10] =
    ["run", "watch", "status", "release", "break", "schema", "migrate", "demo", "completions", "man"];
/// How long a test waits for what must come.
const DEADLINE: Duration = Duration::from_secs(60);

/// A folder that is home, state directory, temporary folder and working directory, so that it sees all
/// leftovers.
struct Home(tempfile::TempDir);

impl Home {
    fn new() -> Home {
        Home(tempfile::tempdir().expect("a folder"))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn elector(&self, words: &[impl AsRef<OsStr>]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_elector"));
        command.args(words).current_dir(self.path()).stdin(Stdio::null());
        for name in ["HOME", "XDG_STATE_HOME", "TMPDIR"] {
            command.env(name, self.path());
        }
        command.env_remove("ELECTOR_STORE").env_remove("ELECTOR_LOG");
        command
    }

    fn output(&self, words: &[impl AsRef<OsStr>]) -> Output {
        self.elector(words).output().expect("elector")
    }

    fn files(&self) -> Vec<OsString> {
        fs::read_dir(self.path()).expect("the folder").flatten().map(|entry| entry.file_name()).collect()
    }

    /// Starts a leader of `election` whose command waits; returns once it leads. Its lease lasts, and it asks
    /// the store often.
    fn leader(&self, election: &str) -> Running {
        self.leader_with(election, &["--lease-ms", "300000", "--renew-ms", "300", "--retry-ms", "300"])
    }

    fn leader_with(&self, election: &str, timings: &[&str]) -> Running {
        let words =
            ["run", "--quiet", "--election", election, "--store", "sqlite:e.db", "--candidate", "ann"];
        let more = ["--meta", "on a\tship", "--events", "-", "--", "sleep", "1000"];
        let mut child = self.elector(&[&words[..], timings, &more[..]].concat());
        let mut child = child.stdout(Stdio::piped()).spawn().expect("elector run");
        let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines();
        let elected = lines.next().expect("an event").expect("UTF-8");
        Running { child, elected: serde_json::from_str(&elected).expect("JSON"), lines: Box::new(lines) }
    }
}

struct Running {
    child: Child,
    elected: Value,
    lines: Box<dyn Iterator<Item = std::io::Result<String>>>,
}

impl Running {
    fn token(&self) -> String {
        self.elected["token"].to_string()
    }

    fn end(&mut self) {
        let pid = Pid::from_raw(self.child.id() as i32);
        kill(pid, Signal::SIGTERM).expect("our child");
        assert_eq!(self.child.wait().expect("our child").code(), Some(128 + 15));
    }

    /// Ends it, and says whether its release was confirmed in the time that it waits for one.
    fn releases(&mut self, home: &Home) -> bool {
        let told = Instant::now();
        self.end();
        let took = told.elapsed();
        let database = rusqlite::Connection::open(home.path().join("e.db")).expect("the file");
        let held = "SELECT count(*) FROM leader_lease WHERE leader_id <> ''";
        let held: i64 = database.query_row(held, [], |row| row.get(0)).expect("a count");
        assert!(held == 0 || took >= Duration::from_secs(2), "it ended after {took:?}, and did not release");
        held == 0
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits until a process has ended by itself.
#[track_caller]
fn ended(child: &mut Child) -> ExitStatus {
    let begin = Instant::now();
    loop {
        match child.try_wait().expect("our child") {
            Some(status) => return status,
            None => assert!(begin.elapsed() < DEADLINE, "it goes on"),
        }
        thread::sleep(Duration::from_millis(5));
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

/// Asserts that these words are refused with this code, in one line that says these things, and nothing is
/// made.
fn assert_refused(words: &[impl AsRef<OsStr>], code: i32, says: &[&str]) {
    let home = Home::new();
    let output = home.output(words);
    let error = text(&output.stderr);
    let shown: Vec<_> = words.iter().map(AsRef::as_ref).collect();
    assert_eq!(output.status.code(), Some(code), "{shown:?}: {error}");
    assert_eq!(error.lines().count(), 1, "{shown:?}: one line, not {error}");
    for part in says {
        assert!(error.contains(part), "{shown:?}: {part:?} is missing in {error}");
    }
    assert!(output.stdout.is_empty(), "{shown:?}: {}", text(&output.stdout));
    assert!(home.files().is_empty(), "{shown:?}: left behind {:?}", home.files());
}
