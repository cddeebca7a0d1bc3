//! A place under test, a connection with a method for each operation, and what was asked and found.

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::place::Place;
use crate::core::lease::{Acquire, Failure, LeaderId, Op, Outcome, Request, RequestId, Row, Version};
use crate::core::{FencingToken, Name};
use crate::driver::host::clock;
use crate::driver::stores::{Answer, ElectionRow, Hint, Job, Notifier, Store, StoreError};

/// A lease of which half outlasts every property.
pub(super) const LEASE: Duration = Duration::from_secs(240);
/// How long a property waits for what must come.
pub(super) const SOON: Duration = Duration::from_secs(60);
/// A lease that a property waits for.
pub(super) const SHORT: Duration = Duration::from_millis(120);
/// How many calls are kept for people.
const TAIL: usize = 16;

/// What was expected, and what was found.
#[derive(Debug)]
pub(super) struct Broken(pub(super) String);

pub(super) type Checked<T = ()> = Result<T, Broken>;

impl From<StoreError> for Broken {
    fn from(error: StoreError) -> Broken {
        Broken(error.to_string())
    }
}

/// Fails unless `is_so`, with what should be so and what was found.
pub(super) fn require(is_so: bool, what: fmt::Arguments<'_>) -> Checked {
    if is_so { Ok(()) } else { Err(Broken(what.to_string())) }
}

pub(super) fn equal<T: PartialEq + fmt::Debug>(what: &str, found: T, expected: T) -> Checked {
    require(found == expected, format_args!("{what}: expected {expected:?}, found {found:?}"))
}

/// One property on one fresh place.
pub(super) struct Trial<'a> {
    pub(super) place: &'a dyn Place,
    opened: AtomicUsize,
    /// The latest calls, with what they returned.
    calls: Mutex<VecDeque<String>>,
}

impl<'a> Trial<'a> {
    pub(super) fn new(place: &'a dyn Place) -> Trial<'a> {
        Trial { place, opened: AtomicUsize::new(0), calls: Mutex::default() }
    }

    pub(super) fn open(&self) -> Checked<Connection<'_>> {
        self.open_with(&(Arc::new(|_| {}) as Notifier))
    }

    /// A connection and the hints that it gives.
    pub(super) fn open_listening(&self) -> Checked<(Connection<'_>, Receiver<Hint>)> {
        let (tell, told) = channel();
        // A store may give hints from any thread.
        let tell = Mutex::new(tell);
        let send = move |hint| drop(tell.lock().unwrap_or_else(PoisonError::into_inner).send(hint));
        Ok((self.open_with(&(Arc::new(send) as Notifier))?, told))
    }

    fn open_with(&self, notifier: &Notifier) -> Checked<Connection<'_>> {
        let store = patiently(|| self.place.open(Arc::clone(notifier)))
            .map_err(|error| Broken(format!("cannot open a connection: {error}")))?;
        let number = self.opened.fetch_add(1, Ordering::Relaxed) + 1;
        Ok(Connection { trial: self, number, store })
    }

    /// The latest calls, the oldest first.
    pub(super) fn calls(self) -> Vec<String> {
        self.calls.into_inner().unwrap_or_else(PoisonError::into_inner).into()
    }

    fn note(&self, connection: usize, call: fmt::Arguments<'_>) {
        let mut calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        if calls.len() == TAIL {
            calls.pop_front();
        }
        calls.push_back(format!("connection {connection}: {call}"));
    }
}

/// A connection with a method for each operation.
pub(super) struct Connection<'a> {
    trial: &'a Trial<'a>,
    number: usize,
    store: Box<dyn Store>,
}

