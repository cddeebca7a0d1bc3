//! Executes a batch of jobs: reads without the write lock, then writes, if needed, in one transaction.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rusqlite::{
    CachedStatement, Connection, ErrorCode, OptionalExtension, Transaction, TransactionBehavior, params,
};

use super::boot::{Boot, Now};
use super::fault;
use super::open::{Loss, Opened};
use super::process_lock::ProcessLock;
use crate::core::lease::{Acquire, LeaderId, Op, Outcome, Row, StoreClock};
use crate::core::sql::sqlite as sql;
use crate::core::table;
use crate::core::{FencingToken, Instant, Name, StoreTime};
use crate::driver::host::clock;
use crate::driver::host::random;
use crate::driver::stores::{ElectionRow, Job, StoreError, no_token_left};

/// The results of a batch, in the order of its jobs, and the store's time. An error concerns one job only.
pub(super) struct Done {
    pub clock: StoreClock,
    pub results: Vec<Result<Outcome, StoreError>>,
}

/// Whether a transaction's commit survives a crash of the machine.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Durability {
    /// It does: the commit is flushed to the disk. A transaction that may grant a lease needs it.
    Durable,
    /// It may not, so the transaction grants no lease.
    Volatile,
}

impl Durability {
    fn sql(self) -> &'static str {
        match self {
            Durability::Durable => sql::DURABLE,
            Durability::Volatile => sql::VOLATILE,
        }
    }
}

/// A row of the table.
struct Stored {
    leader_id: String,
    token: i64,
    expires_at: i64,
    expires_wall: i64,
    lease_ms: Option<i64>,
    of_this_boot: bool,
    process_lock: Option<i64>,
    meta: Option<String>,
    created_at: i64,
    id: String,
}

impl Stored {
    fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<Stored> {
        Ok(Stored {
            leader_id: row.get(0)?,
            token: row.get(1)?,
            expires_at: row.get(2)?,
            expires_wall: row.get(3)?,
            lease_ms: row.get(4)?,
            of_this_boot: row.get(5)?,
            process_lock: row.get(6)?,
            meta: row.get(7)?,
            created_at: row.get(8)?,
            id: row.get(9)?,
        })
    }
}

/// The rows of one transaction, all judged at one instant. The kernel's answers about ended processes are
/// cached.
pub(super) struct Snapshot<'a> {
    boot: &'a Boot,
    lock: &'a ProcessLock,
    now: Now,
    gone: HashMap<i64, bool>,
}

impl<'a> Snapshot<'a> {
    /// Must be made inside the transaction, so that its time is not from before a wait for the lock.
    pub(super) fn new(boot: &'a Boot, lock: &'a ProcessLock) -> Snapshot<'a> {
        Snapshot { boot, lock, now: Now::read(), gone: HashMap::new() }
    }

    fn is_gone(&mut self, process_lock: Option<i64>) -> bool {
        process_lock.is_some_and(|byte| *self.gone.entry(byte).or_insert_with(|| self.lock.is_gone(byte)))
    }

    fn decode(&mut self, stored: Stored) -> (Row, i64) {
        let left = if stored.of_this_boot {
            stored.expires_at.saturating_sub(self.now.boot)
        } else {
            stored.expires_wall.saturating_sub(self.now.wall)
        };
        let over = left <= 0 || self.is_gone(stored.process_lock);
        let expires_at =
            if stored.of_this_boot { stored.expires_at } else { self.boot.boot_time_of(stored.expires_wall) };
        let row = Row {
            holder: LeaderId::from_store(&stored.leader_id),
            token: u64::try_from(stored.token).ok().and_then(FencingToken::new),
            expires_at: StoreTime::from_micros(expires_at),
            remaining: if over { Duration::ZERO } else { Duration::from_micros(left as u64) },
            lease: stored.lease_ms.and_then(|ms| u64::try_from(ms).ok()).map(Duration::from_millis),
            meta: stored.meta.map(Arc::from),
        };
        (row, stored.token)
    }

    /// The row, and its token as the table has it.
    fn find(
        &mut self,
        select: &mut CachedStatement<'_>,
        election: &Name,
    ) -> rusqlite::Result<Option<(Row, i64)>> {
        let found = select.query_row(params![&**election, self.boot.id], Stored::read).optional()?;
        Ok(found.map(|stored| self.decode(stored)))
    }
}

