//! Keeps descriptors of the store off the numbers of standard input, output and error.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

/// The first number after those of standard input, output and error.
const FIRST: RawFd = 3;

/// The open file, under a number above those of the standard streams. A program may run with standard output
/// closed and print nevertheless, and must not print into a file of the store.
pub(crate) fn above_standard(open: impl Into<OwnedFd>) -> io::Result<OwnedFd> {
    let open = open.into();
    if open.as_raw_fd() >= FIRST {
        return Ok(open);
    }
    // SAFETY: the number is open, and nothing else owns the new one.
    unsafe {
        match libc::fcntl(open.as_raw_fd(), libc::F_DUPFD_CLOEXEC, FIRST) {
            -1 => Err(io::Error::last_os_error()),
            number => Ok(OwnedFd::from_raw_fd(number)),
        }
    }
}
