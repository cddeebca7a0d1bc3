//! The store in a SQLite file: the embedded default, for the processes of one machine.
//!
//! * The file is Elector's own, in write-ahead mode. Each batch of operations is one transaction. Looks, and
//!   acquires that cannot succeed, take no write lock.
//! * Time is the boot clock, read inside the transaction, so no step of the wall clock ends a lease. Each row
//!   names the boot from which its times count; the wall clock decides only about rows of an earlier boot.
//! * Each row names a lock byte of the holder's process (`process_lock.rs`). Once the kernel has unlocked it,
//!   the row may be taken at once. A stopped process keeps its leases until they expire.
//! * A thread watches for releases, ends of processes and changes of the files (`notifier.rs`).
//! * If a file is deleted or replaced, the leases in it exclude no candidate any more. The store then gives
//!   [`Hint::Gone`], fails every call until all leases that were granted or seen through it have expired, and
//!   then opens the path again. It checks the files before and after each batch and before each commit, so
//!   that no result of a write to lost files is used.
//! * If the program closes descriptors of the store, the effect is the same, since their numbers may already
//!   be reused: the store makes no further call on that connection, not even to close it. `process_lock.rs`
//!   explains how the leases stay held meanwhile, and `guarded_write.rs` checks the descriptor right before
//!   each write. Two limits remain. If a descriptor is closed and its number reused between that check and
//!   the write, the write goes to the new file. And SQLite's own locks (fcntl(2)) belong to the process and
//!   end when it closes *any* descriptor of the file. The store detects the loss of its own descriptors
//!   before it answers, so no batch is reported as executed beside which another process may have written. It
//!   cannot detect the close of a descriptor that the program opened itself, so the program must not open
//!   these files.
//! * With `IfMissing::Leave` the store creates nothing: while there is no file, it has no rows.

mod above_standard;
mod batch;
mod boot;
mod engine;
mod fault;
mod file_watch;
mod files;
mod filesystem;
mod guarded_write;
mod mapping;
mod notifier;
mod open;
mod process_lock;
mod watch;

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::core::lease::{Acquire, Failure, Op, Outcome, Reply, Row};
use crate::core::{FencingToken, Instant, Name};
use crate::driver::host::clock;
use crate::driver::host::descriptor::Descriptor;
use crate::driver::stores::opener::Opener;
use crate::driver::stores::{Answer, ElectionRow, Hint, IfMissing, Job, Notifier};
use crate::driver::stores::{SqliteOptions, Store, StoreError};
use boot::Boot;
pub use file_watch::FileWatch;
use files::Paths;
use guarded_write::WriteGuard;
use notifier::Watcher;
use open::{Loss, Opened};
use process_lock::ProcessLock;

/// Maximum time that a call waits for a process that has locked the database, even if its deadline is later.
const PATIENCE: Duration = Duration::from_secs(5);
/// [`PATIENCE`] for clean-up, which can run at any other time instead.
const CLEAN_UP_PATIENCE: Duration = Duration::from_secs(1);
/// Pause before files are opened again after a loss of descriptors: the time that a program may need to close
/// all of them. SQLite's locks on a file end with the close of any descriptor of it, so an earlier connection
/// could lose its locks.
const SETTLE_TIME: Duration = Duration::from_secs(1);

/// The store in one SQLite file.
pub struct SqliteStore {
    paths: Paths,
    options: SqliteOptions,
    makes_directory: bool,
    notifier: Notifier,
    boot: Boot,
    opener: Opener,
    terms: Terms,
    state: State,
}

enum State {
    Open {
        opened: Box<Opened>,
        watcher: Option<Watcher>,
    },
    /// Files or descriptors were lost. The lock is kept until the leases have expired, so that no process
    /// creates a new database before.
    Gone {
        loss: Arc<str>,
        until: Instant,
        lock: Option<Arc<ProcessLock>>,
        /// The files are not opened before this instant, which is not earlier than `until`.
        reopen_at: Instant,
    },
    /// There is no database, and this store creates none.
    Absent,
}

