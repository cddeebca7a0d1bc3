//! Stores: the trait that each one implements, and its jobs, answers and errors. `testing::conformance`, with
//! the feature `testing`, checks the rules against any store.

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

/// One connection to a store of leases. Its hub calls it from one thread.
///
/// # Rules that every store keeps
/// * Each operation is atomic with respect to all others, of any process.
/// * The store's own clock decides whether a lease has expired. It is read while the operation holds the row.
/// * `Acquire` takes a row only if it is absent or its lease has expired; then `token = max(previous token +
///   1, microseconds since 1970)`, and `expires_at = store now + lease`.
/// * `Renew` and `Release` change only a row with the same holder and token; `Renew` also needs an
///   unexpired one.
/// * `Release` keeps the row and its token, without holder and expired at that instant.
/// * A call returns soon after the latest deadline of its jobs, even if the store hangs.
pub trait Store: Send {
    /// Executes all jobs in as few statements as possible. Returns one answer for each job, in the order of
    /// the jobs.
    fn execute(&mut self, jobs: &[Job]) -> Vec<Answer>;

    /// Reads all rows, or that of one election, for display.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn rows(&mut self, election: Option<&Name>) -> Result<Vec<ElectionRow>, StoreError>;

    /// Revokes the term of `election`, or only the term of `token` if one is given. The holder's next renewal
    /// then fails, and no candidate can take over before the lease expires, by which time the holder has
    /// stopped trusting it. The row's token grows by one. A poisoned expiry, which is further ahead than the
    /// row's own lease can have set it, becomes one lease from now.
    ///
    /// Returns the row as it was before, but with its new expiry; `None` if there was nothing to revoke.
    ///
    /// # Errors
    /// When the store cannot be read or written.
    fn revoke(&mut self, election: &Name, token: Option<FencingToken>) -> Result<Option<Row>, StoreError>;

    /// Deletes rows that expired more than a minute ago, a bounded number in each call. Returns their number.
    ///
    /// # Errors
    /// When the store cannot be read or written.
    fn clean_up(&mut self) -> Result<u64, StoreError>;

    /// Checks that a candidate can campaign here, for example that no permission is missing.
    ///
    /// # Errors
    /// When a candidate could not, or the store cannot be read.
    fn check(&mut self) -> Result<(), StoreError> {
        Ok(())
    }

    /// Checks that the store can keep these texts of a candidate.
    ///
    /// # Errors
    /// When it cannot keep one of them, or cannot be read.
    fn check_texts(&mut self, texts: &[CandidateText]) -> Result<(), StoreError> {
        let _ = texts;
        Ok(())
    }

    /// The open lock file by which other processes learn from the kernel that this process lives; `None` if
    /// the store has none. A child process that inherits the descriptor keeps this process's leases held
    /// until the child has ended too.
    fn lock_fd(&self) -> Option<Arc<Descriptor>> {
        None
    }

    /// Remarks for an operator beside the rows, one line each: transactions that keep a row from being taken
    /// over, a clock that differs.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn remarks(&mut self) -> Result<Vec<String>, StoreError> {
        Ok(Vec::new())
    }

    /// The PostgreSQL table of the leases, for guards; `None` for other stores.
    fn table(&self) -> Option<Table> {
        None
    }
}

/// A text that a store keeps for a candidate: its kind ("election", "candidate", "meta text") and the text
/// itself.
pub type CandidateText = (&'static str, Arc<str>);

/// One request of one election.
#[derive(Clone, Debug, PartialEq)]
pub struct Job {
    /// The election.
    pub election: Name,
    /// The operation, with its id and deadline, from the candidate's lease machine.
    pub request: Request,
}

/// The answer to a [`Job`].
#[derive(Clone, Debug)]
pub struct Answer {
    /// The reply for the lease machine.
    pub reply: Reply,
    /// The error for display, if the reply is a failure.
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

/// The row of an election, for display.
#[derive(Clone, Debug, PartialEq)]
pub struct ElectionRow {
    /// The election.
    pub election: Name,
    /// The row.
    pub row: Row,
    /// When the term began, in microseconds since 1970 by the store's wall clock.
    pub since_unix_us: i64,
}

impl ElectionRow {
    /// The current leader: the holder of a lease that has not expired.
    #[must_use]
    pub fn leader(&self) -> Option<&LeaderId> {
        self.row.holder.as_ref().filter(|_| !self.row.remaining.is_zero())
    }
}

/// A hint that a store gives between calls. It may be wrong, late or missing, so candidates read the store
/// before they act; only [`Hint::Gone`] ends terms by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hint {
    /// The lease of this election may have become free.
    Election(Name),
    /// The lease of any election may have become free (a process ended, a lease was released).
    Any,
    /// The files of the store are lost (deleted, moved or replaced, or the program closed their descriptors).
    /// No lease granted through this store excludes other candidates any more.
    Gone,
}

/// The function that a store calls with hints, from any thread. It must not block.
pub type Notifier = Arc<dyn Fn(Hint) + Send + Sync>;

/// An error of a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreError {
    failure: Failure,
    message: Arc<str>,
}

impl StoreError {
    /// An error. `failure` says what became of the operation; `message` says what was attempted, what was
    /// found and what to do, and must not contain a password.
    #[must_use]
    pub fn new(failure: Failure, message: impl Into<Arc<str>>) -> StoreError {
        StoreError { failure, message: message.into() }
    }

    /// What became of the operation: not executed, perhaps executed, or refused.
    #[must_use]
    pub fn failure(&self) -> Failure {
        self.failure
    }

    /// Whether a retry fails again until the configuration, the store or the program is changed.
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

/// The error for an election that has used up its fencing tokens.
pub(crate) fn no_token_left(election: &Name, error: NoTokenLeft) -> StoreError {
    StoreError::new(Failure::Refused, format!("election {election:?}: {error}"))
}

/// Refuses an election whose name is too long for the table of the store at `url`.
pub(crate) fn check_election_fits(
    url: &impl fmt::Display,
    table: &Table,
    election: &str,
) -> Result<(), StoreError> {
    let refuse = |why| Err(StoreError::new(Failure::Refused, format!("{url}: {why}")));
    table.id_type().refusal(election).map_or(Ok(()), refuse)
}
