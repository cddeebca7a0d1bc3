//! The candidates of one election, and the judge of what they did: never two leaders, and tokens that grow.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::candidate::{Candidate, Report, Said, Source, Stand};
use crate::clock::{self, Instant};
use crate::waiting::SOON;

/// The lease where a test waits for its end. A busy machine may cost such a term, so that no test may rely on
/// keeping it.
pub const LEASE: Duration = Duration::from_millis(1_500);
/// The lease where a term must be kept, whatever the machine does between two renewals.
pub const STEADY: Duration = Duration::from_secs(10);

/// One term of leadership, as its candidate saw it.
#[derive(Clone, Debug)]
struct Term {
    candidate: usize,
    token: u64,
    /// It had begun at this instant.
    from: Instant,
    /// It had not ended at this instant, as far as its candidate has said so.
    lasted: Option<Instant>,
    over: bool,
}

/// Who leads, and since when.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Leader {
    pub candidate: usize,
    pub token: u64,
    pub since: Instant,
}

/// A candidate whose trust ends shortly before its lease does, and that asks all the time whether it leads.
pub fn stand(store: &str, lease: Duration) -> Stand {
    let margin = Some(Duration::from_millis(100));
    Stand { lease: Some(lease), margin, ..Stand::on(store, Source::Questions) }
}

