//! The real nest-leader-election in Node.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use crate::clock::{self, Instant};
use crate::programs::{find, peer};

/// The table as the package makes it.
pub const TABLE: &str = "\
    CREATE TABLE leader_lease (id integer PRIMARY KEY, leader_id varchar(300) NOT NULL, \
    expires_at timestamptz NOT NULL, created_at timestamptz NOT NULL DEFAULT now())";
/// How long the package may take to be ready, to lead or to step down before the test gives up.
const PATIENCE: Duration = Duration::from_secs(60);

/// One replica of an application that uses it. Dropped: the process is killed.
pub struct Peer {
    child: Child,
    lines: Receiver<serde_json::Value>,
    leads: bool,
}

/// A change of its `amILeader()`, on the clock of [`clock::now`].
#[derive(Clone, Copy, Debug)]
pub struct Turn {
    pub leads: bool,
    pub at: Instant,
}

impl Peer {
    /// Starts a replica as `instance` and waits until it has tried to lead for the first time. `more` are
    /// further keys of its configuration.
    pub fn start(url: &str, instance: &str, more: serde_json::Value) -> Peer {
        Peer::with(serde_json::json!({ "url": url, "config": config(instance, &more) }))
    }

    /// Like [`Peer::start`], with the replica inside a Nest application.
    pub fn start_nest(url: &str, instance: &str, more: serde_json::Value) -> Peer {
        Peer::with(serde_json::json!({ "url": url, "mode": "nest", "config": config(instance, &more) }))
    }

    /// With the whole argument of peer.mjs.
    pub fn with(argument: serde_json::Value) -> Peer {
        let mut child = Command::new(find("node"))
            .arg(peer().join("peer.mjs"))
            .arg(argument.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(if std::env::var_os("ELECTOR_TEST_VERBOSE").is_some() {
                Stdio::inherit()
            } else {
                Stdio::null()
            })
            .spawn()
            .expect("node starts");
        let output = BufReader::new(child.stdout.take().unwrap());
        let (tell, lines) = channel();
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                let _ = tell.send(serde_json::from_str(&line).expect("a line of JSON"));
            }
        });
        let peer = Peer { child, lines, leads: false };
        let first = peer.lines.recv_timeout(PATIENCE);
        let install = "run tests/install/postgres.sh, which installs nest-leader-election";
        assert_eq!(first.expect(install)["ready"], true);
        peer
    }

    /// The next change of its mind, if one comes in time.
    pub fn next(&mut self, within: Duration) -> Option<Turn> {
        let deadline = std::time::Instant::now() + within;
        loop {
            let left = deadline.saturating_duration_since(std::time::Instant::now());
            let line = self.lines.recv_timeout(left).ok()?;
            if let Some(leads) = line["leader"].as_bool() {
                let nanos: u64 = line["monotonic_ns"].as_str().unwrap().parse().unwrap();
                // Node's clock does not count suspended time.
                self.leads = leads;
                return Some(Turn {
                    leads,
                    at: Instant::from_nanos(nanos + clock::suspended().as_nanos() as u64),
                });
            }
        }
    }

    /// Whether it thinks that it leads.
    pub fn leads(&mut self) -> bool {
        while self.next(Duration::ZERO).is_some() {}
        self.leads
    }

    /// Waits until it leads, and says when that began.
    #[track_caller]
    pub fn elected(&mut self) -> Instant {
        let turn = self.next(PATIENCE).expect("the peer leads");
        assert!(turn.leads);
        turn.at
    }

    /// Waits until it leads no more.
    #[track_caller]
    pub fn deposed(&mut self) -> Instant {
        let turn = self.next(PATIENCE).expect("the peer leads no more");
        assert!(!turn.leads);
        turn.at
    }

    pub fn say(&mut self, command: &str) {
        writeln!(self.child.stdin.as_mut().unwrap(), "{command}").expect("the peer listens");
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, signal: nix::sys::signal::Signal) {
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(self.child.id() as i32), signal).unwrap();
    }

    /// `kill -9`.
    pub fn kill(mut self) {
        self.child.kill().expect("the peer runs");
        self.child.wait().expect("it is ours");
    }
}

fn config(instance: &str, more: &serde_json::Value) -> serde_json::Value {
    let mut config = serde_json::json!({ "lockId": 1, "instanceId": instance, "leaseDuration": 3_000 });
    let more = more.as_object().cloned().unwrap_or_default();
    config.as_object_mut().unwrap().extend(more);
    config
}

impl Drop for Peer {
    fn drop(&mut self) {
        // Already dead is fine.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