/// Executes the jobs. After an error nothing was executed, unless the error is `Failure::Unknown`.
pub(super) fn execute(
    opened: &mut Opened,
    boot: &Boot,
    path: &Path,
    jobs: &[Job],
    until: Instant,
) -> Result<Done, StoreError> {
    let writes = |job: &Job| matches!(job.request.op, Op::Renew { .. } | Op::Release { .. });
    let releases = jobs.iter().any(|job| matches!(job.request.op, Op::Release { .. }));
    let acquires = jobs.iter().any(|job| matches!(job.request.op, Op::Acquire(_)));
    let in_sqlite = |error: rusqlite::Error| fault::sqlite(path, &error);
    let mut durability = if releases && acquires { Durability::Durable } else { Durability::Volatile };
    if !jobs.iter().any(writes) {
        let (done, takeable) = look(opened, boot, jobs).map_err(in_sqlite)?;
        if !takeable {
            return Ok(done);
        }
        durability = Durability::Durable;
    } else if acquires && durability == Durability::Volatile && look(opened, boot, jobs).map_err(in_sqlite)?.1
    {
        durability = Durability::Durable;
    }
    let transaction = begin(opened, durability, until).map_err(in_sqlite)?;
    let mut write = Write::new(&transaction, opened, boot, durability).map_err(in_sqlite)?;
    let mut results = Vec::with_capacity(jobs.len());
    for job in jobs {
        results.push(write.job(job).map_err(in_sqlite)?);
    }
    let clock = boot.clock(write.snapshot.now);
    drop(write);
    commit(transaction, opened, path)?;
    Ok(Done { clock, results })
}

/// Commits if the paths still lead to the database and the lock file that the decisions were read from.
fn commit(transaction: Transaction<'_>, opened: &Opened, path: &Path) -> Result<(), StoreError> {
    match opened.loss() {
        None => transaction.commit().map_err(|error| fault::at_commit(path, &error)),
        Some(Loss::Files(what)) => Err(fault::unsent(path, what)),
        Some(Loss::Descriptors) => {
            // Not dropped: a rollback would write too.
            std::mem::forget(transaction);
            Err(fault::unsent(path, fault::CLOSED))
        }
    }
}

/// Begins a write transaction, or fails after `until`. Retries at short random pauses.
///
/// SQLite's busy handler retries at growing pauses, so the connection that has waited longest is the least
/// likely to get the lock: of several candidates on a slow disk some would starve.
fn begin<'a>(
    opened: &'a Opened,
    durability: Durability,
    until: Instant,
) -> rusqlite::Result<Transaction<'a>> {
    let connection = &opened.connection;
    connection.execute_batch(durability.sql())?;
    connection.busy_timeout(Duration::ZERO)?;
    loop {
        match Transaction::new_unchecked(connection, TransactionBehavior::Immediate) {
            Err(error)
                if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy)
                    && clock::now() < until
                    && opened.loss().is_none() =>
            {
                std::thread::sleep(Duration::from_micros(1_000 + random::jitter() % 2_000));
            }
            begun => return begun,
        }
    }
}

/// Answers looks and acquires from one read transaction, without the write lock. Also returns whether any
/// acquire could take its row.
fn look(opened: &Opened, boot: &Boot, jobs: &[Job]) -> rusqlite::Result<(Done, bool)> {
    let transaction = Transaction::new_unchecked(&opened.connection, TransactionBehavior::Deferred)?;
    let mut select = transaction.prepare_cached(sql::SELECT)?;
    let mut snapshot = Snapshot::new(boot, &opened.lock);
    let mut takeable = false;
    let mut results = Vec::with_capacity(jobs.len());
    for job in jobs {
        let row = match &job.request.op {
            Op::Look | Op::Acquire(_) => snapshot.find(&mut select, &job.election)?.map(|(row, _)| row),
            Op::Renew { .. } | Op::Release { .. } => None,
        };
        if let Op::Acquire(acquire) = &job.request.op {
            takeable |= table::may_take(row.as_ref(), acquire);
        }
        results.push(Ok(Outcome::Seen(row)));
    }
    Ok((Done { clock: boot.clock(snapshot.now), results }, takeable))
}