pub struct Field {
    stand: Stand,
    candidates: BTreeMap<usize, Candidate>,
    stopped: BTreeSet<usize>,
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
        Field::of(stand(store, lease), candidates)
    }

    pub fn of(stand: Stand, candidates: usize) -> Field {
        let (sender, reports) = channel();
        let mut field = Field {
            stand,
            candidates: BTreeMap::new(),
            stopped: BTreeSet::new(),
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

    /// Adds a candidate that is run by another program.
    pub fn add_program(&mut self, command: std::process::Command) -> usize {
        let number = self.started;
        let candidate = Candidate::run(command, number, &self.stand, self.sender.clone());
        self.candidates.insert(number, candidate);
        self.started += 1;
        number
    }

    /// How many terms this candidate has had so far.
    pub fn terms_of(&self, candidate: usize) -> usize {
        self.terms.iter().filter(|term| term.candidate == candidate).count()
    }

    pub fn stand(&self) -> Stand {
        self.stand.clone()
    }

    /// The processes of the candidates.
    pub fn pids(&self) -> impl Iterator<Item = u32> {
        self.candidates.values().map(Candidate::pid)
    }

    fn note(&mut self, report: Report) {
        let Report { candidate, said } = report;
        match said {
            Said::Up(token, from) => {
                self.terms.push(Term { candidate, token, from, lasted: None, over: false });
            }
            Said::Still(token, at) => self.term(candidate, token).lasted = Some(at),
            Said::Down(token, at) => {
                let term = self.term(candidate, token);
                (term.lasted, term.over) = (Some(at), true);
            }
            Said::Error(error) if error == "none" => {}
            Said::Error(error) => self.errors.push(format!("candidate {candidate}: {error}")),
            Said::Done(what) => self.done.push((candidate, what)),
        }
    }

    fn term(&mut self, candidate: usize, token: u64) -> &mut Term {
        let its = |term: &&mut Term| term.candidate == candidate && term.token == token;
        self.terms.iter_mut().rev().find(its).expect("it was up before")
    }

    /// Listens to all candidates until `found` finds something in what they have said so far.
    #[track_caller]
    fn listen<T>(&mut self, what: &str, mut found: impl FnMut(&mut Field) -> Option<T>) -> T {
        let deadline = std::time::Instant::now() + SOON;
        // What they have said already.
        self.pass(Duration::ZERO);
        loop {
            if let Some(found) = found(self) {
                return found;
            }
            let left = deadline.saturating_duration_since(std::time::Instant::now());
            match self.reports.recv_timeout(left) {
                Ok(report) => self.note(report),
                Err(_) => {
                    panic!("not within {SOON:?}: {what}\nterms {:?}\nerrors {:?}", self.terms, self.errors)
                }
            }
        }
    }

    /// Who leads, once a candidate does: the term that is open now.
    #[track_caller]
    pub fn leader(&mut self) -> Leader {
        self.next_leader(None)
    }

    /// The first term after that token that is still open.
    #[track_caller]
    pub fn leader_after(&mut self, token: u64) -> Leader {
        self.next_leader(Some(token))
    }

    #[track_caller]
    fn next_leader(&mut self, after: Option<u64>) -> Leader {
        self.listen("a leader", |field| {
            let frozen = |term: &&Term| field.stopped.contains(&term.candidate);
            let newer = |term: &&Term| after.is_none_or(|token| term.token > token);
            let mut open = field.terms.iter().filter(|term| !term.over && newer(term) && !frozen(term));
            let term = open.next_back()?;
            Some(Leader { candidate: term.candidate, token: term.token, since: term.from })
        })
    }

    /// Waits until this term has ended. It lasted at the instant that is given, and ended before the next
    /// question of its candidate.
    #[track_caller]
    pub fn end_of(&mut self, token: u64) -> Instant {
        self.listen("the end of a term", |field| {
            field.terms.iter().find(|term| term.token == token && term.over)?.lasted
        })
    }

    /// Waits until a candidate's store has complained of this.
    #[track_caller]
    pub fn complaint(&mut self, of: &str) {
        self.listen(of, |field| field.errors.iter().any(|error| error.contains(of)).then_some(()));
    }

    /// No store has complained, but of answers that came too late for a short lease, as on a busy machine.
    #[track_caller]
    pub fn assert_no_complaint(&mut self) {
        self.pass(Duration::ZERO);
        let late = |error: &&String| error.contains("no answer within");
        let errors: Vec<&String> = self.errors.iter().filter(|error| !late(error)).collect();
        assert!(errors.is_empty(), "{errors:?}");
    }

    /// Records the candidates' reports for this time.
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

    /// `kill -9`; says when. The term lasted as long as the candidate has said.
    pub fn kill(&mut self, candidate: usize) -> Instant {
        let killed = self.candidates.remove(&candidate).expect("it runs").kill();
        self.stopped.remove(&candidate);
        self.pass(Duration::ZERO);
        self.terms.iter_mut().filter(|term| term.candidate == candidate).for_each(|term| term.over = true);
        killed
    }

    pub fn stop(&mut self, candidate: usize) -> Instant {
        let at = clock::now();
        self.candidates[&candidate].signal(Signal::SIGSTOP);
        self.stopped.insert(candidate);
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

    /// The largest token of a term so far.
    pub fn newest(&mut self) -> Option<u64> {
        self.pass(Duration::ZERO);
        self.terms.iter().map(|term| term.token).max()
    }

    /// Ends all candidates, and judges the whole run: no two leaders at any instant, and each term's token
    /// larger than those of all terms before it. Gives the number of terms until then: while they end, one
    /// may still follow another.
    #[track_caller]
    pub fn judge(mut self) -> usize {
        let count = self.terms();
        self.end();
        for (term, later) in self.pairs() {
            assert!(term.token < later.token, "two terms of one token: {term:?} and {later:?}");
            // A later term had begun while this one still lasted: two leaders, or a token that went back.
            let both = term.lasted.unwrap_or(Instant::ZERO).saturating_since(later.from);
            let terms = &self.terms;
            assert!(both.is_zero(), "two leaders, {both:?}: {term:?} and {later:?}\nof {terms:#?}");
        }
        count
    }

    /// Judges only the tokens: the later a term began, the larger its token. For tests that take the row from
    /// under a holder, who may trust it to the end of its lease.
    #[track_caller]
    pub fn judge_tokens(mut self) {
        self.end();
        for (term, later) in self.pairs() {
            assert!(term.token < later.token, "two terms of one token: {term:?} and {later:?}");
            assert!(term.from < later.from, "a token went back: {later:?} and then {term:?}");
        }
    }

    /// All pairs of terms, ordered by their tokens.
    fn pairs(&self) -> impl Iterator<Item = (&Term, &Term)> {
        let mut terms: Vec<&Term> = self.terms.iter().collect();
        terms.sort_by_key(|term| term.token);
        let pairs = |at: usize| (at + 1..terms.len()).map(move |later| (at, later));
        let pairs: Vec<(usize, usize)> = (0..terms.len()).flat_map(pairs).collect();
        pairs.into_iter().map(move |(at, later)| (terms[at], terms[later]))
    }

    /// Has all candidates release and say their last word.
    #[track_caller]
    fn end(&mut self) {
        let running: Vec<usize> = self.candidates.keys().copied().collect();
        for &candidate in &running {
            self.say(candidate, "end");
        }
        self.listen("the end of the candidates", |field| {
            let ended =
                |candidate: &usize| field.done.iter().any(|(who, what)| who == candidate && what == "end");
            running.iter().all(ended).then_some(())
        });
        let open = self.terms.iter().find(|term| !term.over);
        assert!(open.is_none(), "after its release a candidate still leads: {open:?}");
    }
}
