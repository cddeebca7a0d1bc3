//! The hub's other thread: it owns the one connection to the store.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Weak};
use std::time::Duration;

use crate::core::Instant;
use crate::core::lease::{Failure, Op, Outcome, Reply};
use crate::core::sql::postgres::Table;
use crate::driver::host::descriptor::Descriptor;
use crate::driver::host::{clock, contained, random};
use crate::driver::hub::candidate::SeatId;
use crate::driver::hub::telemetry;
use crate::driver::hub::{Board, Hub};
use crate::driver::stores::{Answer, Bell, Hint, Job, Store, StoreError, Text, table_holds};

/// Maximum number of jobs in one batch, so that a release need not wait for a wave of any size.
const MOST_JOBS: usize = 4_096;
/// A store that could not be opened is not tried again sooner.
const REOPEN_AFTER: Duration = Duration::from_millis(50);
/// Dead rows are removed so often. Off the hot path; the batches are bounded by the store.
const CLEAN_UP_EVERY: Duration = Duration::from_secs(60);
/// After a failure, so soon; after each further one, twice as late.
const CLEAN_UP_AGAIN: Duration = Duration::from_secs(1);

/// What is known of the connection, for those who ask.
#[derive(Default)]
pub(crate) struct Connection {
    /// How often somebody asked for the store to be opened, and how often that was answered.
    pub(crate) asked: u64,
    pub(crate) answered: u64,
    /// The texts that those who wait for an answer want to have kept, by the number of their question, and
    /// the refusals.
    pub(crate) texts: Vec<(u64, Vec<Text>)>,
    pub(crate) unkept: Vec<(u64, StoreError)>,
    /// The place where the leases were kept is gone, and the store should notice.
    pub(crate) gone: bool,
    /// What went wrong last, unless something worked since.
    pub(crate) error: Option<StoreError>,
    /// The kernel lock that proves that this process lives.
    pub(crate) lock_fd: Option<Arc<Descriptor>>,
    /// The table that guards name.
    pub(crate) table: Option<Table>,
}

impl Connection {
    pub(crate) fn is_wanted(&self) -> bool {
        self.gone || self.asked != self.answered
    }
}

/// Serves the hub until it closes.
pub(crate) fn run(hub: &Arc<Hub>) {
    let mut worker = Worker {
        hub: Arc::downgrade(hub),
        store: None,
        opened_at: None,
        write_failed: false,
        clean_ups_failed: 0,
        // Spread over the processes that started together.
        clean_up_at: clock::now().saturating_add(CLEAN_UP_EVERY.mul_f64(0.5 + random::fraction())),
    };
    loop {
        let mut board = hub.lock();
        while !board.has_store_work() {
            let left = worker.clean_up_at.saturating_since(clock::now());
            if left.is_zero() {
                drop(board);
                contained::run(|| worker.clean_up());
                board = hub.lock();
                continue;
            }
            board = match hub.store_wake.wait_timeout(board, left) {
                Ok((board, _)) => board,
                Err(poisoned) => poisoned.into_inner().0,
            };
        }
        if board.closed {
            return;
        }
        if std::mem::take(&mut board.connection.gone) {
            // Used even if nobody campaigns: others cannot begin anew while this store holds on to the old
            // place.
            worker.clean_up_at = clock::now().saturating_add(CLEAN_UP_AGAIN);
        }
        let asked = board.connection.asked;
        let texts = board.connection.texts.clone();
        let batch = take_batch(&mut board);
        drop(board);
        let outcome = contained::run(|| worker.open(&hub.url)).unwrap_or_else(|| Err(panicked()));
        let outcome = if batch.is_empty() { outcome.and_then(|()| worker.check()) } else { outcome };
        match &outcome {
            Ok(()) if batch.is_empty() => {
                worker.publish(hub);
                hub.lock().connection.error = None;
            }
            Ok(()) => contained::run(|| worker.execute(hub, batch)).unwrap_or_default(),
            Err(error) => {
                // A store that lost its place lets go of its lock, and so must we.
                worker.publish(hub);
                fail(hub, batch, error);
            }
        }
        let unkept = if outcome.is_ok() { worker.unkept(&texts) } else { Vec::new() };
        let mut board = hub.lock();
        board.connection.refuse(unkept);
        board.connection.answered = asked;
        if let Err(error) = outcome {
            board.connection.error = Some(error);
        }
        drop(board);
        hub.connection_changed.notify_all();
    }
}

