//! Real processes on a real SQLite file: start, kill, hand over.

use std::collections::HashMap;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use elector::driver::clock;

use crate::candidate::answers::{self, ANSWERS};
use crate::candidate::{Process, Report};
use crate::{Figure, percentile_ms};

const ROUNDS: usize = 200;
const PATIENCE: Duration = Duration::from_secs(30);

/// From starting a process to its leading, on a file that does not exist yet.
pub fn start_to_leader() -> Vec<Figure> {
    let mut times: Vec<Duration> = (0..20)
        .map(|_| {
            let folder = tempfile::tempdir().unwrap();
            let (sender, reports) = channel();
            let started = clock::now();
            let _process = Process::start(0, &store(&folder), sender);
            next_elected(&reports).at.saturating_since(started)
        })
        .collect();
    let what =
        format!("process start to leader, fresh SQLite file: p50 {:.1}, max", percentile_ms(&mut times, 50));
    vec![Figure::new(what, percentile_ms(&mut times, 100), 50.0, "ms")]
}

fn store(folder: &tempfile::TempDir) -> String {
    format!("sqlite:{}", folder.path().join("bench.db").display())
}

fn next_elected(reports: &Receiver<Report>) -> Report {
    loop {
        let report = reports.recv_timeout(PATIENCE).expect("somebody is elected in time");
        if report.elected {
            return report;
        }
    }
}

/// Three candidates; the leader is killed, or gives up, and the time to the next one's election is taken.
pub fn kill_and_hand_over() -> Vec<Figure> {
    let mut cluster = Cluster::start();
    let mut kills: Vec<Duration> = (0..ROUNDS).map(|_| cluster.kill_leader()).collect();
    let mut hand_overs: Vec<Duration> = (0..ROUNDS).map(|_| cluster.hand_over()).collect();
    let mut figures = Vec::new();
    for (what, times, limit) in [("kill -9", &mut kills, 100.0), ("hand-over", &mut hand_overs, 50.0)] {
        let (p50, max) = (percentile_ms(times, 50), percentile_ms(times, 100));
        let what = format!("{what}, SQLite, {ROUNDS} times: p50 {p50:.1}, max {max:.1}, p99");
        figures.push(Figure::new(what, percentile_ms(times, 99), limit, "ms"));
    }
    figures.push(Figure::new("tokens that did not grow", cluster.regressions as f64, 0.0, ""));
    let answers = cluster.end();
    let (count, terms, overlap) = answers::overlap(answers.path());
    assert!(terms >= 2 * ROUNDS, "{count} answers of only {terms} terms");
    let what = format!("two leaders at once, in {count} answers of {terms} terms");
    figures.push(Figure::new(what, overlap.as_secs_f64() * 1_000.0, 0.0, "ms"));
    figures
}

struct Cluster {
    folder: tempfile::TempDir,
    answers: tempfile::TempDir,
    processes: HashMap<usize, Process>,
    started: usize,
    sender: Sender<Report>,
    reports: Receiver<Report>,
    leader: usize,
    token: u64,
    regressions: usize,
}

impl Cluster {
    fn start() -> Cluster {
        let (sender, reports) = channel();
        let mut cluster = Cluster {
            folder: tempfile::tempdir().unwrap(),
            answers: tempfile::tempdir().unwrap(),
            processes: HashMap::new(),
            started: 0,
            sender,
            reports,
            leader: 0,
            token: 0,
            regressions: 0,
        };
        (0..3).for_each(|_| cluster.add());
        cluster.follow();
        cluster
    }

    fn add(&mut self) {
        let answers = self.answers.path().to_str().expect("UTF-8");
        let environment = [(ANSWERS, answers)];
        let sender = self.sender.clone();
        let process = Process::start_with(self.started, &store(&self.folder), &environment, sender);
        self.processes.insert(self.started, process);
        self.started += 1;
    }

    /// Waits for the next leader.
    fn follow(&mut self) -> Report {
        let report = next_elected(&self.reports);
        self.regressions += usize::from(report.token <= self.token);
        (self.leader, self.token) = (report.candidate, report.token);
        report
    }

    fn kill_leader(&mut self) -> Duration {
        // The others have settled down to waiting.
        std::thread::sleep(Duration::from_millis(150));
        let mut leader = self.processes.remove(&self.leader).expect("the leader runs");
        let killed = leader.kill();
        let took = self.follow().at.saturating_since(killed);
        self.add();
        took
    }

    /// Ends all processes; what they answered is left.
    fn end(self) -> tempfile::TempDir {
        drop(self.processes);
        self.answers
    }

    fn hand_over(&mut self) -> Duration {
        std::thread::sleep(Duration::from_millis(100));
        let old = self.leader;
        let released = clock::now();
        self.processes.get_mut(&old).expect("the leader runs").say("release");
        let took = self.follow().at.saturating_since(released);
        self.processes.get_mut(&old).expect("it still runs").say("campaign");
        took
    }
}