/// The terms that were granted through this store and may still be trusted, and the leases of others that it
/// has seen.
#[derive(Default)]
struct Terms {
    open: HashMap<Name, FencingToken>,
    /// A lease may have been granted without an answer; its candidate may find and adopt it.
    unknown: bool,
    latest_expiry: Instant,
    /// The lease length of each election whose row was read: that of the row, held or not, since a candidate
    /// may have taken the row after the read.
    seen: HashMap<Name, Duration>,
}

impl Terms {
    fn note(&mut self, job: &Job, outcome: &Outcome, now: Instant) {
        match outcome {
            Outcome::Seen(Some(row)) => {
                self.seen.insert(job.election.clone(), row.lease.unwrap_or(row.remaining));
            }
            Outcome::Seen(None) | Outcome::Granted { .. } => drop(self.seen.remove(&job.election)),
            _ => {}
        }
        match (&job.request.op, outcome) {
            (Op::Acquire(acquire), Outcome::Granted { token }) => {
                self.extend(job, *token, now.saturating_add(acquire.lease));
            }
            (Op::Renew { token, lease, .. }, Outcome::Renewed) => {
                self.extend(job, *token, now.saturating_add(*lease));
            }
            (Op::Renew { token, .. }, Outcome::Lost) | (Op::Release { token, .. }, Outcome::Released)
                if self.open.get(&job.election) == Some(token) =>
            {
                self.open.remove(&job.election);
            }
            _ => {}
        }
    }

    fn extend(&mut self, job: &Job, token: FencingToken, expiry: Instant) {
        self.latest_expiry = self.latest_expiry.max(expiry);
        if self.open.get(&job.election) != Some(&token) {
            self.open.insert(job.election.clone(), token);
        }
    }

    /// When the last of the granted terms has expired.
    fn end(&self) -> Instant {
        if self.open.is_empty() && !self.unknown { Instant::ZERO } else { self.latest_expiry }
    }

    /// The instant at which all leases of other processes have expired, if the loss was detected at `lost`. A
    /// renewal extends a lease only if it was sent before that.
    fn end_of_seen(&self, lost: Instant) -> Instant {
        lost.saturating_add(self.seen.values().max().copied().unwrap_or_default())
    }

    /// Records that these jobs may or may not have been executed.
    fn note_unknown(&mut self, jobs: &[Job]) {
        for job in jobs {
            if let Op::Acquire(Acquire { lease, .. }) | Op::Renew { lease, .. } = &job.request.op {
                self.unknown = true;
                self.latest_expiry = self.latest_expiry.max(clock::now().saturating_add(*lease));
            }
        }
    }
}

impl SqliteStore {
    /// Opens the database at `path`, an absolute path whose directory exists. `notifier` is called from a
    /// thread of its own.
    ///
    /// With [`IfMissing::Leave`] the store never creates a database, now or later; it has no rows until
    /// another process has created one. It is for commands that only list or revoke.
    ///
    /// # Errors
    /// When the path is unsuitable (no directory, no permission, a network file system), the file is damaged
    /// or another program's, or another process keeps it locked for five seconds.
    pub fn open(path: &Path, options: SqliteOptions, notifier: Notifier) -> Result<SqliteStore, StoreError> {
        let mut store = SqliteStore {
            paths: Paths::of(path),
            options,
            makes_directory: false,
            notifier,
            boot: Boot::current(),
            opener: Opener::this_process(),
            terms: Terms::default(),
            state: State::Absent,
        };
        store.reopen()?;
        Ok(store)
    }

    /// Declares that the directory is Elector's own: it is created again, like the file, after it was
    /// deleted.
    pub(crate) fn making_its_directory(mut self) -> SqliteStore {
        self.makes_directory = true;
        self
    }

