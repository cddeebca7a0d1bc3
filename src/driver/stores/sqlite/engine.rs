//! The descriptors that SQLite itself has opened: the database, its log and its shared memory.
//!
//! SQLite has no function that returns them. It returns its file objects (`SQLITE_FCNTL_FILE_POINTER`,
//! `SQLITE_FCNTL_JOURNAL_POINTER`), which on Unix are `unixFile` of `os_unix.c`. Each descriptor read there
//! is compared with the expected file before anything behind it is read. So with an SQLite of another layout,
//! opening a database fails.

use std::collections::HashSet;
use std::ffi::{CStr, c_int, c_void};
use std::path::Path;
use std::ptr;
use std::sync::{Mutex, PoisonError};

use rusqlite::{Connection, OpenFlags, ffi};

use super::files::Identity;
use super::guarded_write::{self, Descriptors};
use crate::driver::host::descriptor::{FileId, file_of};
use crate::driver::host::fork::{self, PerProcess};

/// The VFS of SQLite with these file objects, named since the program may have made another one the default.
const VFS: &CStr = c"unix";

/// The first fields of `unixFile`.
#[repr(C)]
struct File {
    methods: *const c_void,
    vfs: *const c_void,
    inode: *mut Inode,
    descriptor: c_int,
}

/// The first fields of `unixInodeInfo`, which all connections of a process to one file share.
#[repr(C)]
struct Inode {
    device: libc::dev_t,
    number: u64,
    mutex: *const c_void,
    shared_locks: c_int,
    locks: c_int,
    lock: u8,
    process_lock: u8,
    unused: *const c_void,
    references: c_int,
    memory: *const Memory,
}

impl Inode {
    #[allow(clippy::unnecessary_cast, reason = "the type differs from platform to platform")]
    fn file(&self) -> FileId {
        (self.device as u64, self.number)
    }
}

/// The first fields of `unixShmNode`.
#[repr(C)]
struct Memory {
    inode: *const Inode,
    mutex: *const c_void,
    name: *const c_void,
    descriptor: c_int,
}

/// Opens a connection to the file. Changes and locks nothing.
///
/// A forked child inherits SQLite's records of the files that the parent has open. They list locks that only
/// the parent holds (fcntl(2)), and a connection that shared such a record would not request them from the
/// kernel. So the first connection of a child to each file discards the inherited record.
pub(super) fn connect(path: &Path) -> rusqlite::Result<Connection> {
    static KNOWN: PerProcess<Mutex<HashSet<FileId>>> = PerProcess::new();
    guarded_write::install(VFS);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let open = || Connection::open_with_flags_and_vfs(path, flags, VFS);
    if fork::generation() == 0 {
        return open();
    }
    // Held meanwhile, so that no other thread of this process shares a record that is discarded.
    let mut known = KNOWN.get().lock().unwrap_or_else(PoisonError::into_inner);
    let connection = open()?;
    if !Engine::is_shared(&connection, |file| known.insert(file)) {
        return Ok(connection);
    }
    Engine::leak(connection);
    open()
}

/// The identities of the files that a connection opened.
pub(super) struct Engine([FileId; 3]);

impl Engine {
    /// The files of `connection`. `None` if they are not those at the paths, or SQLite's objects have another
    /// layout.
    pub(super) fn of(connection: &Connection, identity: &Identity) -> Option<Engine> {
        let engine = Engine(identity.of_sqlite());
        engine.is_intact(connection).then_some(engine)
    }

    /// Whether all of SQLite's descriptors still lead to the files that SQLite opened.
    pub(super) fn is_intact(&self, connection: &Connection) -> bool {
        self.descriptors(connection).is_some()
    }

    /// SQLite's descriptors; `None` unless each still leads to the file that SQLite opened.
    pub(super) fn descriptors(&self, connection: &Connection) -> Option<Descriptors> {
        let database = file(connection, ffi::SQLITE_FCNTL_FILE_POINTER)?;
        let log = file(connection, ffi::SQLITE_FCNTL_JOURNAL_POINTER)?;
        let leads_to = |number, file| file_of(number) == Some(file);
        let [database_file, log_file, memory_file] = self.0;
        // SAFETY: SQLite keeps these objects while the connection is open, and only this thread uses the
        // connection.
        unsafe {
            let numbers = ((*database).descriptor, (*log).descriptor);
            if !leads_to(numbers.0, database_file) || !leads_to(numbers.1, log_file) {
                return None;
            }
            let inode = (*database).inode.as_ref().filter(|inode| inode.file() == database_file)?;
            let memory = inode.memory.as_ref().filter(|memory| ptr::eq(memory.inode, inode))?;
            let number = memory.descriptor;
            leads_to(number, memory_file).then_some([
                (numbers.0, database_file),
                (numbers.1, log_file),
                (number, memory_file),
            ])
        }
    }

