//! Fail-over after `kill -9`, and the same of nest-leader-election.

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use elector::driver::clock;
use serde_json::json;

use crate::candidate::{LEASE_MS, Process, Report};
use crate::peer::Peer;
use crate::{Figure, percentile_ms, server};
use elector_kit::session::Session;

const ROUNDS: usize = 20;
const LEASE: &str = "3000";
const PATIENCE: Duration = Duration::from_secs(60);

/// Candidates that are killed one after another.
pub struct Victims {
    url: String,
    environment: Vec<(&'static str, String)>,
    processes: BTreeMap<usize, Process>,
    started: usize,
    sender: Sender<Report>,
    reports: Receiver<Report>,
    leader: usize,
    token: u64,
    pub regressions: usize,
}

impl Victims {
    pub fn start(url: &str, count: usize, environment: &[(&'static str, String)]) -> Victims {
        let (sender, reports) = channel();
        let mut victims = Victims {
            url: url.to_owned(),
            environment: environment.to_vec(),
            processes: BTreeMap::new(),
            started: 0,
            sender,
            reports,
            leader: 0,
            token: 0,
            regressions: 0,
        };
        (0..count).for_each(|_| victims.add());
        victims
    }

    pub fn add(&mut self) {
        let environment: Vec<(&str, &str)> =
            self.environment.iter().map(|(name, value)| (*name, &**value)).collect();
        let process = Process::start_with(self.started, &self.url, &environment, self.sender.clone());
        self.processes.insert(self.started, process);
        self.started += 1;
    }

    /// Waits for the next leader.
    pub fn follow(&mut self) -> Report {
        loop {
            let report = self.reports.recv_timeout(PATIENCE).expect("somebody is elected in time");
            if report.elected {
                self.regressions += usize::from(report.token <= self.token);
                (self.leader, self.token) = (report.candidate, report.token);
                return report;
            }
        }
    }

    /// Kills this candidate: how long until the next one leads, and how much of that the lease explains.
    pub fn kill(&mut self, leader: usize, session: &Session) -> (Duration, Duration) {
        let killed = self.processes.remove(&leader).expect("the leader runs").kill();
        let left = "SELECT (extract(epoch FROM expires_at - clock_timestamp()) * 1000000)::bigint \
                    FROM leader_lease";
        let remaining = Duration::from_micros(u64::try_from(session.number(left)).unwrap_or(0));
        let asked = clock::now().saturating_since(killed);
        (self.follow().at.saturating_since(killed), remaining + asked)
    }

    /// How many candidates were elected since nobody listened.
    pub fn more_leaders(&self, within: Duration) -> usize {
        std::thread::sleep(within);
        self.reports.try_iter().filter(|report| report.elected).count()
    }
}

pub fn kill_minus_nine() -> Vec<Figure> {
    let cluster = server().start();
    // Beside ours, on a database of its own: it takes as long as half of our rounds.
    let session = cluster.session();
    let url = cluster.database("peer");
    let peer = std::thread::spawn(move || peer_crash(&url));
    let mut victims = Victims::start(&cluster.url(), 3, &[(LEASE_MS, LEASE.to_owned())]);
    let mut leader = victims.follow().candidate;
    let (mut took, mut beyond) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        // At another point of its renewal interval each time.
        std::thread::sleep(Duration::from_millis(200 + (round as u64 * 370) % 1_000));
        let (time, explained) = victims.kill(leader, &session);
        leader = victims.leader;
        took.push(time);
        beyond.push(time.saturating_sub(explained));
        victims.add();
    }
    let peer = peer.join().expect("the peer's bench ends");
    let what = format!(
        "kill -9, lease 3 s, {ROUNDS} times: p50 {:.0}, max {:.0} ms; beyond the lease",
        percentile_ms(&mut took, 50),
        percentile_ms(&mut took, 100)
    );
    vec![
        Figure::new(what, percentile_ms(&mut beyond, 100), 500.0, "ms"),
        Figure::new("tokens that did not grow", victims.regressions as f64, 0.0, ""),
        Figure::new("nest-leader-election 1.1.2, leaseDuration 3000, once", peer.as_secs_f64(), 60.0, "s"),
    ]
}

/// Two replicas of it; the leader is killed.
fn peer_crash(url: &str) -> Duration {
    let mut first = Peer::start(url, "first", json!({}));
    first.elected();
    let mut second = Peer::start(url, "second", json!({}));
    std::thread::sleep(Duration::from_secs(2));
    let killed = clock::now();
    first.kill();
    second.elected().saturating_since(killed)
}
