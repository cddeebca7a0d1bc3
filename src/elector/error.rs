//! The one error type of the public API.

use std::fmt;

use crate::core::{InvalidName, InvalidTiming};
use crate::driver::stores::StoreError;
use crate::driver::stores::url::InvalidUrl;

/// What went wrong. Opaque; ask the predicates what to do about it.
///
/// The message is one line that says what was asked, what was found and what to do. It never holds a
/// password.
#[derive(Debug)]
pub struct Error {
    kind: Kind,
}

/// The kinds of errors, for code of this crate that must treat each of them.
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
    /// What kind of error it is, to be matched without a wildcard: a new kind must not go unnoticed.
    #[cfg(feature = "capi")]
    pub(crate) fn kind(&self) -> &Kind {
        &self.kind
    }

    /// The caller gave something that can never work: a name, a timing or a store URL.
    #[must_use]
    pub fn is_invalid_input(&self) -> bool {
        matches!(self.kind, Kind::Name(_) | Kind::Timing(_) | Kind::Url(_))
    }

    /// The timings do not fit together.
    #[must_use]
    pub fn is_invalid_timing(&self) -> bool {
        matches!(self.kind, Kind::Timing(_))
    }

    /// The store could not be used.
    #[must_use]
    pub fn is_store(&self) -> bool {
        matches!(self.kind, Kind::Store(_))
    }

    /// The store refused, and will refuse again until somebody changes something.
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

    /// The store did not answer in the time that was given.
    #[must_use]
    pub fn is_timeout(&self) -> bool {
        matches!(self.kind, Kind::Unconfirmed { .. })
    }

    /// Somebody released this elector while it was waited for or worked under.
    #[must_use]
    pub fn is_released(&self) -> bool {
        matches!(self.kind, Kind::Released { .. })
    }

    /// Another `run_as_leader` of this elector has not ended: one candidate runs one piece of work at a time.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        matches!(self.kind, Kind::Busy { .. })
    }

    /// This candidate does not lead (any more), so the transaction that it wanted to guard must be rolled
    /// back.
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

    /// The elector was made before a `fork`, and this is the child.
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

    /// The system gave no random number.
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
                "this elector was made before a fork and is dead in the child; make a new one here",
            ),
            Kind::NoRandom(error) => write!(
                f,
                "the system gave no random number ({error}), by which candidates are told apart; make \
                 /dev/urandom readable for this process: a chroot may lack it"
            ),
            Kind::Threads(error) => write!(f, "no thread could be started for the hub: {error}"),
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
