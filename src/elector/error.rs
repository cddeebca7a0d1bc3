//! The error type of the public API.

use std::fmt;

use crate::core::{InvalidName, InvalidTiming};
use crate::driver::stores::StoreError;
use crate::driver::stores::url::InvalidUrl;

/// An error of an elector. Opaque: its methods return what kind it is.
///
/// The message is one line: what was attempted, what was found, and what to do. It never contains a password.
#[derive(Debug)]
pub struct Error {
    kind: Kind,
}

/// The kinds of errors, for code of this crate that must handle each.
#[derive(Debug)]
pub(crate) enum Kind {
    Name(InvalidName),
    Timing(InvalidTiming),
    Url(InvalidUrl),
    Store(StoreError),
    Unconfirmed {
        election: String,
        waited_ms: u128,
        last: Option<StoreError>,
    },
    Released {
        election: String,
    },
    Busy {
        election: String,
    },
    #[cfg(feature = "postgres")]
    NotLeader {
        election: String,
    },
    #[cfg(feature = "postgres")]
    Guard {
        election: String,
        found: String,
    },
    Forked,
    Threads(std::io::Error),
    NoRandom(std::io::Error),
}

impl Error {
    /// The kind of the error. Match it without a wildcard, so that a new kind fails to compile.
    #[cfg(feature = "capi")]
    pub(crate) fn kind(&self) -> &Kind {
        &self.kind
    }

    /// Whether a name, a timing or a store URL is invalid. A retry cannot succeed.
    #[must_use]
    pub fn is_invalid_input(&self) -> bool {
        matches!(self.kind, Kind::Name(_) | Kind::Timing(_) | Kind::Url(_))
    }

    /// Whether the timings are invalid or contradict each other.
    #[must_use]
    pub fn is_invalid_timing(&self) -> bool {
        matches!(self.kind, Kind::Timing(_))
    }

    /// Whether the store could not be opened or refused an operation.
    #[must_use]
    pub fn is_store(&self) -> bool {
        matches!(self.kind, Kind::Store(_))
    }

    /// Whether a retry fails again until the configuration, the store or the program is changed.
    #[must_use]
    pub fn is_permanent(&self) -> bool {
        match &self.kind {
            Kind::Store(error) => error.is_permanent(),
            Kind::Name(_) | Kind::Timing(_) | Kind::Url(_) | Kind::Forked => true,
            Kind::Unconfirmed { .. }
            | Kind::Released { .. }
            | Kind::Busy { .. }
            | Kind::Threads(_)
            | Kind::NoRandom(_) => false,
            #[cfg(feature = "postgres")]
            Kind::NotLeader { .. } | Kind::Guard { .. } => false,
        }
    }

    /// Whether the store did not answer within the timeout of the call.
    #[must_use]
    pub fn is_timeout(&self) -> bool {
        matches!(self.kind, Kind::Unconfirmed { .. })
    }

    /// Whether a call of [`Elector::release`](crate::Elector::release) or
    /// [`Elector::drain`](crate::Elector::drain) ended
    /// [`Elector::run_as_leader`](crate::Elector::run_as_leader).
    #[must_use]
    pub fn is_released(&self) -> bool {
        matches!(self.kind, Kind::Released { .. })
    }

