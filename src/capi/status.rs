//! What calls return.

use std::ffi::c_char;
use std::fmt::Display;

/// The result of a call. A number never changes its meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub enum elector_status {
    /// Success.
    Ok = 0,
    /// A pointer that must not be NULL was NULL.
    NullPointer = 1,
    /// A string is not UTF-8.
    InvalidUtf8 = 2,
    /// A name, number, store URL or enumerator is invalid; no retry can succeed.
    InvalidArgument = 3,
    /// The timings contradict each other, or one is out of bounds; the message names the numbers.
    InvalidTiming = 4,
    /// `struct_size` is smaller than in any version of this header: set it to `sizeof` the struct.
    InvalidStructSize = 5,
    /// The timeout passed before the event that the call waits for.
    Timeout = 6,
    /// The store failed; a retry may succeed.
    StoreFailed = 7,
    /// The store refused. Every retry is refused until an operator changes something; the message says what.
    StoreRefused = 8,
    /// The handle was created before a `fork`, and this is the child process: create a new handle here.
    Forked = 9,
    /// A callback called a function that waits, which would delay all other callbacks: call it from another
    /// thread.
    InCallback = 10,
    /// No change with this number is known: it is older than the latest 1000, or has not happened yet.
    UnknownChange = 11,
    /// The operating system refused to start a thread.
    NoThread = 12,
    /// A bug in this library, which the message quotes. The elector never leads again; create a new one.
    Panic = 13,
    /// `elector_wake` was called while this call waited.
    Woken = 14,
    /// The operating system returned no random number. Without one, candidates of the same name cannot be
    /// told apart.
    NoRandom = 15,
}

impl elector_status {
    const ALL: [elector_status; 16] = [
        elector_status::Ok,
        elector_status::NullPointer,
        elector_status::InvalidUtf8,
        elector_status::InvalidArgument,
        elector_status::InvalidTiming,
        elector_status::InvalidStructSize,
        elector_status::Timeout,
        elector_status::StoreFailed,
        elector_status::StoreRefused,
        elector_status::Forked,
        elector_status::InCallback,
        elector_status::UnknownChange,
        elector_status::NoThread,
        elector_status::Panic,
        elector_status::Woken,
        elector_status::NoRandom,
    ];

    fn name(self) -> &'static std::ffi::CStr {
        match self {
            elector_status::Ok => c"OK",
            elector_status::NullPointer => c"NULL_POINTER",
            elector_status::InvalidUtf8 => c"INVALID_UTF8",
            elector_status::InvalidArgument => c"INVALID_ARGUMENT",
            elector_status::InvalidTiming => c"INVALID_TIMING",
            elector_status::InvalidStructSize => c"INVALID_STRUCT_SIZE",
            elector_status::Timeout => c"TIMEOUT",
            elector_status::StoreFailed => c"STORE_FAILED",
            elector_status::StoreRefused => c"STORE_REFUSED",
            elector_status::Forked => c"FORKED",
            elector_status::InCallback => c"IN_CALLBACK",
            elector_status::UnknownChange => c"UNKNOWN_CHANGE",
            elector_status::NoThread => c"NO_THREAD",
            elector_status::Panic => c"PANIC",
            elector_status::Woken => c"WOKEN",
            elector_status::NoRandom => c"NO_RANDOM",
        }
    }
}

/// The error of a call, for people to read; programs should compare `status`. You own the struct and need not
/// initialise it; it never grows. A call that succeeds sets `status` to OK and `message` to "".
#[derive(Clone, Copy)]
#[repr(C)]
pub struct elector_error {
    /// The status that the call returned.
    pub status: elector_status,
    /// One line that says what was asked, what was found and what to do; NUL-terminated UTF-8, cut if it is
    /// longer. It never contains a password.
    pub message: [c_char; 1020],
}

/// Returns the name of a status as in this header, without its prefix ("TIMEOUT"), or "UNKNOWN" for a number
/// that this version does not know. The string is valid until the process ends. Any thread.
#[unsafe(no_mangle)]
pub extern "C" fn elector_status_name(status: i32) -> *const c_char {
    let known = elector_status::ALL.into_iter().find(|known| *known as i32 == status);
    known.map_or(c"UNKNOWN", elector_status::name).as_ptr()
}

/// Why a call fails.
pub(super) struct Fault {
    pub(super) status: elector_status,
    pub(super) message: String,
}

impl Fault {
    pub(super) fn new(status: elector_status, message: impl Into<String>) -> Fault {
        Fault { status, message: message.into() }
    }

    pub(super) fn argument(message: impl ToString) -> Fault {
        Fault::new(elector_status::InvalidArgument, message.to_string())
    }

    /// `what` is NULL.
    pub(super) fn null(what: &str) -> Fault {
        Fault::new(elector_status::NullPointer, format!("{what} is NULL; pass a valid pointer"))
    }

    /// A bug in this library; `found` says where it was noticed.
    pub(super) fn bug(found: impl Display) -> Fault {
        Fault::new(elector_status::Panic, format!("a bug in Elector: {found}; please report it"))
    }
}
