//! Advice for errors caused by a lack of file descriptors, which may be temporary and are not the fault of a
//! path or server.

use std::fs::File;
use std::io;

const OF_THIS_PROCESS: &str = "this process has no file descriptor left; raise its limit (ulimit -n), and \
                               see in /proc/PID/fd what it keeps open";
const OF_THE_SYSTEM: &str =
    "the system has no file descriptor left; raise fs.file-max, or end what keeps so many";

/// The advice for this error, if it is one of them.
#[must_use]
pub fn advice(error: &io::Error) -> Option<&'static str> {
    match error.raw_os_error()? {
        libc::EMFILE => Some(OF_THIS_PROCESS),
        libc::ENFILE => Some(OF_THE_SYSTEM),
        _ => None,
    }
}

/// What to say of a failure that does not tell its cause, if fewer descriptors than these are left.
pub(crate) fn exhausted(needed: usize) -> Option<&'static str> {
    let opened: io::Result<Vec<File>> = (0..needed).map(|_| File::open("/")).collect();
    opened.err().and_then(|error| advice(&error))
}
