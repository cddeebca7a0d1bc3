//! Descriptors of the store never get the numbers of standard input, output or errors.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

/// The first number that is not standard input, output or errors.
const FIRST: RawFd = 3;

/// The same open file under a number to which nobody writes by habit: a program may run without standard
/// output and print nevertheless.
pub(crate) fn above_standard(open: impl Into<OwnedFd>) -> io::Result<OwnedFd> {
    let open = open.into();
    if open.as_raw_fd() >= FIRST {
        return Ok(open);
    }
    // SAFETY: the number is open, and the kernel's new one belongs to nobody else.
    unsafe {
        match libc::fcntl(open.as_raw_fd(), libc::F_DUPFD_CLOEXEC, FIRST) {
            -1 => Err(io::Error::last_os_error()),
            number => Ok(OwnedFd::from_raw_fd(number)),
        }
    }
}
