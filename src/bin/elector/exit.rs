//! Exit codes. This table is what `--help`, the man page and the tests read.

use std::fmt;
use std::io;

use elector::driver::descriptor_limit;

/// Each exit code and its meaning.
pub const CODES: [(u8, &str); 9] = [
    (0, "success; `run`: CMD exited with 0"),
    (NO, "no such term, or confirmation declined"),
    (USAGE, "wrong option, name, timing or URL"),
    (
        STORE,
        "the store is unreachable (`run` retries instead), read-only or damaged;\n       \
             permission is missing; or a name does not fit its table or encoding",
    ),
    (INTERNAL, "any other failure: a process could not be started, or a bug"),
    (LOST, "`run --once`: leadership was lost, or CMD stayed stopped for a lease;\n       CMD was ended"),
    (126, "`run`: CMD cannot be executed"),
    (127, "`run`: CMD was not found"),
    (128, "+ n: signal n ended CMD, or ended `run` while it campaigned"),
];

/// No such term, or confirmation declined.
pub const NO: u8 = 1;
/// The command line is wrong.
pub const USAGE: u8 = 2;
/// `EX_UNAVAILABLE` of sysexits.h.
pub const STORE: u8 = 69;
/// `EX_SOFTWARE` of sysexits.h.
pub const INTERNAL: u8 = 70;
/// `EX_TEMPFAIL` of sysexits.h: try again.
pub const LOST: u8 = 75;
/// As in shells.
pub const NOT_EXECUTABLE: u8 = 126;
/// As in shells.
pub const NOT_FOUND: u8 = 127;

/// Advice for `EAGAIN` when a process or a thread was to be started.
const NO_PROCESS: &str =
    "the limit of processes is reached; raise it (ulimit -u, or pids.max of a container), or end processes";

/// The table for `--help`: 72 columns at most, which a manual page leaves of 80.
pub fn help() -> String {
    let lines = CODES.map(|(code, meaning)| format!("  {code:>3}  {meaning}"));
    format!("Exit codes:\n{}", lines.join("\n"))
}

/// Why a task failed: one line, and the exit code.
#[derive(Debug)]
pub struct Failure {
    /// The exit code.
    pub code: u8,
    /// What was asked, what was found, what to do. Empty: nothing is printed.
    pub message: String,
}

impl Failure {
    /// The command line is wrong.
    pub fn usage(message: impl fmt::Display) -> Failure {
        Failure { code: USAGE, message: message.to_string() }
    }

    /// The store cannot be used.
    pub fn store(message: impl fmt::Display) -> Failure {
        Failure { code: STORE, message: message.to_string() }
    }

    /// No such term, or confirmation declined.
    pub fn no(message: impl fmt::Display) -> Failure {
        Failure { code: NO, message: message.to_string() }
    }

    /// The operating system failed while `asked` was tried.
    pub fn system(asked: impl fmt::Display, error: &io::Error) -> Failure {
        let advice = descriptor_limit::advice(error).or(match error.raw_os_error() {
            Some(libc::EAGAIN) => Some(NO_PROCESS),
            _ => None,
        });
        let advice = advice.map_or(String::new(), |advice| format!(": {advice}"));
        Failure::internal(format!("cannot {asked}: {error}{advice}"))
    }

    /// Anything else.
    pub fn internal(message: impl fmt::Display) -> Failure {
        Failure { code: INTERNAL, message: message.to_string() }
    }
}

impl From<io::Error> for Failure {
    /// A broken pipe is no failure: the reader (`head`, a pager) has read enough.
    fn from(error: io::Error) -> Failure {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Failure { code: 0, message: String::new() },
            _ => Failure::internal(format!("cannot write: {error}")),
        }
    }
}
