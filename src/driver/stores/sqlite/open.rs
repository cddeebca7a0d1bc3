//! Opens the database file, and creates the table in an empty one.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, Transaction, TransactionBehavior};

use super::engine::{self, Engine};
use super::files::{Identity, Paths, file_id};
use super::guarded_write::WriteGuard;
use super::process_lock::ProcessLock;
use super::{fault, filesystem};
use crate::core::sql::sqlite as sql;
use crate::driver::host::clock;
use crate::driver::stores::{Fuse, StoreError};

/// Maximum time that opening waits for other processes.
const PATIENCE: Duration = Duration::from_secs(5);
/// Maximum number of cached prepared statements; there are fewer.
const STATEMENTS: usize = 32;

/// An open database, with this process's lock.
pub(super) struct Opened {
    pub connection: Connection,
    pub lock: Arc<ProcessLock>,
    /// This process's lock byte, for the rows that it takes; `None` where the kernel has no such locks, and
    /// for stores that take no rows.
    pub byte: Option<i64>,
    pub identity: Identity,
    engine: Engine,
    _user: Arc<()>,
}

/// What a database file holds when it is opened.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Content {
    /// Nothing yet: the file has no bytes, or no tables of any program.
    Empty,
    /// Elector's table.
    Leases,
}

/// The reason why an open database must be given up.
pub(super) enum Loss {
    /// A path no longer leads to its file; the text says which one and what happened.
    Files(String),
    /// The program closed descriptors of the database.
    Descriptors,
}

impl Opened {
    /// Checks that paths and descriptors still lead to the opened files. Nine system calls, some
    /// microseconds.
    pub(super) fn loss(&self) -> Option<Loss> {
        if self.lock.is_invalid() || !self.lock.is_intact() || !self.engine.is_intact(&self.connection) {
            return Some(Loss::Descriptors);
        }
        self.identity.loss().map(Loss::Files)
    }

    /// Checks each write of this thread to the database until the result is dropped.
    pub(super) fn guard(&self) -> WriteGuard {
        WriteGuard::start(self.engine.descriptors(&self.connection))
    }

    /// Closes the connection without a checkpoint, which would touch files that may be another database's by
    /// now.
    pub(super) fn close(self) {
        let _ = self.connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true);
    }

    /// Gives the connection up without closing its descriptors, whose numbers may be the program's by now.
    pub(super) fn leak(self) {
        self.lock.invalidate();
        Engine::leak(self.connection);
    }
}

/// Opens an existing database and creates nothing; `None` if there is none or the file is empty.
pub(super) fn open_existing(paths: &Paths, fuse: Fuse) -> Result<Option<Opened>, StoreError> {
    let path = &paths.database;
    // Checked again after an error, since the file may have been deleted meanwhile.
    if is_absent(path) {
        return Ok(None);
    }
    let open = || {
        check_stale_connections(paths)?;
        check_path(paths, fuse)?;
        let before = file_id(path);
        let (connection, content) = connect(path)?;
        if content == Content::Empty {
            return Ok(None);
        }
        let lock = open_lock(paths)?;
        prepare(&connection, content, paths, &lock)?;
        // No byte is locked: this store holds no lease, and must not keep other processes from creating a
        // database.
        finish(paths, before, connection, lock, None).map(Some)
    };
    open().or_else(|error| if is_absent(path) { Ok(None) } else { Err(error) })
}

/// Whether there is no database. False if the path cannot be read.
fn is_absent(path: &Path) -> bool {
    match fs::metadata(path) {
        Ok(found) => found.is_file() && found.len() == 0,
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    }
}

/// Opens the database, and creates it if there is none.
pub(super) fn open(paths: &Paths, fuse: Fuse) -> Result<Opened, StoreError> {
    let path = &paths.database;
    check_stale_connections(paths)?;
    check_path(paths, fuse)?;
    // A file that is not Elector's is refused before files are created beside it.
    let found = match file_id(path) {
        Some(id) => Some((id, connect(path)?)),
        None => None,
    };
    let lock = open_lock(paths)?;
    let (before, (connection, content)) = match found {
        Some((id, connected)) => (Some(id), connected),
        None => {
            // Checked before the file is created, so that a refusal leaves nothing behind. If the file exists
            // by now, the processes found are its users.
            let refusal = refuse_if_in_use(paths, &lock);
            if file_id(path).is_none() {
                refusal?;
                create(path)?;
            }
            (file_id(path), connect(path)?)
        }
    };
    prepare(&connection, content, paths, &lock)?;
    // From here on the order matters. The byte is locked only after the table exists, so a process that finds
    // a locked byte beside a file without a table knows that the path had another file before. And the path
    // is checked only after the byte is locked: a process that replaces the file later finds the byte, and an
    // earlier replacement is found here or by the check before each batch.
    let byte = lock.take_byte().map_err(|error| fault::io(path, "lock a byte of the lock file", &error))?;
    finish(paths, before, connection, lock, byte)
}

