//! The state that the two threads of a hub and its callers share, behind one lock.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::candidate::{Candidate, CandidateId, Planner};
use crate::core::lease::{Config, Input, Reply, Request, Wait};
use crate::core::sql::postgres::Table;
use crate::core::{Instant, Name};
use crate::driver::host::contained;
use crate::driver::host::descriptor::Descriptor;
use crate::driver::stores::url::StoreUrl;
use crate::driver::stores::{CandidateText, Hint, Job, StoreError, check_election_fits};

/// A hub. `hub/mod.rs` starts it and runs its own thread.
pub(crate) struct Hub {
    pub(crate) url: StoreUrl,
    shared: Mutex<Shared>,
    /// Wakes the hub's thread.
    pub(super) hub_wake: Condvar,
    /// Wakes the store's thread.
    pub(super) store_wake: Condvar,
    /// Signalled after each attempt to open or use the store.
    pub(super) connection_changed: Condvar,
}

/// The candidates, and the work queued for each of the two threads.
#[derive(Default)]
pub(super) struct Shared {
    pub(super) candidates: HashMap<CandidateId, Slot>,
    by_election: HashMap<Name, Vec<CandidateId>>,
    last_id: CandidateId,
    /// The candidates' timers, by the latest instant at which each must fire. The value is the earliest
    /// instant at which it may fire.
    pub(super) timers: BTreeMap<(Instant, CandidateId), Instant>,
    /// The largest time from earliest to latest of any timer so far.
    most_slack: Duration,
    /// Candidates whose elector was dropped. Each is removed once it is settled: the store has confirmed its
    /// release, or no release is needed any more.
    pub(super) retired: Vec<CandidateId>,
    /// When the hub's thread will wake without being notified; zero while it is awake.
    pub(super) sleeps_until: Instant,
    /// The hub's thread is stepping machines. The store's thread waits meanwhile, so that all their requests
    /// go out as one batch.
    pub(super) stepping: bool,
    pub(super) jobs: Vec<(CandidateId, Job)>,
    replies: Vec<(CandidateId, Reply)>,
    hints: Vec<Hint>,
    pub(super) connection: Connection,
    pub(super) closed: bool,
}

pub(super) struct Slot {
    pub(super) candidate: Arc<Candidate>,
    wait: Wait,
}

/// The state of the connection to the store, for callers and for the store's thread.
#[derive(Default)]
pub(super) struct Connection {
    /// The number of the latest `connect` call, and of the latest one that has been answered.
    pub(super) asked: u64,
    pub(super) answered: u64,
    /// The texts to check for each waiting `connect` call, by the number of the call.
    pub(super) texts: Vec<(u64, Vec<CandidateText>)>,
    /// The refused texts of waiting calls, by the number of the call.
    refusals: Vec<(u64, StoreError)>,
    /// The store reported [`Hint::Gone`]; the store's thread must use the store soon, so that it lets go.
    pub(super) gone: bool,
    /// The latest error, unless an operation succeeded since.
    pub(super) error: Option<StoreError>,
    /// The descriptor whose kernel lock proves that this process lives.
    pub(super) lock_fd: Option<Arc<Descriptor>>,
    /// The table that guards refer to.
    pub(super) table: Option<Table>,
}

impl Connection {
    fn is_wanted(&self) -> bool {
        self.gone || self.asked != self.answered
    }

    /// Records refusals for the callers that still wait.
    pub(super) fn refuse(&mut self, refused: Vec<(u64, StoreError)>) {
        for (call, error) in refused {
            let is_waiting = self.texts.iter().any(|(number, _)| *number == call);
            let is_known = self.refusals.iter().any(|(number, _)| *number == call);
            if is_waiting && !is_known {
                self.refusals.push((call, error));
            }
        }
    }

    /// Ends a call: forgets its texts and returns their refusal.
    fn end_call(&mut self, call: u64) -> Option<StoreError> {
        self.texts.retain(|(number, _)| *number != call);
        let at = self.refusals.iter().position(|(number, _)| *number == call)?;
        Some(self.refusals.swap_remove(at).1)
    }
}