/// An open write transaction with its prepared statements.
struct Write<'a> {
    connection: &'a Connection,
    snapshot: Snapshot<'a>,
    byte: Option<i64>,
    durability: Durability,
    select: CachedStatement<'a>,
    renew: CachedStatement<'a>,
}

impl<'a> Write<'a> {
    fn new(
        connection: &'a Connection,
        opened: &'a Opened,
        boot: &'a Boot,
        durability: Durability,
    ) -> rusqlite::Result<Write<'a>> {
        Ok(Write {
            connection,
            snapshot: Snapshot::new(boot, &opened.lock),
            byte: opened.byte,
            durability,
            select: connection.prepare_cached(sql::SELECT)?,
            renew: connection.prepare_cached(sql::RENEW)?,
        })
    }

    /// Executes one job. The outer error ends the transaction; the inner one concerns this job only.
    fn job(&mut self, job: &Job) -> rusqlite::Result<Result<Outcome, StoreError>> {
        let election = &job.election;
        match &job.request.op {
            Op::Look => {
                let row = self.snapshot.find(&mut self.select, election)?.map(|(row, _)| row);
                Ok(Ok(Outcome::Seen(row)))
            }
            Op::Acquire(acquire) => self.acquire(election, acquire),
            Op::Renew { token, holder, lease } => {
                let (now, boot_id) = (self.snapshot.now, &self.snapshot.boot.id);
                let (lease_us, lease_ms) = (micros(*lease), millis(*lease));
                let changed = self.renew.execute(params![
                    &**election,
                    holder.as_str(),
                    token.get() as i64,
                    now.boot.saturating_add(lease_us),
                    now.wall.saturating_add(lease_us),
                    lease_ms,
                    boot_id,
                    now.boot,
                    now.wall,
                ])?;
                Ok(Ok(if changed == 1 { Outcome::Renewed } else { Outcome::Lost }))
            }
            Op::Release { token, holder } => {
                let (now, boot_id) = (self.snapshot.now, &self.snapshot.boot.id);
                let mut release = self.connection.prepare_cached(sql::RELEASE)?;
                release.execute(params![
                    &**election,
                    holder.as_str(),
                    token.get() as i64,
                    now.boot,
                    now.wall,
                    boot_id
                ])?;
                Ok(Ok(Outcome::Released))
            }
        }
    }

    fn acquire(
        &mut self,
        election: &Name,
        acquire: &Acquire,
    ) -> rusqlite::Result<Result<Outcome, StoreError>> {
        let (row, previous) = match self.snapshot.find(&mut self.select, election)? {
            Some((row, token)) => (Some(row), token),
            None => (None, self.floor()?),
        };
        if self.durability == Durability::Volatile || !table::may_take(row.as_ref(), acquire) {
            return Ok(Ok(Outcome::Seen(row)));
        }
        let now = self.snapshot.now;
        let token = match table::next_token(previous, now.wall) {
            Ok(token) => token,
            Err(error) => return Ok(Err(no_token_left(election, error))),
        };
        let lease = micros(acquire.lease);
        self.connection.prepare_cached(sql::TAKE)?.execute(params![
            &**election,
            acquire.holder.as_str(),
            token.get() as i64,
            now.boot.saturating_add(lease),
            now.wall.saturating_add(lease),
            now.wall,
            millis(acquire.lease),
            self.snapshot.boot.id,
            self.byte,
            acquire.meta.as_deref(),
        ])?;
        Ok(Ok(Outcome::Granted { token }))
    }

    /// The largest token of all rows that were cleaned up; 0 if none was.
    fn floor(&self) -> rusqlite::Result<i64> {
        let mut floor = self.connection.prepare_cached(sql::FLOOR)?;
        let token = floor.query_row([sql::FLOOR_ID], |row| row.get(0)).optional()?;
        Ok(token.unwrap_or(0))
    }
}

