//! What a store must do. `tests/stores/conformance.rs` says it again as tests that run against each store.

pub mod memory;
mod opener;
mod options;
#[cfg(feature = "postgres")]
pub mod postgres;
#[cfg(feature = "sqlite")]
pub mod sqlite;
pub mod url;

use std::fmt;
use std::sync::Arc;

use crate::core::lease::{Failure, LeaderId, Outcome, Reply, Request, Row};
use crate::core::sql::postgres::Table;
use crate::core::table::NoTokenLeft;
use crate::core::{FencingToken, Name};
use crate::driver::host::descriptor::Descriptor;

pub use self::options::{Fuse, IfMissing, SqliteOptions};

/// One connection to a place where leases are kept. Its hub calls it from one thread.
///
/// # Rules that every store keeps
/// * Each operation is atomic against all others, from whatever process.
/// * Whether a lease has ended is decided by the store's own clock, read while the operation holds the row.
/// * `Acquire` takes a row only if it is absent or its lease has ended; then
///   `token = max(previous token + 1, microseconds since 1970)`, and `expires_at = store now + lease`.
/// * `Renew` and `Release` change only a row with the same holder and token; `Renew` also needs an
///   unexpired one.
/// * `Release` keeps the row as a tombstone: no holder, just expired, token kept.
/// * A call returns soon after the latest deadline of its jobs, even when the store hangs.
pub trait Store: Send {
    /// Executes all jobs, in as few statements as it can, and answers each, in the same order.
    fn execute(&mut self, jobs: &[Job]) -> Vec<Answer>;

    /// Reads all rows, or one election's, for people.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn rows(&mut self, election: Option<&Name>) -> Result<Vec<ElectionRow>, StoreError>;

    /// Revokes the term of `election` (if `token` is given, only that very term): the holder fails its
    /// next renewal. Nobody can take over before the lease ends, so that the holder has stopped trusting
    /// it by then. The token grows by one. A poisoned expiry, further ahead than the row's own lease could
    /// set it, is brought back to one lease from now. Returns the row as it was, but with the expiry that it
    /// has from now on; or `None` if there was nothing to revoke.
    ///
    /// # Errors
    /// When the store cannot be read or written.
    fn revoke(&mut self, election: &Name, token: Option<FencingToken>) -> Result<Option<Row>, StoreError>;

    /// Deletes rows that have been dead for over a minute, a bounded number at a time. Returns how many.
    ///
    /// # Errors
    /// When the store cannot be read or written.
    fn clean_up(&mut self) -> Result<u64, StoreError>;

    /// Refuses what a candidate could not do here, before it waits for it: a permission that is missing.
    ///
    /// # Errors
    /// When it is refused, or the store cannot be asked.
    fn check(&mut self) -> Result<(), StoreError> {
        Ok(())
    }

    /// Refuses texts of a candidate that the store cannot keep.
    ///
    /// # Errors
    /// When one is refused, or the store cannot be asked.
    fn check_texts(&mut self, texts: &[CandidateText]) -> Result<(), StoreError> {
        let _ = texts;
        Ok(())
    }

    /// The open file by which the kernel tells others that this process lives, if the store has one. A child
    /// that inherits it keeps this process's leases held until it is gone as well.
    fn lock_fd(&self) -> Option<Arc<Descriptor>> {
        None
    }

    /// What an operator should know beside the rows, one line each: who keeps a row from being taken
    /// over, a clock that is off.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn remarks(&mut self) -> Result<Vec<String>, StoreError> {
        Ok(Vec::new())
    }

    /// The table in PostgreSQL that the leases are in, where they are, for guards.
    fn table(&self) -> Option<Table> {
        None
    }
}

/// A text that a store keeps for a candidate: what it is ("election", "candidate", "meta text"), and the
/// text.
pub type CandidateText = (&'static str, Arc<str>);

/// One request of one election.
#[derive(Clone, Debug, PartialEq)]
pub struct Job {
    /// The election.
    pub election: Name,
    /// What its machine asks for.
    pub request: Request,
}

/// The answer to a [`Job`].
#[derive(Clone, Debug)]
pub struct Answer {
    /// For the machine.
    pub reply: Reply,
    /// For people, when the reply is a failure.
    pub error: Option<StoreError>,
}

impl Answer {
    /// The answer to a job that failed with `error`.
    #[must_use]
    pub fn failed(job: &Job, error: &StoreError) -> Answer {
        let outcome = Outcome::Failed(error.failure());
        Answer { reply: Reply { id: job.request.id, clock: None, outcome }, error: Some(error.clone()) }
    }
}

/// An election's row with what only people want to know.
#[derive(Clone, Debug, PartialEq)]
pub struct ElectionRow {
    /// The election.
    pub election: Name,
    /// The row.
    pub row: Row,
    /// When the term began, in microseconds since 1970 by the store's clock.
    pub since_unix_us: i64,
}

impl ElectionRow {
    /// Who leads now: the holder of a lease that has not ended.
    #[must_use]
    pub fn leader(&self) -> Option<&LeaderId> {
        self.row.holder.as_ref().filter(|_| !self.row.remaining.is_zero())
    }
}

/// What a store tells without being asked. It may be wrong, late or missing; only [`Hint::Gone`] is acted on
/// without asking back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hint {
    /// This election may have become free.
    Election(Name),
    /// Some election may have become free (a process ended, a lease was released).
    Any,
    /// The place where the leases were kept is gone (the file was deleted, moved or replaced, its
    /// descriptors were closed by others): no lease granted through this store protects anything any more.
    Gone,
}

/// How a store gives hints, from any thread. It must not block.
pub type Notifier = Arc<dyn Fn(Hint) + Send + Sync>;

/// What went wrong in a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreError {
    failure: Failure,
    message: Arc<str>,
}

impl StoreError {
    /// An error with what it means for the operation, and a message that says what was asked, what was found
    /// and what to do. The message must not hold a password.
    #[must_use]
    pub fn new(failure: Failure, message: impl Into<Arc<str>>) -> StoreError {
        StoreError { failure, message: message.into() }
    }

    /// What it means for the operation.
    #[must_use]
    pub fn failure(&self) -> Failure {
        self.failure
    }

    /// Whether trying again is of no use until somebody changes something.
    #[must_use]
    pub fn is_permanent(&self) -> bool {
        self.failure == Failure::Refused
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for StoreError {}

/// The error for an election that has no token left.
pub(crate) fn no_token_left(election: &Name, error: NoTokenLeft) -> StoreError {
    StoreError::new(Failure::Refused, format!("election {election:?}: {error}"))
}

/// Refuses an election that the table of the store at `url` cannot hold.
pub(crate) fn check_election_fits(
    url: &impl fmt::Display,
    table: &Table,
    election: &str,
) -> Result<(), StoreError> {
    let refuse = |why| Err(StoreError::new(Failure::Refused, format!("{url}: {why}")));
    table.id_type().refusal(election).map_or(Ok(()), refuse)
}
