//! Opens the database file, and makes it ours if it is fresh.

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

/// The longest that opening waits for other programs.
const PATIENCE: Duration = Duration::from_secs(5);
/// How many prepared statements a connection keeps: all that there are.
const STATEMENTS: usize = 32;

/// A database that is open, with this process's lock beside it.
pub(super) struct Opened {
    pub connection: Connection,
    pub lock: Arc<ProcessLock>,
    /// This process's byte, for the rows that it takes.
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

/// What makes it impossible to go on with a database that is open.
pub(super) enum Loss {
    /// The paths lead elsewhere; it says what happened to which.
    Files(String),
    /// Descriptors of it were closed by others.
    Descriptors,
}

impl Opened {
    /// Whether it is still what was opened. Nine system calls, some microseconds.
    pub(super) fn loss(&self) -> Option<Loss> {
        if self.lock.is_invalid() || !self.lock.is_intact() || !self.engine.is_intact(&self.connection) {
            return Some(Loss::Descriptors);
        }
        self.identity.loss().map(Loss::Files)
    }

    /// What this thread writes to the database is looked at, until the result is dropped.
    pub(super) fn guard(&self) -> WriteGuard {
        WriteGuard::start(self.engine.descriptors(&self.connection))
    }

    /// Lets go of it without touching files that may be another database's by now.
    pub(super) fn close(self) {
        let _ = self.connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true);
    }

    /// Lets go of it without touching its descriptors, which may be the program's own by now.
    pub(super) fn leak(self) {
        self.lock.invalidate();
        Engine::leak(self.connection);
    }
}

/// Opens what is there and makes nothing anew; `None` if there is no database, or an empty one.
pub(super) fn open_existing(paths: &Paths, fuse: Fuse) -> Result<Option<Opened>, StoreError> {
    let path = &paths.database;
    // Looked at again after an error: somebody may have deleted the file meanwhile.
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
        // No byte is taken: who only asks holds no lease, and keeps nobody from beginning anew.
        finish(paths, before, connection, lock, None).map(Some)
    };
    open().or_else(|error| if is_absent(path) { Ok(None) } else { Err(error) })
}

/// Whether there is nothing yet. Of what cannot be looked at nothing is known.
fn is_absent(path: &Path) -> bool {
    match fs::metadata(path) {
        Ok(found) => found.is_file() && found.len() == 0,
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    }
}

/// Opens it, and makes it if there is none; each refusal is one line.
pub(super) fn open(paths: &Paths, fuse: Fuse) -> Result<Opened, StoreError> {
    let path = &paths.database;
    check_stale_connections(paths)?;
    check_path(paths, fuse)?;
    // A file that is not ours is refused before anything is made beside it.
    let found = match file_id(path) {
        Some(id) => Some((id, connect(path)?)),
        None => None,
    };
    let lock = open_lock(paths)?;
    let (before, (connection, content)) = match found {
        Some((id, connected)) => (Some(id), connected),
        None => {
            // Asked before anything is made, so that a refusal leaves nothing behind. If the file is there
            // by now, they are its users.
            let refusal = refuse_if_in_use(paths, &lock);
            if file_id(path).is_none() {
                refusal?;
                create(path)?;
            }
            (file_id(path), connect(path)?)
        }
    };
    prepare(&connection, content, paths, &lock)?;
    // From here on the order matters. The byte is taken only after the table exists, so that whoever finds
    // a byte beside a file without a table knows that the path had another file before. And the path is
    // looked at only after the byte is taken: whoever replaces the file later finds the byte, and whoever
    // did so before is found here or by the look before each batch.
    let byte = lock.take_byte().map_err(|error| fault::io(path, "lock a byte of the lock file", &error))?;
    finish(paths, before, connection, lock, byte)
}

/// What this process had open before must be left first.
fn check_stale_connections(paths: &Paths) -> Result<(), StoreError> {
    if !ProcessLock::has_stale_connections(&paths.lock) {
        return Ok(());
    }
    let found = "this program closed descriptors that it did not open, and another store of it has not \
                 noticed yet; the path is opened anew after that";
    Err(fault::unsent(&paths.database, found))
}

fn open_lock(paths: &Paths) -> Result<Arc<ProcessLock>, StoreError> {
    ProcessLock::open(&paths.lock).map_err(|error| {
        fault::io(&paths.database, &format!("open the lock file {}", paths.lock.display()), &error)
    })
}

/// Makes sure that the paths name the files that were opened.
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
    // Asked before the file that it may name: another process may make the file between the two looks.
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
            let found = "the file is mounted by itself, so whoever else has it sees neither its log nor its \
                         lock; mount its directory instead";
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

/// Makes an empty file without ever opening it: to close it would drop the locks that SQLite holds on it
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

/// Makes an empty file. Elsewhere only the superuser may do so without opening it; at worst another thread
/// that opens the very same new file at this moment must try again.
#[cfg(not(target_os = "linux"))]
fn create(path: &Path) -> Result<(), StoreError> {
    match fs::File::create_new(path) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(fault::io(path, "create it", &error)),
    }
}

/// A path without a database, beside which processes still live: its file was deleted under them, and they
/// may still trust the leases in it.
fn refuse_if_in_use(paths: &Paths, lock: &ProcessLock) -> Result<(), StoreError> {
    let path = &paths.database;
    match lock.is_in_use() {
        Ok(false) => Ok(()),
        // Waited for, as by candidates that were there before.
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

/// A connection to a file that is ours or empty, and which of both it is. Changes nothing.
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

/// Makes a fresh file ours.
fn prepare(
    connection: &Connection,
    content: Content,
    paths: &Paths,
    lock: &ProcessLock,
) -> Result<(), StoreError> {
    let path = &paths.database;
    let in_sqlite = |error: rusqlite::Error| fault::sqlite(path, &error);
    // An empty table need not last; the first grant is durable, and all that was written before it with it.
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

/// Whether the file is empty; an error if it is not ours. In one transaction, since another process may
/// make it ours at this moment.
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

/// Changes the file to write-ahead logging. SQLite does not wait by itself when others do the same at that
/// moment.
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