/// Refuses to open while connections of this process with lost descriptors have not been given up.
fn check_stale_connections(paths: &Paths) -> Result<(), StoreError> {
    if !ProcessLock::has_stale_connections(&paths.lock) {
        return Ok(());
    }
    let found = "this program closed descriptors that it did not open, and another store of this program \
                 has not detected that yet; the path is opened again once it has";
    Err(fault::unsent(&paths.database, found))
}

fn open_lock(paths: &Paths) -> Result<Arc<ProcessLock>, StoreError> {
    ProcessLock::open(&paths.lock).map_err(|error| {
        fault::io(&paths.database, &format!("open the lock file {}", paths.lock.display()), &error)
    })
}

/// Checks that the paths still lead to the opened files.
fn finish(
    paths: &Paths,
    before: Option<(u64, u64)>,
    connection: Connection,
    lock: Arc<ProcessLock>,
    byte: Option<i64>,
) -> Result<Opened, StoreError> {
    let path = &paths.database;
    let identity = Identity::read(paths).map_err(|missing| replaced(path, &missing))?;
    if file_id(path) != before {
        return Err(replaced(path, path));
    }
    let Some(engine) = Engine::of(&connection, &identity) else {
        return Err(replaced(path, path));
    };
    let user = lock.user();
    Ok(Opened { connection, lock, byte, identity, engine, _user: user })
}

fn replaced(path: &Path, which: &Path) -> StoreError {
    let found = format!("{} was deleted, moved or replaced while it was opened; try again", which.display());
    fault::unsent(path, found)
}

fn check_path(paths: &Paths, fuse: Fuse) -> Result<(), StoreError> {
    let path = &paths.database;
    let directory = paths.directory();
    // Read before the target of the link, since another process may create that between the two reads.
    let is_link = fs::symlink_metadata(path).is_ok_and(|found| found.is_symlink());
    match fs::metadata(directory) {
        Ok(found) if found.is_dir() => {}
        Ok(_) => return Err(fault::refused(path, format_args!("{} is no directory", directory.display()))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let found = format!("the directory {} does not exist; create it first", directory.display());
            return Err(fault::refused(path, found));
        }
        Err(error) => return Err(fault::io(path, "read its directory", &error)),
    }
    match fs::metadata(path) {
        Ok(found) if found.is_dir() => {
            return Err(fault::refused(path, "it is a directory; give the path of a file in it"));
        }
        Ok(found) if !found.is_file() => {
            return Err(fault::refused(path, "it is no regular file; give the path of one, or of none"));
        }
        Ok(found) if found.nlink() > 1 => {
            let found = "the file has several names (hard links), and SQLite keeps a log for each; \
                         remove all but one";
            return Err(fault::refused(path, found));
        }
        Ok(_) if filesystem::is_mounted_alone(path) => {
            let found = "the file is mounted by itself, so other processes that use it see neither its log \
                         nor its lock; mount its directory instead";
            return Err(fault::refused(path, found));
        }
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(fault::io(path, "look at it", &error));
        }
        Err(_) if is_link => {
            let found =
                "it is a link to a file that does not exist; remove the link, or give the file's path";
            return Err(fault::refused(path, found));
        }
        _ => {}
    }
    filesystem::problem(directory, fuse).map_or(Ok(()), |problem| Err(fault::refused(path, problem)))
}

/// Creates an empty file without opening it, since closing it would release the locks that SQLite holds on it
/// for other connections of this process (POSIX, fcntl(2)).
#[cfg(target_os = "linux")]
fn create(path: &Path) -> Result<(), StoreError> {
    use nix::errno::Errno;
    use nix::sys::stat::{Mode, SFlag, mknod};

    let mode = Mode::S_IRUSR | Mode::S_IWUSR | Mode::S_IRGRP | Mode::S_IROTH;
    match mknod(path, SFlag::S_IFREG, mode, 0) {
        Ok(()) | Err(Errno::EEXIST) => Ok(()),
        Err(error) => Err(fault::io(path, "create it", &error.into())),
    }
}

/// Creates an empty file. Outside Linux only the superuser can do so without opening it; at worst another
/// thread that opens the same new file at this moment must retry.
#[cfg(not(target_os = "linux"))]
fn create(path: &Path) -> Result<(), StoreError> {
    match fs::File::create_new(path) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(fault::io(path, "create it", &error)),
    }
}

