//! The store's thread of a hub: it owns the connection to the store.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, PoisonError, Weak};
use std::time::Duration;

use crate::core::Instant;
use crate::core::batch::{MOST_JOBS, Urgency};
use crate::core::lease::{Failure, Op, Outcome, Reply};
use crate::core::table::CLEAN_UP_EVERY;
use crate::driver::host::{clock, contained, random};
use crate::driver::hub::candidate::CandidateId;
use crate::driver::hub::shared::{Hub, Shared};
use crate::driver::hub::telemetry;
use crate::driver::stores::url::StoreUrl;
use crate::driver::stores::{Answer, CandidateText, Hint, Job, Notifier, Store, StoreError};

/// Minimum pause between two attempts to open the store.
const REOPEN_AFTER: Duration = Duration::from_millis(50);
/// Pause after a failed clean-up; it doubles with each further failure.
const CLEAN_UP_AGAIN: Duration = Duration::from_secs(1);

/// Runs the thread until the hub closes.
pub(crate) fn run(hub: &Arc<Hub>) {
    let mut worker = Worker {
        hub: Arc::downgrade(hub),
        store: None,
        opened_at: None,
        write_failed: false,
        clean_ups_failed: 0,
        clean_up_at: next_clean_up(),
    };
    loop {
        let mut shared = hub.lock();
        while !shared.has_store_work() {
            let left = worker.clean_up_at.saturating_since(clock::now());
            if left.is_zero() {
                drop(shared);
                contained::run(|| worker.clean_up());
                shared = hub.lock();
                continue;
            }
            shared = hub.store_wake.wait_timeout(shared, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        if shared.closed {
            return;
        }
        if std::mem::take(&mut shared.connection.gone) {
            // The store must be used even if no candidate campaigns: while it keeps the lock of the lost
            // files, other processes cannot create a new database.
            worker.clean_up_at = clock::now().saturating_add(CLEAN_UP_AGAIN);
        }
        let asked = shared.connection.asked;
        let texts = shared.connection.texts.clone();
        let batch = take_batch(&mut shared);
        drop(shared);
        let outcome = contained::run(|| worker.open(&hub.url)).unwrap_or_else(|| Err(panicked()));
        let outcome = if batch.is_empty() { outcome.and_then(|()| worker.check()) } else { outcome };
        match &outcome {
            Ok(()) if batch.is_empty() => {
                worker.publish(hub);
                hub.lock().connection.error = None;
            }
            Ok(()) => contained::run(|| worker.execute(hub, batch)).unwrap_or_default(),
            Err(error) => {
                // A store that lost its files releases its lock, so the descriptor here must be replaced too.
                worker.publish(hub);
                fail(hub, batch, error);
            }
        }
        let refused = if outcome.is_ok() { worker.refused(&texts) } else { Vec::new() };
        let mut shared = hub.lock();
        shared.connection.refuse(refused);
        shared.connection.answered = asked;
        if let Err(error) = outcome {
            shared.connection.error = Some(error);
        }
        drop(shared);
        hub.connection_changed.notify_all();
    }
}

/// When to clean up after this. Random, so that processes that started together do not clean up together.
fn next_clean_up() -> Instant {
    clock::now().saturating_add(CLEAN_UP_EVERY.mul_f64(0.5 + random::fraction()))
}

/// Takes the jobs of the next batch, the most urgent first. Jobs whose deadline has passed are dropped, since
/// their machines have given up on them.
fn take_batch(shared: &mut Shared) -> Vec<(CandidateId, Job)> {
    let now = clock::now();
    shared.jobs.retain(|(_, job)| job.request.deadline > now);
    shared.jobs.sort_by_key(|(_, job)| Urgency::of(&job.request.op));
    let rest = shared.jobs.split_off(shared.jobs.len().min(MOST_JOBS));
    std::mem::replace(&mut shared.jobs, rest)
}

fn fail(hub: &Hub, batch: Vec<(CandidateId, Job)>, error: &StoreError) {
    hub.answered(batch.into_iter().map(|(candidate, job)| {
        // The store was not open, so nothing was sent, whatever the error itself says.
        let failure = if error.is_permanent() { Failure::Refused } else { Failure::Unsent };
        (candidate, Reply { id: job.request.id, clock: None, outcome: Outcome::Failed(failure) })
    }));
}

struct Worker {
    hub: Weak<Hub>,
    store: Option<Box<dyn Store>>,
    /// The time and error of the last attempt to open the store, if it failed.
    opened_at: Option<(Instant, StoreError)>,
    /// The latest write failed, and since then only free rows were read, which does not prove that writes
    /// work again.
    write_failed: bool,
    clean_up_at: Instant,
    /// The number of clean-ups that failed in a row.
    clean_ups_failed: u32,
}

impl Worker {
    fn open(&mut self, url: &StoreUrl) -> Result<(), StoreError> {
        if self.store.is_some() {
            return Ok(());
        }
        if let Some((at, error)) = &self.opened_at {
            if clock::now().saturating_since(*at) < REOPEN_AFTER {
                return Err(error.clone());
            }
        }
        let hub = Weak::clone(&self.hub);
        let notifier: Notifier = Arc::new(move |hint: Hint| {
            if let Some(hub) = hub.upgrade() {
                hub.notify(hint);
            }
        });
        let opened =
            catch_unwind(AssertUnwindSafe(|| url.open(notifier))).unwrap_or_else(|_| Err(panicked()));
        match opened {
            Ok(store) => {
                self.store = Some(store);
                self.opened_at = None;
                tracing::debug!(store = %url, "opened");
                Ok(())
            }
            Err(error) => {
                self.opened_at = Some((clock::now(), error.clone()));
                tracing::warn!(store = %url, %error, "the store could not be opened");
                Err(error)
            }
        }
    }

    /// Checks the store for a caller of `connect` ([`Store::check`]).
    fn check(&mut self) -> Result<(), StoreError> {
        let Some(store) = self.store.as_mut() else { return Ok(()) };
        let checked = catch_unwind(AssertUnwindSafe(|| store.check()));
        checked.unwrap_or_else(|_| {
            self.store = None;
            Err(panicked())
        })
    }

    /// The `connect` calls whose texts the store refuses or cannot check, each with the error.
    fn refused(&mut self, asked: &[(u64, Vec<CandidateText>)]) -> Vec<(u64, StoreError)> {
        let mut refused = Vec::new();
        for (number, texts) in asked {
            let kept =
                self.store.as_mut().map(|store| catch_unwind(AssertUnwindSafe(|| store.check_texts(texts))));
            match kept {
                Some(Ok(Ok(()))) => {}
                Some(Ok(Err(error))) => refused.push((*number, error)),
                Some(Err(_)) | None => {
                    self.store = None;
                    refused.push((*number, panicked()));
                }
            }
        }
        refused
    }

    /// Copies the store's lock descriptor and table to the shared state, for callers. A store without a
    /// connection knows no table; the last known one stays, since it will be used again.
    fn publish(&self, hub: &Hub) {
        let Some(store) = &self.store else { return };
        let mut shared = hub.lock();
        shared.connection.lock_fd = store.lock_fd();
        if let Some(table) = store.table() {
            shared.connection.table = Some(table);
        }
    }

    fn execute(&mut self, hub: &Hub, batch: Vec<(CandidateId, Job)>) {
        let Some(store) = self.store.as_mut() else { return };
        let (candidates, jobs): (Vec<CandidateId>, Vec<Job>) = batch.into_iter().unzip();
        let _span = tracing::debug_span!("elector.store.execute", jobs = jobs.len()).entered();
        let started = clock::now();
        let executed = catch_unwind(AssertUnwindSafe(|| store.execute(&jobs)));
        let answers = executed.unwrap_or_else(|_| {
            // The state of the store is undefined after a panic, so it is not used again.
            self.store = None;
            jobs.iter().map(|job| unknown(job, &panicked())).collect()
        });
        // After the store may have opened new files, and before a reply can elect a candidate.
        self.publish(hub);
        let took = clock::now().saturating_since(started);
        contained::run(|| telemetry::batch(&jobs, &answers, took));
        let error = answers.iter().find_map(|answer| answer.error.clone());
        if let Some(error) = &error {
            tracing::warn!(store = %hub.url, jobs = jobs.len(), %error, "the store failed");
        }
        // Reading a free row does not prove that writes work again, so the error of a write stays.
        if !jobs.iter().zip(&answers).all(found_free) {
            self.write_failed = jobs.iter().zip(&answers).any(is_failed_write);
        }
        if error.is_some() || !self.write_failed {
            hub.lock().connection.error = error;
        }
        hub.answered(candidates.into_iter().zip(answers.into_iter().map(|answer| answer.reply)));
    }

    fn clean_up(&mut self) {
        self.clean_up_at = next_clean_up();
        let Some(store) = self.store.as_mut() else { return };
        let error = match catch_unwind(AssertUnwindSafe(|| store.clean_up())) {
            Ok(Ok(rows)) => {
                if rows > 0 {
                    tracing::debug!(rows, "removed expired rows");
                }
                self.clean_ups_failed = 0;
                return;
            }
            Ok(Err(error)) => error,
            Err(_) => {
                self.store = None;
                return;
            }
        };
        if self.clean_ups_failed == 0 {
            tracing::warn!(%error, "expired rows were not removed; clean-up will be retried");
        } else {
            tracing::debug!(%error, "expired rows were not removed");
        }
        let pause = CLEAN_UP_AGAIN.saturating_mul(1 << self.clean_ups_failed.min(10)).min(CLEAN_UP_EVERY);
        self.clean_ups_failed = self.clean_ups_failed.saturating_add(1);
        self.clean_up_at = clock::now().saturating_add(pause);
    }
}

/// Whether the job is a look that found a free row, which its candidate will try to take next.
fn found_free((job, answer): (&Job, &Answer)) -> bool {
    match &answer.reply.outcome {
        Outcome::Seen(row) => {
            job.request.op == Op::Look && row.as_ref().is_none_or(|row| row.remaining.is_zero())
        }
        _ => false,
    }
}

fn is_failed_write((job, answer): (&Job, &Answer)) -> bool {
    job.request.op != Op::Look && answer.error.is_some()
}

fn panicked() -> StoreError {
    StoreError::new(
        Failure::Unknown,
        "the store's driver panicked; this is a bug in elector, please report it",
    )
}

fn unknown(job: &Job, error: &StoreError) -> Answer {
    let reply = Reply { id: job.request.id, clock: None, outcome: Outcome::Failed(Failure::Unknown) };
    Answer { reply, error: Some(error.clone()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::Name;
    use crate::core::lease::Row;
    use crate::driver::stores::ElectionRow;

    /// A store whose role may not delete.
    struct Forbidden;

    impl Store for Forbidden {
        fn execute(&mut self, _jobs: &[Job]) -> Vec<Answer> {
            Vec::new()
        }

        fn rows(&mut self, _election: Option<&Name>) -> Result<Vec<ElectionRow>, StoreError> {
            Ok(Vec::new())
        }

        fn revoke(
            &mut self,
            _election: &Name,
            _token: Option<crate::core::FencingToken>,
        ) -> Result<Option<Row>, StoreError> {
            Ok(None)
        }

        fn clean_up(&mut self) -> Result<u64, StoreError> {
            Err(StoreError::new(Failure::Refused, "permission denied"))
        }
    }

    #[test]
    fn failed_clean_ups_are_retried_at_growing_pauses_up_to_the_usual_one() {
        let mut worker = Worker {
            hub: Weak::new(),
            store: Some(Box::new(Forbidden)),
            opened_at: None,
            write_failed: false,
            clean_ups_failed: 0,
            clean_up_at: Instant::ZERO,
        };
        for pause in [1, 2, 4, 8, 16, 32, 60, 60, 60] {
            let before = clock::now();
            worker.clean_up();
            let after = clock::now();
            let due = |from: Instant| from.saturating_add(Duration::from_secs(pause));
            assert!((due(before)..=due(after)).contains(&worker.clean_up_at), "a pause of {pause} s");
        }
    }
}
