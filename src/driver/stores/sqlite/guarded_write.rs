//! Checks right before each write of SQLite that its descriptor still leads to the file that it opened.
//!
//! A batch may take milliseconds, most of them for flushing the disk. If the program closes foreign
//! descriptors and opens files meanwhile, SQLite would write pages of the database into those files. SQLite
//! lets its system calls be replaced (`sqlite3_vfs.xSetSystemCall`), but only for all connections of the
//! process; writes of other connections pass unchecked.

use std::cell::Cell;
use std::ffi::{CStr, c_int, c_void};
use std::marker::PhantomData;
use std::sync::Once;

use nix::errno::Errno;
use rusqlite::ffi;

use crate::driver::host::descriptor::{FileId, file_of};

/// SQLite's descriptors: each number with the file that it must lead to.
pub(super) type Descriptors = [(c_int, FileId); 3];

thread_local! {
    /// The descriptors of the connection that this thread is using.
    static GUARDED: Cell<Option<Descriptors>> = const { Cell::new(None) };
}

/// The type of `pwrite` as SQLite calls it. SQLite is compiled for large files, so offsets have 64 bits on
/// every platform.
type Write = unsafe extern "C" fn(c_int, *const c_void, usize, i64) -> isize;

/// Replaces `pwrite` of this VFS, once in a process.
pub(super) fn install(vfs: &CStr) {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        // SAFETY: SQLite calls the function of this name with exactly these arguments.
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

/// Checks the writes of this thread to these descriptors until it is dropped, on the same thread.
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