    /// Whether `matters` returns true for the connection's file, and another connection shares SQLite's
    /// record of that file: one of this process, or one inherited from a parent process.
    fn is_shared(connection: &Connection, matters: impl FnOnce(FileId) -> bool) -> bool {
        let Some(database) = file(connection, ffi::SQLITE_FCNTL_FILE_POINTER) else { return false };
        // SAFETY: as in `descriptors`.
        let inode = unsafe { (*database).inode.as_ref() };
        // SAFETY: as above.
        let opened = file_of(unsafe { (*database).descriptor });
        inode
            .filter(|inode| opened == Some(inode.file()))
            .is_some_and(|inode| matters(inode.file()) && inode.references > 1)
    }

    /// Leaks the connection, since closing it would close and unlock descriptors that may belong to the
    /// program by now. SQLite's record of the file, which all connections of the process share, gets a key
    /// that no file has, since the next connection would otherwise lock through the lost descriptors.
    pub(super) fn leak(connection: Connection) {
        if let Some(database) = file(&connection, ffi::SQLITE_FCNTL_FILE_POINTER) {
            // SAFETY: as in `descriptors`. SQLite searches its records by these two fields under the same
            // mutex; no file has the new values.
            unsafe {
                let mutex = ffi::sqlite3_mutex_alloc(ffi::SQLITE_MUTEX_STATIC_VFS1);
                ffi::sqlite3_mutex_enter(mutex);
                if let Some(inode) = (*database).inode.as_mut() {
                    (inode.device, inode.number) = (libc::dev_t::MAX, u64::MAX);
                }
                ffi::sqlite3_mutex_leave(mutex);
            }
        }
        std::mem::forget(connection);
    }
}

/// One of the connection's file objects; `None` while it is not open.
fn file(connection: &Connection, which: c_int) -> Option<*const File> {
    let mut found: *mut c_void = ptr::null_mut();
    // SAFETY: the connection is open, and SQLite writes one pointer.
    let file = unsafe {
        let found: *mut *mut c_void = &mut found;
        if ffi::sqlite3_file_control(connection.handle(), c"main".as_ptr(), which, found.cast()) != 0 {
            return None;
        }
        (*found).cast::<File>().cast_const()
    };
    // SAFETY: SQLite's file objects begin with the pointer to their methods, which is null while they are
    // closed.
    (!file.is_null() && unsafe { !(*file).methods.is_null() }).then_some(file)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::fd::AsRawFd;

    use super::super::guarded_write::WriteGuard;
    use super::*;

    /// The descriptor is replaced after all checks but the one right before the write.
    #[test]
    fn a_commit_does_not_write_to_a_file_that_took_over_the_number() {
        let directory = tempfile::tempdir().unwrap();
        let (database, victim) = (directory.path().join("a.db"), directory.path().join("victim"));
        guarded_write::install(VFS);
        let connection = Connection::open_with_flags_and_vfs(&database, OpenFlags::default(), VFS).unwrap();
        connection.execute_batch("CREATE TABLE a (b); BEGIN IMMEDIATE; INSERT INTO a VALUES (1)").unwrap();
        // SAFETY: the connection is open.
        let number = unsafe { (*file(&connection, ffi::SQLITE_FCNTL_FILE_POINTER).unwrap()).descriptor };
        let _write_guard = WriteGuard::start(Some([(number, file_of(number).unwrap()); 3]));
        fs::write(&victim, "The program's own.").unwrap();
        let foreign = fs::File::options().read(true).write(true).open(&victim).unwrap();
        // SAFETY: both numbers are open.
        assert_eq!(unsafe { libc::dup2(foreign.as_raw_fd(), number) }, number);
        let committed = connection.execute_batch("COMMIT");
        Engine::leak(connection);
        assert!(committed.is_err(), "{committed:?}");
        assert_eq!(fs::read_to_string(&victim).unwrap(), "The program's own.");
    }
}