    /// Whether another `run_as_leader` of this elector is still running. One candidate runs one piece of work
    /// at a time.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        matches!(self.kind, Kind::Busy { .. })
    }

    /// Whether the candidate has no term, so that the transaction to be guarded must be rolled back.
    #[cfg(feature = "postgres")]
    #[must_use]
    pub fn is_not_leader(&self) -> bool {
        matches!(self.kind, Kind::NotLeader { .. })
    }

    #[cfg(feature = "postgres")]
    pub(crate) fn not_leader(election: &str) -> Error {
        Error { kind: Kind::NotLeader { election: election.to_owned() } }
    }

    #[cfg(feature = "postgres")]
    pub(crate) fn no_guard(election: &str) -> Error {
        let found = "its leases are not kept in PostgreSQL".to_owned();
        Error { kind: Kind::Guard { election: election.to_owned(), found } }
    }

    #[cfg(feature = "postgres")]
    pub(crate) fn guard(election: &str, error: &tokio_postgres::Error) -> Error {
        let found = error.as_db_error().map_or_else(|| error.to_string(), |said| said.message().to_owned());
        Error { kind: Kind::Guard { election: election.to_owned(), found } }
    }

    /// Whether the elector was made before a `fork` and is used in the child.
    #[must_use]
    pub fn is_forked(&self) -> bool {
        matches!(self.kind, Kind::Forked)
    }

    pub(crate) fn unconfirmed(
        election: &str,
        waited: std::time::Duration,
        last: Option<StoreError>,
    ) -> Error {
        Error {
            kind: Kind::Unconfirmed { election: election.to_owned(), waited_ms: waited.as_millis(), last },
        }
    }

    pub(crate) fn released(election: &str) -> Error {
        Error { kind: Kind::Released { election: election.to_owned() } }
    }

    pub(crate) fn busy(election: &str) -> Error {
        Error { kind: Kind::Busy { election: election.to_owned() } }
    }

    pub(crate) fn forked() -> Error {
        Error { kind: Kind::Forked }
    }

    /// Whether the operating system had no random number.
    #[must_use]
    pub fn is_no_random(&self) -> bool {
        matches!(self.kind, Kind::NoRandom(_))
    }

    pub(crate) fn no_random(error: std::io::Error) -> Error {
        Error { kind: Kind::NoRandom(error) }
    }

    pub(crate) fn threads(error: std::io::Error) -> Error {
        Error { kind: Kind::Threads(error) }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Kind::Name(error) => error.fmt(f),
            Kind::Timing(error) => error.fmt(f),
            Kind::Url(error) => error.fmt(f),
            Kind::Store(error) => error.fmt(f),
            Kind::Unconfirmed { election, waited_ms, last } => {
                write!(f, "election {election:?}: the store did not answer within {waited_ms} ms")?;
                match last {
                    Some(error) => write!(f, "; its last error was: {error}"),
                    None => write!(f, "; check that it is reachable, or wait longer"),
                }
            }
            Kind::Released { election } => {
                write!(
                    f,
                    "election {election:?}: the elector was released meanwhile; campaign again to go on"
                )
            }
            Kind::Busy { election } => {
                write!(
                    f,
                    "election {election:?}: this elector runs other work as leader already; wait until that \
                     has returned, or make an elector of its own for this work"
                )
            }
            #[cfg(feature = "postgres")]
            Kind::NotLeader { election } => {
                write!(f, "election {election:?}: this candidate does not lead; roll the transaction back")
            }
            #[cfg(feature = "postgres")]
            Kind::Guard { election, found } => {
                write!(
                    f,
                    "election {election:?}: the transaction could not be guarded: {found}; roll it back"
                )
            }
            Kind::Forked => f.write_str(
                "this elector was made before a fork and cannot be used in the child process; make a new one \
                 there",
            ),
            Kind::NoRandom(error) => write!(
                f,
                "the operating system has no random number ({error}), which is needed to distinguish \
                 candidates; make /dev/urandom readable for this process: a chroot may lack it"
            ),
            Kind::Threads(error) => {
                write!(
                    f,
                    "cannot start a thread for the hub ({error}); check the limit of threads (ulimit -u)"
                )
            }
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.kind {
            Kind::Name(error) => Some(error),
            Kind::Timing(error) => Some(error),
            Kind::Url(error) => Some(error),
            Kind::Store(error) => Some(error),
            Kind::Threads(error) | Kind::NoRandom(error) => Some(error),
            Kind::Unconfirmed { .. } | Kind::Released { .. } | Kind::Busy { .. } | Kind::Forked => None,
            #[cfg(feature = "postgres")]
            Kind::NotLeader { .. } | Kind::Guard { .. } => None,
        }
    }
}

impl From<InvalidName> for Error {
    fn from(error: InvalidName) -> Error {
        Error { kind: Kind::Name(error) }
    }
}

impl From<InvalidTiming> for Error {
    fn from(error: InvalidTiming) -> Error {
        Error { kind: Kind::Timing(error) }
    }
}

impl From<InvalidUrl> for Error {
    fn from(error: InvalidUrl) -> Error {
        Error { kind: Kind::Url(error) }
    }
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Error {
        Error { kind: Kind::Store(error) }
    }
}
