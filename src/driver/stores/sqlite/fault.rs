//! Errors of the SQLite store, each in one line: what was attempted, what was found, what to do.

use std::io;
use std::path::Path;

use nix::sys::statvfs::statvfs;
use rusqlite::{Error, ErrorCode};

use crate::core::lease::Failure;
use crate::driver::host::descriptor_limit;
use crate::driver::stores::StoreError;

/// The message after the program has closed descriptors of the store.
pub(super) const CLOSED: &str = "this program closed descriptors that it did not open, the store's among \
                                 them; let it close only its own, or make electors after that";

/// An error that a retry repeats until something is changed.
pub(super) fn refused(path: &Path, found: impl std::fmt::Display) -> StoreError {
    StoreError::new(Failure::Refused, format!("lease database {}: {found}", path.display()))
}

/// A temporary error; nothing was executed.
pub(super) fn unsent(path: &Path, found: impl std::fmt::Display) -> StoreError {
    StoreError::new(Failure::Unsent, format!("lease database {}: {found}", path.display()))
}

/// An error after which only the next look shows whether the jobs were executed.
pub(super) fn unknown(path: &Path, found: impl std::fmt::Display) -> StoreError {
    StoreError::new(Failure::Unknown, format!("lease database {}: {found}", path.display()))
}

/// An error of the operating system. `asked` completes "cannot …".
pub(super) fn io(path: &Path, asked: &str, error: &io::Error) -> StoreError {
    if let Some(advice) = descriptor_limit::advice(error) {
        return unsent(path, format_args!("cannot {asked} ({error}): {advice}"));
    }
    match error.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => refused(
            path,
            format_args!("cannot {asked} ({error}); give this user write access to it and to its directory"),
        ),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            unsent(path, format_args!("cannot {asked} ({error}); free some space"))
        }
        _ => refused(
            path,
            format_args!(
                "cannot {asked} ({error}); give a path in a directory where this user may make files"
            ),
        ),
    }
}

/// An error of SQLite in a transaction that is rolled back.
pub(super) fn sqlite(path: &Path, error: &Error) -> StoreError {
    let advice = |what: &str| format!("{what} (SQLite: {error})");
    // Descriptors that the operation has opened are still open, so the check below finds none free.
    let exhausted = match error.sqlite_error_code() {
        Some(ErrorCode::CannotOpen | ErrorCode::SystemIoFailure) => descriptor_limit::exhausted(1),
        _ => None,
    };
    if let Some(exhausted) = exhausted {
        return unsent(path, advice(exhausted));
    }
    match error.sqlite_error_code() {
        // FileLockingProtocolFailed: a process was stopped while it set up the shared memory.
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::FileLockingProtocolFailed) => {
            unsent(
                path,
                "another process holds it locked (perhaps another candidate on a slow disk); if that \
                 lasts, find out which (fuser, lsof) and end its transaction, and keep leases in a database \
                 of their own",
            )
        }
        Some(ErrorCode::DiskFull) => unsent(path, advice(DISK_FULL)),
        // SQLite has no separate code for a full disk when it creates its shared memory.
        Some(ErrorCode::SystemIoFailure) if is_disk_full(path) => unsent(path, advice(DISK_FULL)),
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => refused(
            path,
            advice("it cannot be written; give this user write access to the file and its directory"),
        ),
        Some(ErrorCode::CannotOpen) => refused(
            path,
            advice(
                "it cannot be opened; check that the path is a file in a directory that this user may write",
            ),
        ),
        Some(ErrorCode::NotADatabase) => {
            refused(path, advice("the file is no SQLite database; give another path or move it away"))
        }
        Some(ErrorCode::DatabaseCorrupt) => refused(
            path,
            advice("the file is damaged; stop all processes that use it, move it away and start them again"),
        ),
        // The extended code, which is in the text, says what failed; nothing was committed.
        Some(ErrorCode::SystemIoFailure | ErrorCode::OutOfMemory | ErrorCode::OperationInterrupted) => {
            unsent(path, advice("reading or writing it failed; check the disk and the kernel's log"))
        }
        _ => refused(path, advice("it does not have the table that it should have; move it away")),
    }
}

const DISK_FULL: &str = "the disk is full; free some space";

fn is_disk_full(path: &Path) -> bool {
    const LITTLE: u64 = 64 * 1024;
    let disk = path.parent().and_then(|directory| statvfs(directory).ok());
    #[allow(clippy::unnecessary_cast, reason = "the types differ from platform to platform")]
    disk.is_some_and(|disk| disk.blocks_available() as u64 * (disk.fragment_size() as u64) < LITTLE)
}

/// An error of SQLite at the commit of a write transaction. After a failed write of the commit itself, only
/// the next look shows whether the transaction was committed.
pub(super) fn at_commit(path: &Path, error: &Error) -> StoreError {
    let fault = sqlite(path, error);
    match error.sqlite_error_code() {
        Some(ErrorCode::SystemIoFailure) => StoreError::new(Failure::Unknown, fault.to_string()),
        _ => fault,
    }
}
