//! What calls return.

use std::ffi::c_char;
use std::fmt::Display;

/// What a call came to. A number means the same for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub enum elector_status {
    /// Done.
    Ok = 0,
    /// A pointer that must not be NULL was NULL.
    NullPointer = 1,
    /// A string is not UTF-8.
    InvalidUtf8 = 2,
    /// A name, a number, a store URL or an enumerated value that can never work.
    InvalidArgument = 3,
    /// The timings do not fit together; the message names the numbers.
    InvalidTiming = 4,
    /// A `struct_size` that no version of this header has: set it to `sizeof` the struct.
    InvalidStructSize = 5,
    /// What was waited for did not come in time.
    Timeout = 6,
    /// The store could not be used; it may be so later.
    StoreFailed = 7,
    /// The store refused, and will again until somebody changes something.
    StoreRefused = 8,
    /// The handle was made before a `fork`, and this is the child: make a new one here.
    Forked = 9,
    /// A call that waits was made from a callback, where it would hold up all others.
    InCallback = 10,
    /// The change is no longer, or not yet, known: ask for a later, or an earlier, one.
    UnknownChange = 11,
    /// The system gave no thread.
    NoThread = 12,
    /// A bug in this library, which the message quotes. The elector is never leader again; make a new one.
    Panic = 13,
    /// `elector_wake` was called while this call waited.
    Woken = 14,
    /// The system gave no random number, by which candidates are told apart.
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

/// What went wrong, for people. The caller owns it; it needs no preparation and never grows. A call that
/// succeeds empties it.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct elector_error {
    /// What the call returned.
    pub status: elector_status,
    /// One line that says what was asked, what was found and what to do; NUL-terminated, UTF-8, cut if it is
    /// longer. It never holds a password.
    pub message: [c_char; 1020],
}

/// The name of a status in this header without its prefix ("TIMEOUT"), or "UNKNOWN" for a number that this
/// version does not know. Any thread; the string lives for ever.
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
        Fault::new(elector_status::NullPointer, format!("{what} is NULL; pass one"))
    }

    /// A bug in this library; `found` says where it was noticed.
    pub(super) fn bug(found: impl Display) -> Fault {
        Fault::new(elector_status::Panic, format!("a bug in Elector: {found}; please report it"))
    }
}
