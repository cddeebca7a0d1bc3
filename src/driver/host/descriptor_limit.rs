//! Advice for errors caused by a lack of file descriptors. Such errors may be temporary, and the path or the
//! server of the operation is not their cause.

use std::fs::File;
use std::io;

const OF_THIS_PROCESS: &str = "this process has no file descriptor left; raise its limit (ulimit -n), and \
                               see in /proc/PID/fd what it keeps open";
const OF_THE_SYSTEM: &str =
    "the system has no file descriptor left; raise fs.file-max, or end what keeps so many";

/// The advice for `error` if a lack of descriptors caused it.
#[must_use]
pub fn advice(error: &io::Error) -> Option<&'static str> {
    match error.raw_os_error()? {
        libc::EMFILE => Some(OF_THIS_PROCESS),
        libc::ENFILE => Some(OF_THE_SYSTEM),
        _ => None,
    }
}

/// The advice for a failure that does not report its cause: given if fewer than `needed` descriptors are
/// free.
pub(crate) fn exhausted(needed: usize) -> Option<&'static str> {
    let opened: io::Result<Vec<File>> = (0..needed).map(|_| File::open("/")).collect();
    opened.err().and_then(|error| advice(&error))
}
