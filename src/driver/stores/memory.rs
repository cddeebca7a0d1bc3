//! The store in memory, for tests: of this crate, of its bindings and of your program.
//!
//! `memory:NAME` names one store of the process. All electors that open the same name share it, and it lives
//! as long as the process. [`MemoryStore::named`] gives a test control over it:
//!
//! ```
//! use elector::core::lease::Failure;
//! use elector::driver::stores::memory::MemoryStore;
//! use elector::driver::stores::{Store, StoreError};
//! use std::sync::Arc;
//!
//! let control = MemoryStore::named("orders");
//! let mut store = control.open(Arc::new(|_hint| {}));
//! assert!(store.rows(None).unwrap().is_empty());
//!
//! control.fail_with(Some(StoreError::new(Failure::Unsent, "the network is down")));
//! assert_eq!(store.rows(None).unwrap_err().to_string(), "the network is down");
//! control.fail_with(None);
//! assert!(store.rows(None).is_ok());
//! ```

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::core::lease::{Failure, Outcome, Reply, Row, StoreClock};
use crate::core::table::{Record, Table};
use crate::core::{FencingToken, Name, StoreTime};
use crate::driver::host::clock;
use crate::driver::host::fork::PerProcess;
use crate::driver::stores::opener::Opener;
use crate::driver::stores::{Answer, ElectionRow, Hint, Job, Notifier, Store, StoreError, no_token_left};

/// A named store of this process and the controls of a test. Cheap to clone.
#[derive(Clone)]
pub struct MemoryStore {
    name: Arc<str>,
    shared: Arc<Mutex<Shared>>,
}

#[derive(Default)]
struct Shared {
    table: Table,
    notifiers: HashMap<u64, Notifier>,
    connections_ever: u64,
    failure: Option<StoreError>,
    delay: Duration,
    clock_offset_us: i64,
    timeline: u64,
}

static STORES: PerProcess<Mutex<HashMap<Arc<str>, MemoryStore>>> = PerProcess::new();

impl MemoryStore {
    /// The store of this name. It is created if the process has none yet.
    #[must_use]
    pub fn named(name: &str) -> MemoryStore {
        let mut stores = STORES.get().lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(store) = stores.get(name) {
            return store.clone();
        }
        let store = MemoryStore { name: name.into(), shared: Arc::default() };
        stores.insert(store.name.clone(), store.clone());
        store
    }

    /// Opens a connection. `notifier` is called when a lease is released or revoked through any connection.
    #[must_use]
    pub fn open(&self, notifier: Notifier) -> Box<dyn Store> {
        let mut shared = self.lock();
        shared.connections_ever += 1;
        let id = shared.connections_ever;
        shared.notifiers.insert(id, notifier);
        Box::new(Connection { store: self.clone(), id, opener: Opener::this_process() })
    }

    /// Makes every later call fail with this error; `None` ends that. With [`Failure::Unknown`] operations
    /// are executed and only their replies are lost; with other failures they are not executed.
    pub fn fail_with(&self, error: Option<StoreError>) {
        self.lock().failure = error;
    }

    /// Makes every later call take this long. A batch whose latest deadline is earlier is not executed and
    /// fails at that deadline, so a very long delay simulates a hanging store.
    pub fn delay(&self, delay: Duration) {
        self.lock().delay = delay;
    }

    /// Deletes a row, as an operator could. Returns whether there was one.
    pub fn delete_row(&self, election: &Name) -> bool {
        self.lock().table.delete(election)
    }

    /// Steps the store's clock by `by_us` microseconds, forward if positive.
    pub fn step_clock(&self, by_us: i64) {
        let mut shared = self.lock();
        shared.clock_offset_us = shared.clock_offset_us.saturating_add(by_us);
    }

    /// Changes the store's timeline, as the promotion of a standby does.
    pub fn set_timeline(&self, timeline: u64) {
        self.lock().timeline = timeline;
    }

