//! The store in an SQLite file: the embedded default, for the processes of one machine.
//!
//! * The file is Elector's own, in write-ahead mode. Every batch of operations is one transaction; looks
//!   and vain acquires take no write lock.
//! * Time is the boot clock, read inside the transaction; no step of the wall clock ends a lease. Rows name
//!   the boot that their time counts from, and only after a reboot does the wall clock decide.
//! * Rows name a byte that the holder's process keeps locked (`process_lock.rs`): once the kernel has freed
//!   it, the row may be taken at once. A stopped process keeps its leases until they end.
//! * A thread listens for releases, ends of processes and changes of the files (`notifier.rs`).
//! * If a file is deleted or replaced, no lease in it protects anything any more: [`Hint::Gone`], and every
//!   call fails until all leases granted through this store, and those seen through it, have ended; then the
//!   store opens the path anew. This is looked at before and after each batch and before each commit, so that
//!   nothing is believed that was written elsewhere.
//! * Closing the store's descriptors has the same effect, since their numbers may already be reused: the
//!   store makes no further call on that connection, not even to close it. `process_lock.rs` says how the
//!   leases stay held meanwhile, and `guarded_write.rs` looks right before each write. Two limits remain. If a
//!   descriptor is closed and its number reused between that look and the write, that write goes to the new
//!   file. And SQLite's own locks (fcntl(2)) belong to the process and end when it closes *any* descriptor of
//!   the file: those that are ours are missed before anything is answered, so nobody believes a batch that
//!   another process wrote beside; one that the program opened itself is not, so it must not open these
//!   files.
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

/// The longest that one call waits for a process that holds the database locked, however late its deadline.
const PATIENCE: Duration = Duration::from_secs(5);
/// The same for what can be done at any other time.
const CLEAN_UP_PATIENCE: Duration = Duration::from_secs(1);
/// How long a program that closes descriptors may take for all of them. SQLite's locks on a file end with the
/// close of any descriptor of it, so nothing is opened anew before.
const SETTLE_TIME: Duration = Duration::from_secs(1);

/// The leases of one SQLite file.
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
    /// A file was lost, or descriptors. The lock is kept until the leases have ended, so that nobody starts
    /// anew before.
    Gone {
        loss: Arc<str>,
        until: Instant,
        lock: Option<Arc<ProcessLock>>,
        /// Nothing is opened before; not sooner than `until`.
        reopen_at: Instant,
    },
    /// There is no database yet, and this store makes none.
    Absent,
}

/// The terms that were granted through this store and may still be trusted.
#[derive(Default)]
struct Terms {
    open: HashMap<Name, FencingToken>,
    /// A grant may have happened without our knowing; somebody may find and adopt it.
    unknown: bool,
    latest_expiry: Instant,
    /// How long leases of others last in the elections that were looked at: the row's own, held or not, since
    /// somebody may have taken it after the look.
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

    /// When the last of them has ended.
    fn end(&self) -> Instant {
        if self.open.is_empty() && !self.unknown { Instant::ZERO } else { self.latest_expiry }
    }

    /// When the last of those of others has ended, if the loss was noticed at this instant: a renewal counts
    /// only if it was sent before.
    fn end_of_seen(&self, lost: Instant) -> Instant {
        lost.saturating_add(self.seen.values().max().copied().unwrap_or_default())
    }

    /// Nobody knows what became of these jobs.
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
    /// When the place is unfit (no directory, no rights, a network file system), the file is not ours or
    /// damaged, or another program keeps it locked for five seconds.
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

    /// The directory is this program's own: made anew, as the file is, when somebody has deleted it.
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
                    watcher.map_err(|error| fault::io(&paths.database, "listen on its files", &error))?;
                State::Open { opened: Box::new(opened), watcher }
            }
            None => State::Absent,
        };
        self.terms = Terms::default();
        self.state = state;
        Ok(())
    }

    /// Makes sure that what is open is the database at the path; opens it anew when that is safe.
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

    /// Lets go of a database that is not the one at the path any more, or whose descriptors are not ours any
    /// more, and says whether that was so. What became of the jobs is then unknown.
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

    /// The open database, ready to wait up to `patience` for other processes; `None` if there is none.
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

    /// Executes the jobs, not knowing whether the database was lost meanwhile.
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
    /// When to give up waiting for other processes.
    until: Instant,
    terms: &'a mut Terms,
    _write_guard: WriteGuard,
}

impl Drop for SqliteStore {
    fn drop(&mut self) {
        if !self.opener.is_this_process() {
            // A forked child's copy. To close it would act on locks that only the parent has.
            std::mem::forget(std::mem::replace(&mut self.state, State::Absent));
            return;
        }
        self.close_if_lost(&[]);
        let state = std::mem::replace(&mut self.state, State::Absent);
        // Whoever was granted these terms may trust them until they end, though nobody renews them any more.
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
            // What was executed elsewhere, or beside another writer, is not to be believed.
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
