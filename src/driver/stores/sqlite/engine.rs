//! The descriptors that SQLite itself has opened: the database, its log and its shared memory.
//!
//! SQLite has no call that returns them. It hands out its file objects (`SQLITE_FCNTL_FILE_POINTER`,
//! `SQLITE_FCNTL_JOURNAL_POINTER`), which on Unix are `unixFile` of `os_unix.c`. Each descriptor that is read
//! there is compared with what it must be before anything is read beyond it, so with an SQLite that keeps
//! them in another way no database is opened.

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

/// The part of SQLite whose file objects these are, even if the program has made another one the default.
const VFS: &CStr = c"unix";

/// The head of `unixFile`.
#[repr(C)]
struct File {
    methods: *const c_void,
    vfs: *const c_void,
    inode: *mut Inode,
    descriptor: c_int,
}

/// The head of `unixInodeInfo`, which all connections of a process to one file share.
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

/// The head of `unixShmNode`.
#[repr(C)]
struct Memory {
    inode: *const Inode,
    mutex: *const c_void,
    name: *const c_void,
    descriptor: c_int,
}

/// Opens the file, and changes and locks nothing yet.
///
/// A forked child inherits what SQLite keeps of the files that the parent has open, and with it locks that
/// only the parent holds (fcntl(2)): a connection that shares it would not ask the kernel for them. The first
/// look of a child at each file puts that aside.
pub(super) fn connect(path: &Path) -> rusqlite::Result<Connection> {
    static KNOWN: PerProcess<Mutex<HashSet<FileId>>> = PerProcess::new();
    guarded_write::install(VFS);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let open = || Connection::open_with_flags_and_vfs(path, flags, VFS);
    if fork::generation() == 0 {
        return open();
    }
    // Held meanwhile, so that no other thread of this process shares what is put aside.
    let mut known = KNOWN.get().lock().unwrap_or_else(PoisonError::into_inner);
    let connection = open()?;
    if !Engine::is_shared(&connection, |file| known.insert(file)) {
        return Ok(connection);
    }
    Engine::leak(connection);
    open()
}

/// The files that a connection had opened when it was made.
pub(super) struct Engine([FileId; 3]);

impl Engine {
    /// `None` if this connection's files are not those at the paths, or are not kept as expected.
    pub(super) fn of(connection: &Connection, identity: &Identity) -> Option<Engine> {
        let engine = Engine(identity.of_sqlite());
        engine.is_intact(connection).then_some(engine)
    }

    /// Whether each of SQLite's descriptors still leads to the file that SQLite opened.
    pub(super) fn is_intact(&self, connection: &Connection) -> bool {
        self.descriptors(connection).is_some()
    }

    /// SQLite's descriptors, if each of them still leads to the file that SQLite opened.
    pub(super) fn descriptors(&self, connection: &Connection) -> Option<Descriptors> {
        let database = file(connection, ffi::SQLITE_FCNTL_FILE_POINTER)?;
        let log = file(connection, ffi::SQLITE_FCNTL_JOURNAL_POINTER)?;
        let leads_to = |number, file| file_of(number) == Some(file);
        let [database_file, log_file, memory_file] = self.0;
        // SAFETY: SQLite keeps these objects for as long as the connection is open, and only this thread uses
        // the connection.
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

    /// Whether another connection of the process, or of one that forked it, has the same file open, if that
    /// `matters`.
    fn is_shared(connection: &Connection, matters: impl FnOnce(FileId) -> bool) -> bool {
        let Some(database) = file(connection, ffi::SQLITE_FCNTL_FILE_POINTER) else { return false };
        // SAFETY: as in `numbers`.
        let inode = unsafe { (*database).inode.as_ref() };
        // SAFETY: as above.
        let opened = file_of(unsafe { (*database).descriptor });
        inode
            .filter(|inode| opened == Some(inode.file()))
            .is_some_and(|inode| matters(inode.file()) && inode.references > 1)
    }

    /// Leaks the connection: closing it would close and unlock descriptors that may be the program's by now.
    /// SQLite's record of the file, which all connections of the process share, gets a key that no file has;
    /// otherwise the next connection would lock through the lost descriptors.
    pub(super) fn leak(connection: Connection) {
        if let Some(database) = file(&connection, ffi::SQLITE_FCNTL_FILE_POINTER) {
            // SAFETY: as in `is_intact`. The mutex is the one under which SQLite looks for the file by these
            // two numbers, which no file has.
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

/// One of the connection's file objects; `None` if it is not open.
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
    // SAFETY: SQLite's file objects begin with their methods, which are null while they are closed.
    (!file.is_null() && unsafe { !(*file).methods.is_null() }).then_some(file)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::fd::AsRawFd;

    use super::super::guarded_write::WriteGuard;
    use super::*;

    /// The write comes after every look but the last.
    #[test]
    fn a_commit_does_not_write_to_a_file_that_got_the_number_meanwhile() {
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