impl Connection<'_> {
    pub(super) fn execute(&mut self, ops: Vec<(&str, Op)>) -> Checked<Vec<Answer>> {
        static REQUESTS: AtomicU64 = AtomicU64::new(1);
        let deadline = clock::now().saturating_add(SOON);
        let job = |(election, op): (&str, Op)| {
            let id = RequestId(REQUESTS.fetch_add(1, Ordering::Relaxed));
            Job { election: name(election), request: Request { id, deadline, op } }
        };
        let jobs: Vec<Job> = ops.into_iter().map(job).collect();
        let mut answers = self.store.execute(&jobs);
        // A store may give up before the deadline, having done nothing: on a slow disk, say.
        let unsent = |answer: &Answer| answer.reply.outcome == Outcome::Failed(Failure::Unsent);
        while answers.iter().all(unsent) && !answers.is_empty() && clock::now() < deadline {
            std::thread::sleep(Duration::from_millis(1));
            answers = self.store.execute(&jobs);
        }
        for (job, answer) in jobs.iter().zip(&answers).take(TAIL / 2) {
            let outcome = &answer.reply.outcome;
            self.trial.note(self.number, format_args!("{}: {outcome:?}", described(job)));
        }
        equal("answers to a batch", answers.len(), jobs.len())?;
        for (job, answer) in jobs.iter().zip(&answers) {
            if answer.reply.id != job.request.id {
                let what = described(job);
                return Err(Broken(format!("{what}: the answer in its place names another request")));
            }
            let (outcome, error) = (&answer.reply.outcome, &answer.error);
            if matches!(outcome, Outcome::Failed(_)) || error.is_some() {
                let why = error.as_ref().map_or("no message".to_owned(), ToString::to_string);
                return Err(Broken(format!("{}: {outcome:?}, {why}", described(job))));
            }
        }
        Ok(answers)
    }

    pub(super) fn outcomes(&mut self, ops: Vec<(&str, Op)>) -> Checked<Vec<Outcome>> {
        Ok(self.execute(ops)?.into_iter().map(|answer| answer.reply.outcome).collect())
    }

    pub(super) fn one(&mut self, election: &str, op: Op) -> Checked<Outcome> {
        Ok(self.outcomes(vec![(election, op)])?.remove(0))
    }

    pub(super) fn look(&mut self, election: &str) -> Checked<Option<Row>> {
        match self.one(election, Op::Look)? {
            Outcome::Seen(row) => Ok(row),
            other => Err(Broken(format!("look {election:?}: expected the row, found {other:?}"))),
        }
    }

    /// The row, which must be there.
    pub(super) fn row(&mut self, election: &str) -> Checked<Row> {
        self.look(election)?.ok_or_else(|| Broken(format!("look {election:?}: expected a row, found none")))
    }

    pub(super) fn acquire(&mut self, election: &str, who: &str, lease: Duration) -> Checked<Outcome> {
        self.one(election, acquire(who, lease))
    }

    /// Acquires what must be free.
    pub(super) fn granted(&mut self, election: &str, who: &str, lease: Duration) -> Checked<FencingToken> {
        match self.acquire(election, who, lease)? {
            Outcome::Granted { token } => Ok(token),
            other => {
                Err(Broken(format!("acquire {election:?} for {who}: expected a grant, found {other:?}")))
            }
        }
    }

    /// Sends an acquire, which must be refused because the lease is held; returns the row that the store
    /// shows.
    pub(super) fn refused(&mut self, election: &str, who: &str) -> Checked<Row> {
        seen(self.acquire(election, who, LEASE)?)
    }

    /// Acquires again and again until it is granted.
    pub(super) fn granted_at_last(&mut self, election: &str, who: &str) -> Checked<FencingToken> {
        let end = Instant::now() + SOON;
        while Instant::now() < end {
            match self.acquire(election, who, LEASE)? {
                Outcome::Granted { token } => return Ok(token),
                other => {
                    let remaining = seen(other)?.remaining;
                    let what = "what remains of a lease of at most 240 s";
                    require(remaining <= LEASE, format_args!("{what}: found {remaining:?}"))?;
                }
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Err(Broken(format!("acquire {election:?} for {who}: not granted within {SOON:?}")))
    }

    pub(super) fn acquire_unchanged(
        &mut self,
        election: &str,
        who: &str,
        version: Version,
    ) -> Checked<Outcome> {
        self.one(election, Op::Acquire(Acquire { unchanged: Some(version), ..wish(who, LEASE) }))
    }

    pub(super) fn renew(&mut self, election: &str, who: &str, token: FencingToken) -> Checked<Outcome> {
        self.renew_for(election, who, token, LEASE)
    }

    pub(super) fn renew_for(
        &mut self,
        election: &str,
        who: &str,
        token: FencingToken,
        lease: Duration,
    ) -> Checked<Outcome> {
        self.one(election, Op::Renew { token, holder: id(who), lease })
    }

    pub(super) fn release(&mut self, election: &str, who: &str, token: FencingToken) -> Checked {
        let outcome = self.one(election, Op::Release { token, holder: id(who) })?;
        equal(&format!("release {election:?} by {who}"), outcome, Outcome::Released)
    }

    pub(super) fn revoke(&mut self, election: &str, token: Option<FencingToken>) -> Checked<Option<Row>> {
        let row = patiently(|| self.store.revoke(&name(election), token))?;
        self.trial.note(self.number, format_args!("revoke {election:?}, token {token:?}: {row:?}"));
        Ok(row)
    }

    /// Deletes dead rows, and returns how many.
    pub(super) fn clean_up(&mut self) -> Checked<u64> {
        let deleted = patiently(|| self.store.clean_up())?;
        self.trial.note(self.number, format_args!("clean up: {deleted}"));
        Ok(deleted)
    }

    pub(super) fn rows(&mut self, election: Option<&str>) -> Checked<Vec<ElectionRow>> {
        let wanted = election.map(name);
        let rows = patiently(|| self.store.rows(wanted.as_ref()))?;
        self.trial.note(self.number, format_args!("rows of {election:?}: {}", rows.len()));
        Ok(rows)
    }
}

/// Tries an operation again until it succeeds: on a busy machine it may time out.
fn patiently<T>(mut attempt: impl FnMut() -> Result<T, StoreError>) -> Result<T, StoreError> {
    let end = Instant::now() + SOON;
    loop {
        match attempt() {
            Err(error) if !error.is_permanent() && Instant::now() < end => {
                std::thread::sleep(Duration::from_millis(100));
            }
            result => return result,
        }
    }
}

/// The row that an acquire was refused with.
pub(super) fn seen(outcome: Outcome) -> Checked<Row> {
    match outcome {
        Outcome::Seen(Some(row)) => Ok(row),
        other => Err(Broken(format!("acquire: expected the row as it stands, found {other:?}"))),
    }
}

fn described(job: &Job) -> String {
    let election = &job.election;
    match &job.request.op {
        Op::Acquire(Acquire { holder, lease, unchanged: None, .. }) => {
            format!("acquire {election:?} for {}, lease {lease:?}", holder.candidate())
        }
        Op::Acquire(Acquire { holder, unchanged: Some(version), .. }) => {
            format!("acquire {election:?} for {}, if {version:?}", holder.candidate())
        }
        Op::Renew { token, holder, lease } => {
            format!("renew {election:?} by {}, token {token}, lease {lease:?}", holder.candidate())
        }
        Op::Release { token, holder } => {
            format!("release {election:?} by {}, token {token}", holder.candidate())
        }
        Op::Look => format!("look {election:?}"),
    }
}

fn name(election: &str) -> Name {
    Name::new("election", election).expect("the properties' elections are valid names")
}

pub(super) fn id(who: &str) -> LeaderId {
    LeaderId::new(&Name::new("candidate", who).expect("the properties' candidates are valid names"), 7)
}

fn wish(who: &str, lease: Duration) -> Acquire {
    Acquire { holder: id(who), meta: Some(format!("{who}'s").into()), lease, unchanged: None }
}

pub(super) fn acquire(who: &str, lease: Duration) -> Op {
    Op::Acquire(wish(who, lease))
}