/// Refuses a path without a database whose lock is still held: its file was deleted while processes used it,
/// and they may still trust the leases in it.
fn refuse_if_in_use(paths: &Paths, lock: &ProcessLock) -> Result<(), StoreError> {
    let path = &paths.database;
    match lock.is_in_use() {
        Ok(false) => Ok(()),
        // A temporary error: the candidate retries until those processes have ended or their leases expired.
        Ok(true) => Err(fault::unsent(
            path,
            format_args!(
                "the file was deleted, moved or replaced while processes used it, and some of them still run \
                 ({} is locked); a new file is made when those processes end or their leases expire",
                paths.lock.display()
            ),
        )),
        Err(error) => Err(fault::io(path, "look at the lock file", &error)),
    }
}

/// Opens a connection to a file that has Elector's table or is empty, and returns which. Changes nothing.
fn connect(path: &Path) -> Result<(Connection, Content), StoreError> {
    let in_sqlite = |error: rusqlite::Error| fault::sqlite(path, &error);
    let connection = engine::connect(path).map_err(in_sqlite)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    connection.busy_timeout(PATIENCE).map_err(in_sqlite)?;
    if connection.is_readonly("main").map_err(in_sqlite)? {
        let found = "the file is read-only; give this user write access to the file and its directory";
        return Err(fault::refused(path, found));
    }
    let snapshot =
        Transaction::new_unchecked(&connection, TransactionBehavior::Deferred).map_err(in_sqlite)?;
    let content = content(&snapshot, path)?;
    drop(snapshot);
    Ok((connection, content))
}

/// Sets write-ahead mode, creates the table in an empty file, and writes the tag of a new lock file.
fn prepare(
    connection: &Connection,
    content: Content,
    paths: &Paths,
    lock: &ProcessLock,
) -> Result<(), StoreError> {
    let path = &paths.database;
    let in_sqlite = |error: rusqlite::Error| fault::sqlite(path, &error);
    // An empty table need not survive a crash. The first grant is durable, and with it all earlier writes.
    connection.execute_batch(sql::VOLATILE).map_err(in_sqlite)?;
    write_ahead(connection, path)?;
    if content == Content::Empty || lock.needs_tag() {
        let transaction =
            Transaction::new_unchecked(connection, TransactionBehavior::Immediate).map_err(in_sqlite)?;
        if self::content(&transaction, path)? == Content::Empty {
            refuse_if_in_use(paths, lock)?;
            transaction.execute_batch(sql::INITIALIZE).map_err(in_sqlite)?;
        }
        lock.write_tag().map_err(|error| fault::io(path, "write the lock file", &error))?;
        transaction.commit().map_err(in_sqlite)?;
    }
    Ok(())
}

/// What the file holds; an error if it is another program's. Read in one transaction, since another process
/// may be creating the table.
fn content(connection: &Transaction<'_>, path: &Path) -> Result<Content, StoreError> {
    let pragma = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, i32>(0));
    let read = || -> rusqlite::Result<(i32, i32, bool)> {
        let has_tables = connection.query_row(sql::HAS_TABLES, [], |row| row.get(0))?;
        Ok((pragma("application_id")?, pragma("user_version")?, has_tables))
    };
    match read().map_err(|error| fault::sqlite(path, &error))? {
        (sql::APPLICATION_ID, sql::SCHEMA_VERSION, _) => Ok(Content::Leases),
        (sql::APPLICATION_ID, version, _) => Err(fault::refused(
            path,
            format_args!(
                "its format is version {version}, and this program knows {}; use a newer Elector",
                sql::SCHEMA_VERSION
            ),
        )),
        (0, 0, false) => Ok(Content::Empty),
        _ => {
            Err(fault::refused(path, "it is another program's SQLite database; leases need one of their own"))
        }
    }
}

/// Changes the file to write-ahead logging. Retries, since SQLite's busy handler does not wait for processes
/// that do the same.
fn write_ahead(connection: &Connection, path: &Path) -> Result<(), StoreError> {
    let deadline = clock::now().saturating_add(PATIENCE);
    loop {
        match connection.query_row(sql::WRITE_AHEAD, [], |row| row.get::<_, String>(0)) {
            Ok(mode) if mode == "wal" => return Ok(()),
            Ok(mode) => {
                let found = format!("its directory's file system allows no write-ahead log (mode {mode})");
                return Err(fault::refused(path, found));
            }
            Err(error)
                if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) && clock::now() < deadline =>
            {
                std::thread::sleep(Duration::from_millis(2));
            }
            Err(error) => return Err(fault::sqlite(path, &error)),
        }
    }
}
