//! The candidates of one election, and the judge of what they did: never two leaders, and tokens that grow.

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use elector::core::{FencingToken, Instant};
use elector::driver::clock;
use nix::sys::signal::Signal;

use crate::candidate::{Candidate, Report, Said, Stand};

/// The lease of most tests: short, but long enough for a busy machine with two cores.
pub const LEASE: Duration = Duration::from_millis(1_500);
/// The lease where a fault must cost no term: a slow machine may take its time between two renewals.
pub const STEADY: Duration = Duration::from_secs(5);
/// What a fail-over may take on top of what remains of the lease. The promise is 150 ms and a round trip; the
/// rest is for a busy machine. The bench measures it on a quiet one.
pub const SLACK: Duration = Duration::from_millis(1_000);

/// One term of leadership, as its candidate saw it.
#[derive(Clone, Debug)]
struct Term {
    candidate: usize,
    token: FencingToken,
    from: Instant,
    to: Option<Instant>,
}

/// Who leads, and since when.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Leader {
    pub candidate: usize,
    pub token: FencingToken,
    pub since: Instant,
}

pub struct Field {
    stand: Stand,
    candidates: BTreeMap<usize, Candidate>,
    stopped: BTreeMap<usize, Instant>,
    started: usize,
    sender: Sender<Report>,
    reports: Receiver<Report>,
    terms: Vec<Term>,
    done: Vec<(usize, String)>,
    pub errors: Vec<String>,
}

impl Field {
    /// So many candidates, each in a process of its own.
    pub fn start(store: &str, candidates: usize) -> Field {
        Field::with_lease(store, candidates, LEASE)
    }

    pub fn with_lease(store: &str, candidates: usize, lease: Duration) -> Field {
        Field::of(Stand { store: store.to_owned(), election: "nightly".to_owned(), lease }, candidates)
    }

    pub fn of(stand: Stand, candidates: usize) -> Field {
        let (sender, reports) = channel();
        let mut field = Field {
            stand,
            candidates: BTreeMap::new(),
            stopped: BTreeMap::new(),
            started: 0,
            sender,
            reports,
            terms: Vec::new(),
            done: Vec::new(),
            errors: Vec::new(),
        };
        for _ in 0..candidates {
            field.add();
        }
        field
    }

    /// One more.
    pub fn add(&mut self) -> usize {
        let stand = self.stand.clone();
        self.add_at(&stand)
    }

    /// One more, that reaches the store in another way.
    pub fn add_at(&mut self, stand: &Stand) -> usize {
        let number = self.started;
        self.candidates.insert(number, Candidate::start(number, stand, self.sender.clone()));
        self.started += 1;
        number
    }

    /// One more, played by another program.
    #[allow(dead_code, reason = "only candidates in other languages are other programs")]
    pub fn add_program(&mut self, command: std::process::Command) -> usize {
        let number = self.started;
        let candidate = Candidate::run(command, number, &self.stand, self.sender.clone());
        self.candidates.insert(number, candidate);
        self.started += 1;
        number
    }

    /// How many terms this candidate has had so far.
    #[allow(dead_code, reason = "as above")]
    pub fn terms_of(&self, candidate: usize) -> usize {
        self.terms.iter().filter(|term| term.candidate == candidate).count()
    }

    pub fn stand(&self) -> Stand {
        self.stand.clone()
    }

    pub fn pid(&self, candidate: usize) -> u32 {
        self.candidates[&candidate].pid()
    }

    fn note(&mut self, report: Report) {
        let Report { candidate, said } = report;
        match said {
            Said::Up(token, from) => self.terms.push(Term { candidate, token, from, to: None }),
            Said::Down(token, to) => {
                let open = |term: &&mut Term| term.candidate == candidate && term.token == token;
                // A killed candidate's terms were closed at its death.
                let term = self.terms.iter_mut().rev().find(open).expect("it was up before");
                term.to.get_or_insert(to);
            }
            Said::Error(error) if error == "none" => {}
            Said::Error(error) => self.errors.push(format!("candidate {candidate}: {error}")),
            Said::Done(what) => self.done.push((candidate, what)),
        }
    }