    fn reopen(&mut self) -> Result<(), StoreError> {
        let (paths, SqliteOptions { if_missing, fuse }) = (&self.paths, self.options);
        if self.makes_directory {
            let made = std::fs::create_dir_all(paths.directory());
            made.map_err(|error| fault::io(&paths.database, "make its directory", &error))?;
        }
        let opened = match if_missing {
            IfMissing::Create => Some(open::open(paths, fuse)?),
            IfMissing::Leave => open::open_existing(paths, fuse)?,
        };
        let state = match opened {
            Some(opened) => {
                let watcher = Watcher::start(paths, opened.identity.clone(), Arc::clone(&self.notifier));
                let watcher =
                    watcher.map_err(|error| fault::io(&paths.database, "watch its files", &error))?;
                State::Open { opened: Box::new(opened), watcher }
            }
            None => State::Absent,
        };
        self.terms = Terms::default();
        self.state = state;
        Ok(())
    }

    /// Checks that the open database is the one at the path. Opens the path again once that is safe.
    fn check(&mut self) -> Result<(), StoreError> {
        self.opener.check(format_args!("lease database {}", self.paths.database.display()))?;
        if matches!(self.state, State::Open { .. }) && !self.close_if_lost(&[]) {
            return Ok(());
        }
        if let State::Gone { loss, until, lock, reopen_at } = &mut self.state {
            let now = clock::now();
            if *until <= now {
                *lock = None;
            }
            let left = reopen_at.saturating_since(now);
            if !left.is_zero() {
                let found = format!(
                    "{loss}; its leases are void, and the path is reopened in {} ms, when they have expired",
                    left.as_millis() + 1
                );
                return Err(fault::refused(&self.paths.database, found));
            }
        }
        self.reopen()
    }

    /// Gives up the database if it is no longer the one at the path, or if its descriptors were closed by the
    /// program. Returns whether that was the case; the outcome of `jobs` is then unknown.
    fn close_if_lost(&mut self, jobs: &[Job]) -> bool {
        let State::Open { opened, watcher } = &self.state else { return false };
        let watcher_failed = watcher.as_ref().is_some_and(Watcher::has_failed);
        let Some(loss) = watcher_failed.then_some(Loss::Descriptors).or_else(|| opened.loss()) else {
            return false;
        };
        let State::Open { opened, .. } = std::mem::replace(&mut self.state, State::Absent) else {
            return false;
        };
        self.terms.note_unknown(jobs);
        let (now, until, lock) = (clock::now(), self.terms.end(), Some(Arc::clone(&opened.lock)));
        let (loss, reopen_at) = match loss {
            Loss::Files(what) => {
                opened.close();
                (what, until.max(self.terms.end_of_seen(now)))
            }
            Loss::Descriptors => {
                opened.leak();
                (fault::CLOSED.to_owned(), until.max(now.saturating_add(SETTLE_TIME)))
            }
        };
        self.state = State::Gone { loss: loss.into(), until, lock, reopen_at };
        (self.notifier)(Hint::Gone);
        true
    }

    /// The open database, which waits up to `patience` for other processes; `None` if there is none.
    fn ready(&mut self, patience: Duration) -> Result<Option<Ready<'_>>, StoreError> {
        self.check()?;
        let path = &self.paths.database;
        let State::Open { opened, .. } = &mut self.state else { return Ok(None) };
        let patience = patience.clamp(Duration::from_millis(1), PATIENCE);
        opened.connection.busy_timeout(patience).map_err(|error| fault::sqlite(path, &error))?;
        let until = clock::now().saturating_add(patience);
        let write_guard = opened.guard();
        Ok(Some(Ready {
            opened,
            boot: &self.boot,
            path,
            until,
            terms: &mut self.terms,
            _write_guard: write_guard,
        }))
    }

    /// Executes the jobs, without a check whether the database was lost meanwhile.
    fn execute_unchecked(&mut self, jobs: &[Job]) -> Vec<Answer> {
        let latest = jobs.iter().map(|job| job.request.deadline).max().unwrap_or_default();
        let patience = latest.saturating_since(clock::now());
        let path = self.paths.database.clone();
        let done = self.ready(patience).and_then(|ready| {
            let ready = ready.ok_or_else(|| fault::unsent(&path, "there is no such file yet"))?;
            let done = batch::execute(ready.opened, ready.boot, ready.path, jobs, ready.until)?;
            Ok((ready, done))
        });
        let (ready, done) = match done {
            Ok(done) => done,
            Err(error) => {
                if error.failure() == Failure::Unknown {
                    self.terms.note_unknown(jobs);
                }
                return jobs.iter().map(|job| Answer::failed(job, &error)).collect();
            }
        };
        let now = Instant::from_nanos(done.clock.now.as_micros() as u64 * 1_000);
        let mut released = false;
        let answer = |(job, result): (&Job, Result<Outcome, StoreError>)| match result {
            Ok(outcome) => {
                ready.terms.note(job, &outcome, now);
                released |= outcome == Outcome::Released;
                Answer { reply: Reply { id: job.request.id, clock: Some(done.clock), outcome }, error: None }
            }
            Err(error) => Answer::failed(job, &error),
        };
        let answers = jobs.iter().zip(done.results).map(answer).collect();
        if released {
            ready.opened.lock.notify();
        }
        answers
    }
}