/// The jobs for the next batch, the most urgent first: a release frees others, a renewal keeps a term, a
/// take-over starts one, and a look can wait. What the machines gave up on meanwhile is dropped.
fn take_batch(board: &mut Board) -> Vec<(SeatId, Job)> {
    let now = clock::now();
    board.jobs.retain(|(_, job)| job.request.deadline > now);
    board.jobs.sort_by_key(|(_, job)| match job.request.op {
        Op::Release { .. } => 0,
        Op::Renew { .. } => 1,
        Op::Acquire(_) => 2,
        Op::Look => 3,
    });
    let rest = board.jobs.split_off(board.jobs.len().min(MOST_JOBS));
    std::mem::replace(&mut board.jobs, rest)
}

fn fail(hub: &Hub, batch: Vec<(SeatId, Job)>, error: &StoreError) {
    hub.answered(batch.into_iter().map(|(seat, job)| {
        // Nothing was sent, whatever else the error says.
        let failure = if error.is_permanent() { Failure::Refused } else { Failure::Unsent };
        (seat, Reply { id: job.request.id, clock: None, outcome: Outcome::Failed(failure) })
    }));
}

struct Worker {
    hub: Weak<Hub>,
    store: Option<Box<dyn Store>>,
    /// The last attempt to open the store, and what came of it if it failed.
    opened_at: Option<(Instant, StoreError)>,
    /// The latest write failed, and only free rows were read since, which does not show that writes work.
    write_failed: bool,
    clean_up_at: Instant,
    /// How many failed in a row.
    clean_ups_failed: u32,
}