    /// Gives a hint to every connection, which a store may do at any time.
    pub fn notify(&self, hint: &Hint) {
        // Notifiers are called without the lock, since they may use the store.
        let notifiers: Vec<Notifier> = self.lock().notifiers.values().cloned().collect();
        notifiers.iter().for_each(|notifier| notifier(hint.clone()));
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "memory:{}", self.name)
    }
}

impl Shared {
    fn clock(&self) -> StoreClock {
        let now = i64::try_from(clock::now().as_nanos() / 1_000).unwrap_or(i64::MAX);
        let now = StoreTime::from_micros(now.saturating_add(self.clock_offset_us));
        StoreClock { now, timeline: self.timeline }
    }
}

/// One connection to a [`MemoryStore`].
struct Connection {
    store: MemoryStore,
    id: u64,
    opener: Opener,
}

impl Connection {
    /// Waits for [`MemoryStore::delay`], then fails with the error of [`MemoryStore::fail_with`].
    fn wait(&self, at_most: Duration) -> Result<(), StoreError> {
        self.opener.check(format_args!("{:?}", self.store))?;
        let delay = self.store.lock().delay;
        std::thread::sleep(delay.min(at_most));
        if delay > at_most {
            let message =
                format!("{:?} did not answer within {at_most:?}: its delay is {delay:?}", self.store);
            return Err(StoreError::new(Failure::Unsent, message));
        }
        self.store.lock().failure.clone().map_or(Ok(()), Err)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.store.lock().notifiers.remove(&self.id);
    }
}

impl Store for Connection {
    fn execute(&mut self, jobs: &[Job]) -> Vec<Answer> {
        let latest = jobs.iter().map(|job| job.request.deadline).max().unwrap_or_default();
        let failed = self.wait(latest.saturating_since(clock::now())).err();
        if let Some(error) = failed.as_ref().filter(|error| error.failure() != Failure::Unknown) {
            return jobs.iter().map(|job| Answer::failed(job, error)).collect();
        }
        let mut released = Vec::new();
        let mut shared = self.store.lock();
        let clock = shared.clock();
        let unix_us = clock::unix_micros();
        let mut execute =
            |job: &Job| shared.table.execute(&job.election, &job.request.op, clock.now, unix_us);
        let answer = |job: &Job| match execute(job) {
            Ok(outcome) => {
                if outcome == Outcome::Released {
                    released.push(job.election.clone());
                }
                Answer { reply: Reply { id: job.request.id, clock: Some(clock), outcome }, error: None }
            }
            Err(error) => Answer::failed(job, &no_token_left(&job.election, error)),
        };
        let answers = jobs.iter().map(answer).collect();
        drop(shared);
        released.into_iter().for_each(|election| self.store.notify(&Hint::Election(election)));
        match failed {
            Some(error) => jobs.iter().map(|job| Answer::failed(job, &error)).collect(),
            None => answers,
        }
    }

    fn rows(&mut self, election: Option<&Name>) -> Result<Vec<ElectionRow>, StoreError> {
        self.wait(Duration::MAX)?;
        let shared = self.store.lock();
        let now = shared.clock().now;
        let wanted = |name: &Name| election.is_none_or(|election| election == name);
        let show = |(name, record): (&Name, &Record)| ElectionRow {
            election: name.clone(),
            row: record.row(now),
            since_unix_us: record.since_unix_us,
        };
        Ok(shared.table.rows().filter(|(name, _)| wanted(name)).map(show).collect())
    }

    fn revoke(&mut self, election: &Name, token: Option<FencingToken>) -> Result<Option<Row>, StoreError> {
        self.wait(Duration::MAX)?;
        let mut shared = self.store.lock();
        let now = shared.clock().now;
        let revoked = shared.table.revoke(election, token, now);
        drop(shared);
        let revoked = revoked.map_err(|error| no_token_left(election, error))?;
        if revoked.is_some() {
            self.store.notify(&Hint::Election(election.clone()));
        }
        Ok(revoked)
    }

