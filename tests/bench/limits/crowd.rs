//! Candidates of one election, each in a process of its own. A bench kills their leader, or has it release.

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use elector_kit::candidate::{Candidate, Report, Said, Stand};
use elector_kit::clock::{self, Instant};
use elector_kit::waiting::SOON;

pub struct Crowd {
    stand: Stand,
    processes: BTreeMap<usize, Candidate>,
    started: usize,
    sender: Sender<Report>,
    reports: Receiver<Report>,
    leader: usize,
    token: u64,
    /// How many terms had a token that was not larger than the one before.
    pub regressions: usize,
}

impl Crowd {
    /// So many candidates that campaign at once.
    pub fn start(stand: Stand, count: usize) -> Crowd {
        let (sender, reports) = channel();
        let (processes, started, leader, token, regressions) = (BTreeMap::new(), 0, 0, 0, 0);
        let mut crowd = Crowd { stand, processes, started, sender, reports, leader, token, regressions };
        (0..count).for_each(|_| crowd.add());
        crowd
    }

    /// One more.
    pub fn add(&mut self) {
        let process = Candidate::start(self.started, &self.stand, self.sender.clone());
        self.processes.insert(self.started, process);
        self.started += 1;
    }

    /// Waits for the next leader; when it was elected.
    pub fn follow(&mut self) -> Instant {
        loop {
            let report = self.reports.recv_timeout(SOON).expect("a candidate is elected in time");
            if let Said::Up(token, at) = report.said {
                self.regressions += usize::from(token <= self.token);
                (self.leader, self.token) = (report.candidate, token);
                return at;
            }
        }
    }

    /// `kill -9` of the leader; when.
    pub fn kill_leader(&mut self) -> Instant {
        self.processes.remove(&self.leader).expect("the leader runs").kill()
    }

    /// Has the leader release; how long until another leads. Then the old one campaigns again.
    pub fn hand_over(&mut self) -> Duration {
        let old = self.leader;
        let released = clock::now();
        self.say(old, "release");
        let took = self.follow().saturating_since(released);
        self.say(old, "campaign");
        took
    }

    fn say(&mut self, candidate: usize, command: &str) {
        self.processes.get_mut(&candidate).expect("it runs").say(command);
    }

    /// How many candidates were elected since the reports were last read.
    pub fn more_leaders(&self, within: Duration) -> usize {
        std::thread::sleep(within);
        self.reports.try_iter().filter(|report| matches!(report.said, Said::Up(..))).count()
    }
}