impl Worker {
    fn open(&mut self, url: &crate::driver::stores::url::StoreUrl) -> Result<(), StoreError> {
        if self.store.is_some() {
            return Ok(());
        }
        if let Some((at, error)) = &self.opened_at {
            if clock::now().saturating_since(*at) < REOPEN_AFTER {
                return Err(error.clone());
            }
        }
        let hub = Weak::clone(&self.hub);
        let bell: Bell = Arc::new(move |hint: Hint| {
            if let Some(hub) = hub.upgrade() {
                hub.ring(hint);
            }
        });
        let opened = catch_unwind(AssertUnwindSafe(|| url.open(bell))).unwrap_or_else(|_| Err(panicked()));
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

    /// Somebody only wants to know whether the store can be used. See [`Store::check`].
    fn check(&mut self) -> Result<(), StoreError> {
        let Some(store) = self.store.as_mut() else { return Ok(()) };
        let checked = catch_unwind(AssertUnwindSafe(|| store.check()));
        checked.unwrap_or_else(|_| {
            self.store = None;
            Err(panicked())
        })
    }

    /// The questions whose texts the store refuses, or about which it could not be asked.
    fn unkept(&mut self, asked: &[(u64, Vec<Text>)]) -> Vec<(u64, StoreError)> {
        let mut refused = Vec::new();
        for (number, texts) in asked {
            let kept = self.store.as_mut().map(|store| catch_unwind(AssertUnwindSafe(|| store.keeps(texts))));
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

    /// What who leads may ask for. A store that lost its connection has no table to tell of, and will use the
    /// same one again.
    fn publish(&self, hub: &Hub) {
        let Some(store) = &self.store else { return };
        let mut board = hub.lock();
        board.connection.lock_fd = store.lock_fd();
        if let Some(table) = store.table() {
            board.connection.table = Some(table);
        }
    }

    fn execute(&mut self, hub: &Hub, batch: Vec<(SeatId, Job)>) {
        let Some(store) = self.store.as_mut() else { return };
        let (seats, jobs): (Vec<SeatId>, Vec<Job>) = batch.into_iter().unzip();
        let _span = tracing::debug_span!("elector.store.execute", jobs = jobs.len()).entered();
        let started = clock::now();
        let executed = catch_unwind(AssertUnwindSafe(|| store.execute(&jobs)));
        let answers = executed.unwrap_or_else(|_| {
            // Whatever state the store is in now, it is not used again.
            self.store = None;
            jobs.iter().map(|job| unknown(job, &panicked())).collect()
        });
        // Before anybody can be elected, and after the store may have opened its place anew.
        self.publish(hub);
        let took = clock::now().saturating_since(started);
        contained::run(|| telemetry::batch(&jobs, &answers, took));
        let error = answers.iter().find_map(|answer| answer.error.clone());
        if let Some(error) = &error {
            tracing::warn!(store = %hub.url, jobs = jobs.len(), %error, "the store failed");
        }
        // A readable, free row does not show that writes work again, so an error of writes stays.
        if !jobs.iter().zip(&answers).all(found_free) {
            self.write_failed = jobs.iter().zip(&answers).any(is_failed_write);
        }
        if error.is_some() || !self.write_failed {
            hub.lock().connection.error = error;
        }
        hub.answered(seats.into_iter().zip(answers.into_iter().map(|answer| answer.reply)));
    }

    fn clean_up(&mut self) {
        self.clean_up_at = clock::now().saturating_add(CLEAN_UP_EVERY.mul_f64(0.5 + random::fraction()));
        let Some(store) = self.store.as_mut() else { return };
        let error = match catch_unwind(AssertUnwindSafe(|| store.clean_up())) {
            Ok(Ok(rows)) => {
                if rows > 0 {
                    tracing::debug!(rows, "removed dead rows");
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
            tracing::warn!(%error, "dead rows were not removed; it is tried again");
        } else {
            tracing::debug!(%error, "dead rows were not removed");
        }
        let pause = CLEAN_UP_AGAIN.saturating_mul(1 << self.clean_ups_failed.min(10)).min(CLEAN_UP_EVERY);
        self.clean_ups_failed = self.clean_ups_failed.saturating_add(1);
        self.clean_up_at = clock::now().saturating_add(pause);
    }
}

/// Whether it is a look at a row that may be taken, which is tried next.
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

impl Connection {
    /// Notes refusals for those who still wait for an answer.
    fn refuse(&mut self, unkept: Vec<(u64, StoreError)>) {
        for (ticket, error) in unkept {
            let is_asked = self.texts.iter().any(|(number, _)| *number == ticket);
            let is_known = self.unkept.iter().any(|(number, _)| *number == ticket);
            if is_asked && !is_known {
                self.unkept.push((ticket, error));
            }
        }
    }

    /// Forgets a question, and says what its texts were refused for.
    fn end_question(&mut self, ticket: u64) -> Option<StoreError> {
        self.texts.retain(|(number, _)| *number != ticket);
        let at = self.unkept.iter().position(|(number, _)| *number == ticket)?;
        Some(self.unkept.swap_remove(at).1)
    }
}

impl Hub {
    /// Has the store opened if it is not, and says what came of it, or that it cannot keep these texts;
    /// `None` if that took longer than `timeout`. See [`Store::keeps`].
    pub(crate) fn connect(&self, timeout: Duration, texts: Vec<Text>) -> Option<Result<(), StoreError>> {
        let mut board = self.lock();
        board.connection.asked += 1;
        let ticket = board.connection.asked;
        board.connection.texts.push((ticket, texts));
        self.store_wake.notify_one();
        let waited = self
            .connection_changed
            .wait_timeout_while(board, timeout, |board| board.connection.answered < ticket && !board.closed);
        let mut board = match waited {
            Ok((board, _)) => board,
            Err(poisoned) => poisoned.into_inner().0,
        };
        let connection = &mut board.connection;
        let unkept = connection.end_question(ticket);
        let answered = connection.answered >= ticket;
        answered.then(|| unkept.or_else(|| connection.error.clone()).map_or(Ok(()), Err))
    }

    /// Refuses an election that the store's table cannot hold, as far as the table is known.
    pub(crate) fn holds(&self, election: &str) -> Result<(), StoreError> {
        self.table().map_or(Ok(()), |table| table_holds(&self.url, &table, election))
    }

    /// See [`Store::table`].
    pub(crate) fn table(&self) -> Option<Table> {
        self.lock().connection.table.clone()
    }

    /// See [`Store::lock_fd`].
    pub(crate) fn lock_fd(&self) -> Option<Arc<Descriptor>> {
        self.lock().connection.lock_fd.clone()
    }
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
    fn clean_ups_that_fail_become_as_rare_as_others() {
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