    fn clean_up(&mut self) -> Result<u64, StoreError> {
        self.wait(Duration::MAX)?;
        let mut shared = self.store.lock();
        let now = shared.clock().now;
        Ok(shared.table.clean_up(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::lease::{Acquire, LeaderId, Op, Request, RequestId};

    fn job(op: Op) -> Job {
        let deadline = clock::now().saturating_add(Duration::from_millis(50));
        let request = Request { id: RequestId(1), deadline, op };
        Job { election: Name::new("election", "e").unwrap(), request }
    }

    fn acquire() -> Job {
        let holder = LeaderId::new(&Name::new("candidate", "c").unwrap(), 1);
        let lease = Duration::from_secs(60);
        job(Op::Acquire(Acquire { holder, meta: None, lease, unchanged: None }))
    }

    fn outcome(store: &mut dyn Store, job: Job) -> Outcome {
        store.execute(&[job]).remove(0).reply.outcome
    }

    #[test]
    fn a_lost_reply_leaves_the_operation_executed_and_a_failed_send_does_not() {
        let control = MemoryStore::named("lost reply");
        let mut store = control.open(Arc::new(|_| {}));
        control.fail_with(Some(StoreError::new(Failure::Unsent, "no way")));
        assert_eq!(outcome(&mut *store, acquire()), Outcome::Failed(Failure::Unsent));
        control.fail_with(None);
        assert_eq!(outcome(&mut *store, job(Op::Look)), Outcome::Seen(None));
        control.fail_with(Some(StoreError::new(Failure::Unknown, "no answer")));
        assert_eq!(outcome(&mut *store, acquire()), Outcome::Failed(Failure::Unknown));
        control.fail_with(None);
        assert!(matches!(outcome(&mut *store, job(Op::Look)), Outcome::Seen(Some(_))));
    }

    #[test]
    fn a_store_that_hangs_returns_at_the_deadline() {
        let control = MemoryStore::named("hangs");
        let mut store = control.open(Arc::new(|_| {}));
        control.delay(Duration::from_secs(3_600));
        let start = clock::now();
        assert_eq!(outcome(&mut *store, acquire()), Outcome::Failed(Failure::Unsent));
        assert!(clock::now().saturating_since(start) < Duration::from_secs(60));
    }

    #[test]
    fn a_test_can_delete_rows_and_step_the_clock() {
        let control = MemoryStore::named("control");
        let mut store = control.open(Arc::new(|_| {}));
        let granted = |outcome| matches!(outcome, Outcome::Granted { .. });
        assert!(granted(outcome(&mut *store, acquire())));
        control.step_clock(60_000_001);
        assert!(granted(outcome(&mut *store, acquire())));
        assert!(control.delete_row(&Name::new("election", "e").unwrap()));
        assert!(granted(outcome(&mut *store, acquire())));
        control.step_clock(121_000_000);
        assert_eq!(store.clean_up(), Ok(1));
    }

    #[test]
    fn a_revoked_row_is_returned_with_its_remaining_time() {
        let control = MemoryStore::named("revoked");
        let mut store = control.open(Arc::new(|_| {}));
        let start = clock::now();
        assert!(matches!(outcome(&mut *store, acquire()), Outcome::Granted { .. }));
        let election = Name::new("election", "e").unwrap();
        // The expiry is no further ahead than another clock can have set it, so the holder may trust all of
        // it.
        control.step_clock(-4_000_000);
        let row = store.revoke(&election, None).unwrap().unwrap();
        let passed = clock::now().saturating_since(start);
        assert!(row.remaining + passed >= Duration::from_secs(64), "{row:?} after {passed:?}");
        control.step_clock(-3_600_000_000);
        let row = store.revoke(&election, None).unwrap().unwrap();
        assert_eq!(row.remaining, Duration::from_secs(60));
        let now = store.rows(Some(&election)).unwrap().remove(0).row;
        assert_eq!(now.expires_at, row.expires_at);
    }
}