impl Hub {
    pub(super) fn new(url: StoreUrl) -> Hub {
        Hub {
            url,
            shared: Mutex::default(),
            hub_wake: Condvar::new(),
            store_wake: Condvar::new(),
            connection_changed: Condvar::new(),
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Shared> {
        lock(&self.shared)
    }

    // ---- For electors ----

    pub(super) fn add(self: &Arc<Hub>, config: Config) -> Arc<Candidate> {
        let mut shared = self.lock();
        shared.last_id += 1;
        let planner: Arc<dyn Planner> = Arc::<Hub>::clone(self);
        let candidate = Arc::new(Candidate::new(shared.last_id, planner, config));
        shared.by_election.entry(candidate.election.clone()).or_default().push(candidate.id);
        let slot = Slot { candidate: Arc::clone(&candidate), wait: Wait::NEVER };
        shared.candidates.insert(candidate.id, slot);
        candidate
    }

    /// Removes a candidate whose elector was dropped. A lease that it holds expires.
    #[cfg(feature = "capi")]
    pub(crate) fn abandon(&self, candidate: &Candidate) {
        self.lock().remove(candidate);
        self.hub_wake.notify_one();
    }

    /// Removes a candidate whose elector was dropped, once it is settled: the store has confirmed its
    /// release, or no release is needed any more.
    pub(crate) fn retire(&self, id: CandidateId) {
        self.lock().retired.push(id);
        self.hub_wake.notify_one();
    }

    /// Opens the store if it is not open, and checks `texts`
    /// ([`Store::check_texts`](crate::driver::stores::Store::check_texts)). Returns the result, or `None` if
    /// it is not known within `timeout`.
    pub(crate) fn connect(
        &self,
        timeout: Duration,
        texts: Vec<CandidateText>,
    ) -> Option<Result<(), StoreError>> {
        let mut shared = self.lock();
        shared.connection.asked += 1;
        let call = shared.connection.asked;
        shared.connection.texts.push((call, texts));
        self.store_wake.notify_one();
        let waited = self.connection_changed.wait_timeout_while(shared, timeout, |shared| {
            shared.connection.answered < call && !shared.closed
        });
        let mut shared = waited.unwrap_or_else(PoisonError::into_inner).0;
        let connection = &mut shared.connection;
        let refusal = connection.end_call(call);
        let answered = connection.answered >= call;
        answered.then(|| refusal.or_else(|| connection.error.clone()).map_or(Ok(()), Err))
    }

    /// Refuses an election whose name is too long for the store's table, if that table is known.
    pub(crate) fn check_election(&self, election: &str) -> Result<(), StoreError> {
        self.table().map_or(Ok(()), |table| check_election_fits(&self.url, &table, election))
    }

    /// See [`Store::table`](crate::driver::stores::Store::table).
    pub(crate) fn table(&self) -> Option<Table> {
        self.lock().connection.table.clone()
    }

    /// See [`Store::lock_fd`](crate::driver::stores::Store::lock_fd).
    pub(crate) fn lock_fd(&self) -> Option<Arc<Descriptor>> {
        self.lock().connection.lock_fd.clone()
    }

    /// The store's error if its latest operation failed.
    pub(crate) fn last_error(&self) -> Option<StoreError> {
        self.lock().connection.error.clone()
    }

    // ---- For the store, on any thread ----

    /// Passes a hint of the store on to the hub's thread.
    pub(crate) fn notify(&self, hint: Hint) {
        let mut shared = self.lock();
        if !shared.hints.contains(&hint) {
            shared.hints.push(hint);
        }
        drop(shared);
        self.hub_wake.notify_one();
    }

    /// Passes the store's replies on to the hub's thread.
    pub(super) fn answered(&self, replies: impl IntoIterator<Item = (CandidateId, Reply)>) {
        self.lock().replies.extend(replies);
        self.hub_wake.notify_one();
    }
}

impl Planner for Hub {
    fn planned(&self, id: CandidateId, election: &Name, request: Option<Request>, wait: Wait) {
        let mut shared = self.lock();
        let wake_hub = shared.set_timer(id, wait);
        let request = request.filter(|_| shared.candidates.contains_key(&id));
        let wake_store = request.is_some() && !shared.stepping;
        if let Some(request) = request {
            shared.jobs.push((id, Job { election: election.clone(), request }));
        }
        drop(shared);
        if wake_hub {
            self.hub_wake.notify_one();
        }
        if wake_store {
            self.store_wake.notify_one();
        }
    }
}

impl Shared {
    /// Sets a candidate's timer. Returns whether the hub's thread would sleep past it.
    fn set_timer(&mut self, id: CandidateId, wait: Wait) -> bool {
        let Some(slot) = self.candidates.get_mut(&id) else { return false };
        let old = std::mem::replace(&mut slot.wait, wait);
        if old == wait {
            return false;
        }
        self.timers.remove(&(old.latest, id));
        if wait.latest < Instant::MAX {
            self.timers.insert((wait.latest, id), wait.earliest);
            self.most_slack = self.most_slack.max(wait.latest.saturating_since(wait.earliest));
        }
        wait.latest < self.sleeps_until
    }

    pub(super) fn take_work(&mut self, now: Instant) -> Work {
        let mut work = Work::default();
        for (id, reply) in std::mem::take(&mut self.replies) {
            if let Some(slot) = self.candidates.get(&id) {
                work.replies.push((Arc::clone(&slot.candidate), reply));
            }
        }
        for hint in std::mem::take(&mut self.hints) {
            match hint {
                Hint::Election(election) => {
                    let ids = self.by_election.get(&election).into_iter().flatten();
                    let slots = ids.filter_map(|id| self.candidates.get(id));
                    work.hinted.extend(slots.map(|slot| Arc::clone(&slot.candidate)));
                }
                Hint::Any => work.hinted.extend(self.all()),
                Hint::Gone => {
                    self.connection.gone = true;
                    work.revoked.extend(self.all());
                }
            }
        }
        self.take_due(now, &mut work.due);
        work
    }

    fn all(&self) -> impl Iterator<Item = Arc<Candidate>> {
        self.candidates.values().map(|slot| Arc::clone(&slot.candidate))
    }

    /// Collects the timers to fire. Once one must fire, all that may fire do, so that the requests of their
    /// machines go out as one batch.
    fn take_due(&self, now: Instant, due: &mut Vec<Arc<Candidate>>) {
        if self.timers.keys().next().is_none_or(|&(latest, _)| latest > now) {
            return;
        }
        let last = now.saturating_add(self.most_slack);
        let timers = self.timers.range(..=(last, CandidateId::MAX)).filter(|&(_, &earliest)| earliest <= now);
        let slots = timers.filter_map(|((_, id), _)| self.candidates.get(id));
        due.extend(slots.map(|slot| Arc::clone(&slot.candidate)));
    }

    pub(super) fn remove(&mut self, candidate: &Candidate) {
        if let Some(slot) = self.candidates.remove(&candidate.id) {
            self.timers.remove(&(slot.wait.latest, candidate.id));
        }
        if let Some(ids) = self.by_election.get_mut(&candidate.election) {
            ids.retain(|&id| id != candidate.id);
            if ids.is_empty() {
                self.by_election.remove(&candidate.election);
            }
        }
    }

    /// Whether the store's thread has something to do.
    pub(super) fn has_store_work(&self) -> bool {
        self.closed || self.connection.is_wanted() || (!self.jobs.is_empty() && !self.stepping)
    }
}

/// The inputs that the hub's thread has taken for its candidates.
#[derive(Default)]
pub(super) struct Work {
    replies: Vec<(Arc<Candidate>, Reply)>,
    hinted: Vec<Arc<Candidate>>,
    revoked: Vec<Arc<Candidate>>,
    due: Vec<Arc<Candidate>>,
}

impl Work {
    pub(super) fn is_empty(&self) -> bool {
        self.replies.is_empty() && self.hinted.is_empty() && self.revoked.is_empty() && self.due.is_empty()
    }

    pub(super) fn step(self) {
        let revoked = self.revoked.into_iter().map(|candidate| (candidate, Input::Revoked));
        let answered = self.replies.into_iter().map(|(candidate, reply)| (candidate, Input::Reply(reply)));
        let due = self.due.into_iter().map(|candidate| (candidate, Input::Timeout));
        let hinted = self.hinted.into_iter().map(|candidate| (candidate, Input::Hint));
        for (candidate, input) in revoked.chain(answered).chain(due).chain(hinted) {
            // A panic of one candidate must not deprive the others of their inputs.
            contained::run(|| candidate.input(input));
        }
    }
}

/// Locks a mutex even if it is poisoned. Going on with the state that a panic has left is better than
/// stopping the hub, which would end every term.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