    /// Listens to all candidates until `found` finds something in what they have said so far.
    #[track_caller]
    fn listen<T>(
        &mut self,
        what: &str,
        within: Duration,
        mut found: impl FnMut(&mut Field) -> Option<T>,
    ) -> T {
        let deadline = std::time::Instant::now() + within;
        loop {
            if let Some(found) = found(self) {
                return found;
            }
            let left = deadline.saturating_duration_since(std::time::Instant::now());
            match self.reports.recv_timeout(left) {
                Ok(report) => self.note(report),
                Err(_) => {
                    panic!("not within {within:?}: {what}\nterms {:?}\nerrors {:?}", self.terms, self.errors)
                }
            }
        }
    }

    /// Who leads, once somebody does: the term that is open now.
    #[track_caller]
    pub fn leader(&mut self, within: Duration) -> Leader {
        self.leader_after(None, within)
    }

    /// The first term after that token that is still open.
    #[track_caller]
    pub fn leader_after(&mut self, token: Option<FencingToken>, within: Duration) -> Leader {
        self.listen("a leader", within, |field| {
            let frozen = |term: &&Term| field.stopped.contains_key(&term.candidate);
            let newer = |term: &&Term| token.is_none_or(|token| term.token > token);
            let mut open =
                field.terms.iter().filter(|term| term.to.is_none() && newer(term) && !frozen(term));
            let term = open.next_back()?;
            Some(Leader { candidate: term.candidate, token: term.token, since: term.from })
        })
    }

    /// Waits until this term has ended, and says when.
    #[track_caller]
    pub fn end_of(&mut self, token: FencingToken, within: Duration) -> Instant {
        self.listen("the end of a term", within, |field| {
            field.terms.iter().find(|term| term.token == token && term.to.is_some())?.to
        })
    }

    /// Listens for so long.
    pub fn pass(&mut self, time: Duration) {
        let deadline = std::time::Instant::now() + time;
        while let Ok(report) =
            self.reports.recv_timeout(deadline.saturating_duration_since(std::time::Instant::now()))
        {
            self.note(report);
        }
    }

    pub fn say(&mut self, candidate: usize, command: &str) {
        self.candidates.get_mut(&candidate).expect("it runs").say(command);
    }

    /// `kill -9`; says when.
    pub fn kill(&mut self, candidate: usize) -> Instant {
        // What it has said already.
        self.pass(Duration::ZERO);
        let killed = self.candidates.remove(&candidate).expect("it runs").kill();
        // Of the time since it was stopped nothing is known, and nothing was asked.
        let end = self.stopped.remove(&candidate).unwrap_or(killed);
        self.pass(Duration::from_millis(5));
        for term in self.terms.iter_mut().filter(|term| term.candidate == candidate) {
            term.to.get_or_insert(end.max(term.from));
        }
        killed
    }

    pub fn stop(&mut self, candidate: usize) -> Instant {
        let at = clock::now();
        self.candidates[&candidate].signal(Signal::SIGSTOP);
        self.stopped.insert(candidate, at);
        at
    }

    pub fn go_on(&mut self, candidate: usize) {
        self.stopped.remove(&candidate);
        self.candidates[&candidate].signal(Signal::SIGCONT);
    }

    /// How many terms there were so far.
    pub fn terms(&mut self) -> usize {
        self.pass(Duration::ZERO);
        self.terms.len()
    }

    /// Ends all candidates in order, and judges the whole run: no two leaders at any instant, and each term's
    /// token larger than those of all terms before it.
    #[track_caller]
    pub fn judge(mut self) -> usize {
        let running: Vec<usize> = self.candidates.keys().copied().collect();
        for &candidate in &running {
            self.say(candidate, "end");
        }
        self.listen("the end of the candidates", Duration::from_secs(10), |field| {
            let ended =
                |candidate: &usize| field.done.iter().any(|(who, what)| who == candidate && what == "end");
            running.iter().all(ended).then_some(())
        });
        self.pass(Duration::from_millis(20));
        let now = clock::now();
        let mut terms = std::mem::take(&mut self.terms);
        for term in &mut terms {
            term.to.get_or_insert(now);
        }
        terms.sort_by_key(|term| (term.from, term.token));
        for (later, term) in terms.iter().enumerate() {
            for earlier in &terms[..later] {
                let both = earlier.to.unwrap().min(term.to.unwrap()).saturating_since(term.from);
                let two = both > Duration::ZERO && earlier.candidate != term.candidate;
                assert!(!two, "two leaders for {both:?}: {earlier:?} and {term:?}\nof {terms:#?}");
                assert!(earlier.token < term.token, "a token went back: {earlier:?} then {term:?}");
            }
        }
        terms.len()
    }
}
