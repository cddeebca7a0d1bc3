//! A database in a directory of its own, connections to it, and helper processes that use it.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use elector::core::lease::{Acquire, LeaderId, Op, Outcome, Request, RequestId, Row};
use elector::core::{FencingToken, Name};
use elector::driver::clock;
use elector::driver::stores::sqlite::SqliteStore;
use elector::driver::stores::{Answer, Fuse, Hint, IfMissing, Job, SqliteOptions, Store, StoreError};

/// Longer than anything takes that should happen at all: what comes before its end does not come by it.
pub const LEASE: Duration = Duration::from_secs(120);
/// For an event that must come, so that a test that fails comes to its end.
pub const SOON: Duration = Duration::from_secs(60);

/// For a store that creates nothing.
pub const LEAVE: SqliteOptions = SqliteOptions { if_missing: IfMissing::Leave, fuse: Fuse::Refuse };

pub struct Site {
    pub directory: tempfile::TempDir,
    pub path: PathBuf,
}

impl Site {
    pub fn new() -> Site {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().canonicalize().unwrap().join("leases.db");
        Site { directory, path }
    }

    pub fn open(&self) -> Handle {
        Handle::open(&self.path).unwrap()
    }

    /// A connection as some other program makes it.
    pub fn foreign(&self) -> rusqlite::Connection {
        rusqlite::Connection::open(&self.path).unwrap()
    }

    pub fn helper(&self, role: &str) -> Helper {
        Helper::start(role, &self.path)
    }
}

/// A store and the hints that it sends.
pub struct Handle {
    pub store: SqliteStore,
    pub told: Receiver<Hint>,
}

impl Handle {
    pub fn open(path: &Path) -> Result<Handle, StoreError> {
        let (tell, told) = channel();
        let tell = Mutex::new(tell);
        let notifier = Arc::new(move |hint| drop(tell.lock().unwrap().send(hint)));
        Ok(Handle { store: SqliteStore::open(path, SqliteOptions::default(), notifier)?, told })
    }

    pub fn execute(&mut self, op: Op, within: Duration) -> Answer {
        static REQUESTS: AtomicU64 = AtomicU64::new(1);
        let id = RequestId(REQUESTS.fetch_add(1, Ordering::Relaxed));
        let deadline = clock::now().saturating_add(within);
        let job = Job { election: election(), request: Request { id, deadline, op } };
        self.store.execute(&[job]).remove(0)
    }

    /// The outcome, or the error's line.
    pub fn one(&mut self, op: Op) -> Result<Outcome, StoreError> {
        let answer = self.execute(op, SOON);
        answer.error.map_or(Ok(answer.reply.outcome), Err)
    }

    pub fn look(&mut self) -> Option<Row> {
        match self.one(Op::Look).unwrap() {
            Outcome::Seen(row) => row,
            other => panic!("{other:?}"),
        }
    }

    /// The token, if the lease was granted.
    pub fn acquire(&mut self, lease: Duration) -> Option<FencingToken> {
        match self.one(acquire(lease)).unwrap() {
            Outcome::Granted { token } => Some(token),
            Outcome::Seen(Some(_)) => None,
            other => panic!("{other:?}"),
        }
    }

    /// Acquires while another process holds the lock; says how long the answer took.
    pub fn acquire_in_vain(&mut self, within: Duration) -> (Answer, Duration) {
        let start = Instant::now();
        let answer = self.execute(acquire(LEASE), within);
        (answer, start.elapsed())
    }

    /// Acquires, then at each hint again, until it is granted. Also says when it was asked for: what comes
    /// after that is a flush of the disk, which others may keep busy.
    pub fn acquire_at_a_hint(&mut self) -> (FencingToken, Instant) {
        loop {
            let asked = Instant::now();
            if let Some(token) = self.acquire(LEASE) {
                return (token, asked);
            }
            let hint = self.told.recv_timeout(SOON).expect("a hint that the lease is free");
            assert_eq!(hint, Hint::Any);
        }
    }

    /// Acquires again and again, until the lease of another process has ended.
    pub fn acquire_at_its_end(&mut self) -> FencingToken {
        let end = Instant::now() + SOON;
        loop {
            if let Some(token) = self.acquire(LEASE) {
                return token;
            }
            assert!(Instant::now() < end, "not free after {SOON:?}");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Waits for this hint, past others.
    pub fn wait_for(&self, hint: &Hint) {
        while self.told.recv_timeout(SOON).expect("the hint") != *hint {}
    }
}

pub fn election() -> Name {
    Name::new("election", "nightly").unwrap()
}

pub fn holder() -> LeaderId {
    LeaderId::new(&Name::new("candidate", "me").unwrap(), u64::from(std::process::id()))
}

pub fn acquire(lease: Duration) -> Op {
    Op::Acquire(Acquire { holder: holder(), meta: None, lease, unchanged: None })
}

pub fn renew(token: FencingToken, lease: Duration) -> Op {
    Op::Renew { token, holder: holder(), lease }
}

/// What a helper's lines begin with, to tell them from the test harness's own.
const MARK: &str = "@ ";

/// Another process: this test binary, told by its environment to play a role.
pub struct Helper {
    pub process: Child,
    lines: Receiver<String>,
}

impl Helper {
    pub fn start(role: &str, path: &Path) -> Helper {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["sqlite_faults::processes::plays_a_role", "--exact", "--ignored", "--nocapture"])
            .env("ELECTOR_TEST_ROLE", role)
            .env("ELECTOR_TEST_PATH", path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(process.stdout.take().unwrap());
        let (tell, lines) = channel();
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                // The harness ends its own line only after the test.
                if let Some((_, said)) = line.split_once(MARK) {
                    let _ = tell.send(said.to_owned());
                }
            }
        });
        Helper { process, lines }
    }

    pub fn hear(&self) -> String {
        self.hear_within(SOON)
    }

    pub fn hear_within(&self, time: Duration) -> String {
        self.lines.recv_timeout(time).expect("a line of the helper")
    }

    pub fn tell(&mut self, line: &str) {
        writeln!(self.process.stdin.as_mut().unwrap(), "{line}").unwrap();
    }

    pub fn signal(&self, signal: nix::sys::signal::Signal) {
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(self.process.id() as i32), signal).unwrap();
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// In a helper: says a line to the test.
pub fn say(line: impl std::fmt::Display) {
    println!("{MARK}{line}");
    std::io::stdout().flush().unwrap();
}

/// In a helper: waits for a line of the test.
pub fn listen() -> String {
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).unwrap();
    line.trim().to_owned()
}