/// A store whose database is open.
struct Ready<'a> {
    opened: &'a mut Opened,
    boot: &'a Boot,
    path: &'a Path,
    /// When to stop waiting for other processes.
    until: Instant,
    terms: &'a mut Terms,
    _write_guard: WriteGuard,
}

impl Drop for SqliteStore {
    fn drop(&mut self) {
        if !self.opener.is_this_process() {
            // Leaked in a forked child: closing it would release locks that belong to the parent.
            std::mem::forget(std::mem::replace(&mut self.state, State::Absent));
            return;
        }
        self.close_if_lost(&[]);
        let state = std::mem::replace(&mut self.state, State::Absent);
        // The candidates may trust these terms until they expire, although they are not renewed any more.
        let lock = match &state {
            State::Open { opened, .. } => Some(Arc::clone(&opened.lock)),
            State::Gone { lock, .. } => lock.clone(),
            State::Absent => None,
        };
        let until = self.terms.end();
        if let Some(lock) = lock.filter(|_| until > clock::now()) {
            lock.keep_until(until);
        }
    }
}

impl Store for SqliteStore {
    fn execute(&mut self, jobs: &[Job]) -> Vec<Answer> {
        let answers = self.execute_unchecked(jobs);
        self.close_if_lost(jobs);
        match &self.state {
            // A batch that may have gone to other files, or ran beside another writer, must not be reported
            // as executed.
            State::Gone { loss, .. } if answers.iter().any(|answer| answer.error.is_none()) => {
                let error = fault::unknown(&self.paths.database, loss);
                jobs.iter().map(|job| Answer::failed(job, &error)).collect()
            }
            _ => answers,
        }
    }

    fn rows(&mut self, election: Option<&Name>) -> Result<Vec<ElectionRow>, StoreError> {
        let Some(ready) = self.ready(PATIENCE)? else { return Ok(Vec::new()) };
        batch::rows(ready.opened, ready.boot, election).map_err(|error| fault::sqlite(ready.path, &error))
    }

    fn revoke(&mut self, election: &Name, token: Option<FencingToken>) -> Result<Option<Row>, StoreError> {
        let Some(ready) = self.ready(PATIENCE)? else { return Ok(None) };
        let Ready { opened, boot, path, until, _write_guard, .. } = ready;
        let revoked = batch::revoke(opened, boot, path, election, token, until)?;
        if revoked.is_some() {
            opened.lock.notify();
        }
        Ok(revoked)
    }

    fn clean_up(&mut self) -> Result<u64, StoreError> {
        let Some(ready) = self.ready(CLEAN_UP_PATIENCE)? else { return Ok(0) };
        batch::clean_up(ready.opened, ready.boot, ready.path, ready.until)
    }

    fn check(&mut self) -> Result<(), StoreError> {
        SqliteStore::check(self)
    }

    fn lock_fd(&self) -> Option<Arc<Descriptor>> {
        match &self.state {
            State::Open { opened, .. } => Some(opened.lock.fd()),
            State::Gone { .. } | State::Absent => None,
        }
    }
}
