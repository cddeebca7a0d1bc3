//! Checks once more, right before SQLite writes, that the descriptor that it writes to is still its own.
//!
//! A batch may take milliseconds, most of them for a flush of the disk, and a program that closes descriptors
//! and opens files meanwhile would find pages of the database in them. SQLite lets its system calls be
//! replaced (`sqlite3_vfs.xSetSystemCall`), for all connections of the process; those of others pass.

use std::cell::Cell;
use std::ffi::{CStr, c_int, c_void};
use std::marker::PhantomData;
use std::sync::Once;

use nix::errno::Errno;
use rusqlite::ffi;

use crate::driver::host::descriptor::{FileId, file_of};

/// SQLite's descriptors with the files that they were opened for.
pub(super) type Descriptors = [(c_int, FileId); 3];

thread_local! {
    /// What this thread's connection is about to use.
    static GUARDED: Cell<Option<Descriptors>> = const { Cell::new(None) };
}

/// `pwrite` as SQLite calls it: it is compiled for large files, so an offset has 64 bits everywhere.
type Write = unsafe extern "C" fn(c_int, *const c_void, usize, i64) -> isize;

/// Replaces the system call of this part of SQLite, once in a process.
pub(super) fn install(vfs: &CStr) {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        // SAFETY: SQLite calls what it knows by this name with just these arguments.
        unsafe {
            let found = ffi::sqlite3_vfs_find(vfs.as_ptr());
            if let Some(set) = found.as_ref().and_then(|found| found.xSetSystemCall) {
                let write = std::mem::transmute::<Write, unsafe extern "C" fn()>(write);
                set(found, c"pwrite".as_ptr(), Some(write));
            }
        }
    });
}

unsafe extern "C" fn write(number: c_int, from: *const c_void, length: usize, at: i64) -> isize {
    let own = GUARDED.get().into_iter().flatten().find(|(own, _)| *own == number);
    if own.is_some_and(|(_, file)| file_of(number) != Some(file)) {
        Errno::EBADF.set();
        return -1;
    }
    // SAFETY: the caller's own arguments.
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    return unsafe { libc::pwrite64(number, from, length, at) };
    // SAFETY: as above.
    #[cfg(not(all(target_os = "linux", target_env = "gnu")))]
    return unsafe { libc::pwrite(number, from, length, at) };
}

/// Until it is dropped, on the same thread, this thread's writes to these descriptors are checked.
pub(super) struct WriteGuard(PhantomData<*const ()>);

impl WriteGuard {
    pub(super) fn start(numbers: Option<Descriptors>) -> WriteGuard {
        GUARDED.set(numbers);
        WriteGuard(PhantomData)
    }
}

impl Drop for WriteGuard {
    fn drop(&mut self) {
        GUARDED.set(None);
    }
}