/// All rows by name, or that of one election.
pub(super) fn rows(
    opened: &Opened,
    boot: &Boot,
    election: Option<&Name>,
) -> rusqlite::Result<Vec<ElectionRow>> {
    let mut snapshot = Snapshot::new(boot, &opened.lock);
    let mut found = Vec::new();
    let (statement, id) = match election {
        Some(election) => (sql::SELECT, election.as_str()),
        None => (sql::SELECT_ALL, sql::FLOOR_ID),
    };
    let mut select = opened.connection.prepare_cached(statement)?;
    for stored in select.query_map(params![id, boot.id], Stored::read)? {
        let stored = stored?;
        // An invalid name was written by another program: skipped, since no command could name it.
        let Ok(election) = Name::new("election", &stored.id) else { continue };
        let since_unix_us = stored.created_at;
        found.push(ElectionRow { election, row: snapshot.decode(stored).0, since_unix_us });
    }
    Ok(found)
}

/// See [`crate::driver::stores::Store::revoke`].
pub(super) fn revoke(
    opened: &Opened,
    boot: &Boot,
    path: &Path,
    election: &Name,
    token: Option<FencingToken>,
    until: Instant,
) -> Result<Option<Row>, StoreError> {
    let in_sqlite = |error: rusqlite::Error| fault::sqlite(path, &error);
    let transaction = begin(opened, Durability::Durable, until).map_err(in_sqlite)?;
    let mut snapshot = Snapshot::new(boot, &opened.lock);
    let mut select = transaction.prepare_cached(sql::SELECT).map_err(in_sqlite)?;
    let Some((row, previous)) = snapshot.find(&mut select, election).map_err(in_sqlite)? else {
        return Ok(None);
    };
    drop(select);
    let Some(remaining) = table::revoked_remaining(&row, token) else { return Ok(None) };
    let next = table::next_token(previous, 0).map_err(|error| no_token_left(election, error))?;
    let left = micros(remaining);
    let values = params![
        &**election,
        next.get() as i64,
        snapshot.now.boot.saturating_add(left),
        snapshot.now.wall.saturating_add(left),
        boot.id
    ];
    transaction.execute(sql::REVOKE, values).map_err(in_sqlite)?;
    let now = StoreTime::from_micros(snapshot.now.boot);
    commit(transaction, opened, path)?;
    Ok(Some(table::revoked_row(row, now, remaining)))
}

/// See [`crate::driver::stores::Store::clean_up`].
pub(super) fn clean_up(opened: &Opened, boot: &Boot, path: &Path, until: Instant) -> Result<u64, StoreError> {
    let in_sqlite = |error: rusqlite::Error| fault::sqlite(path, &error);
    let connection = &opened.connection;
    // Usually there is nothing to delete, which needs no write lock.
    if expired_rows(connection, boot).map_err(in_sqlite)?.is_empty() {
        return Ok(0);
    }
    let transaction = begin(opened, Durability::Volatile, until).map_err(in_sqlite)?;
    let delete = || -> rusqlite::Result<u64> {
        let expired = expired_rows(&transaction, boot)?;
        let mut delete = transaction.prepare_cached(sql::DELETE)?;
        for (id, _) in &expired {
            delete.execute([id])?;
        }
        if let Some(floor) = expired.iter().map(|(_, token)| *token).max() {
            transaction.execute(sql::RAISE_FLOOR, params![sql::FLOOR_ID, floor, Now::read().wall])?;
        }
        Ok(expired.len() as u64)
    };
    let deleted = delete().map_err(in_sqlite)?;
    commit(transaction, opened, path)?;
    Ok(deleted)
}

fn expired_rows(connection: &Connection, boot: &Boot) -> rusqlite::Result<Vec<(String, i64)>> {
    let now = Now::read();
    let dead_for = micros(table::DEAD_FOR);
    let mut select = connection.prepare_cached(sql::SELECT_DEAD)?;
    let values = params![
        sql::FLOOR_ID,
        boot.id,
        now.boot - dead_for,
        now.wall - dead_for,
        i64::from(table::CLEAN_UP_AT_ONCE)
    ];
    select.query_map(values, |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
