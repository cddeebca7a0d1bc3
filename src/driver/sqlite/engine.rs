//! The descriptors that SQLite itself has opened: the database, its log and its shared memory.
//!
//! SQLite tells no numbers. It hands out its file objects (`SQLITE_FCNTL_FILE_POINTER`,
//! `SQLITE_FCNTL_JOURNAL_POINTER`), which on Unix are `unixFile` of `os_unix.c`. What is read here of that is
//! compared with the files at the paths when a database is opened, so an SQLite that is built in another way
//! is refused, not misread.

use std::ffi::{c_int, c_void};
use std::ptr;

use rusqlite::{Connection, ffi};

use super::files::Identity;
use crate::driver::descriptor::{FileId, file_of};

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

/// The head of `unixShmNode`.
#[repr(C)]
struct Memory {
    inode: *const Inode,
    mutex: *const c_void,
    name: *const c_void,
    descriptor: c_int,
}

/// The files that a connection had opened when it was made.
pub(super) struct Engine([FileId; 3]);

impl Engine {
    /// `None` if this connection's files are not those at the paths, or are not kept as expected.
    pub(super) fn of(connection: &Connection, identity: &Identity) -> Option<Engine> {
        let engine = Engine(identity.of_sqlite());
        engine.is_whole(connection).then_some(engine)
    }

    /// Whether each of SQLite's descriptors still leads to the file that SQLite opened.
    pub(super) fn is_whole(&self, connection: &Connection) -> bool {
        let Some(database) = file(connection, ffi::SQLITE_FCNTL_FILE_POINTER) else { return false };
        let Some(log) = file(connection, ffi::SQLITE_FCNTL_JOURNAL_POINTER) else { return false };
        // SAFETY: SQLite keeps these objects for as long as the connection is open, and only this thread uses
        // the connection. The shared memory is there while any connection is in write-ahead mode.
        let numbers = unsafe {
            let Some(memory) = (*database).inode.as_ref().and_then(|inode| inode.memory.as_ref()) else {
                return false;
            };
            [(*database).descriptor, (*log).descriptor, memory.descriptor]
        };
        numbers.into_iter().zip(self.0).all(|(number, file)| file_of(number) == Some(file))
    }

    /// Leaves the connection as it is, for good: to close it would close and unlock numbers that may be the
    /// program's by now. What SQLite knows of the file in this process is put aside with it, or the next
    /// connection would take locks through those numbers.
    pub(super) fn leave(connection: Connection) {
        if let Some(database) = file(&connection, ffi::SQLITE_FCNTL_FILE_POINTER) {
            // SAFETY: as in `is_whole`. The mutex is the one under which SQLite looks for the file by these
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
