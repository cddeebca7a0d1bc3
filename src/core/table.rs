//! The rules of rows: how an operation changes the row of its election.
//!
//! Pure: given a row, an operation and the store's time, [`execute`] returns the outcome and the new row.
//! The memory stores of Rust and of the npm package and the simulated store use the whole module. The SQLite
//! store uses [`may_take`], [`next_token`] and [`revoked_remaining`]. PostgreSQL follows these rules in the
//! statements of [`super::sql::postgres`].
//!
//! ```
//! use elector::core::lease::{Acquire, LeaderId, Op, Outcome};
//! use elector::core::table::Table;
//! use elector::core::{Name, StoreTime};
//! use std::time::Duration;
//!
//! let election = Name::new("election", "nightly")?;
//! let holder = LeaderId::new(&Name::new("candidate", "api-1")?, 1);
//! let acquire = Acquire { holder, meta: None, lease: Duration::from_secs(10), unchanged: None };
//! let mut table = Table::default();
//! let now = StoreTime::from_micros(0);
//! let outcome = table.execute(&election, &Op::Acquire(acquire.clone()), now, 1_000_000)?;
//! assert!(matches!(outcome, Outcome::Granted { .. }));
//! let second = table.execute(&election, &Op::Acquire(acquire), now, 1_000_000)?;
//! assert!(matches!(second, Outcome::Seen(Some(_))), "the lease has not expired");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use super::lease::{Acquire, LeaderId, Op, Outcome, Row, Version, is_beyond};
use super::timing::default_margin;
use super::{FencingToken, Name, StoreTime};

/// How long a row must have been dead (its lease expired, and not taken again) before a clean-up deletes it.
pub const DEAD_FOR: Duration = Duration::from_secs(60);

/// Maximum number of rows that one clean-up deletes.
pub const CLEAN_UP_AT_ONCE: u32 = 1_000;

/// Maximum time that a server works on one clean-up, because renewals wait behind it. The next clean-up
/// deletes the rows that are left.
pub const CLEAN_UP_WITHIN: Duration = Duration::from_millis(200);

/// The average time from one clean-up to the next. Each process draws the time anew, from half of this to one
/// and a half times this, so that processes that started together do not clean up together.
pub const CLEAN_UP_EVERY: Duration = Duration::from_secs(60);

/// The assumed lease of a row that does not record how long its lease is. `nest-leader-election` writes such
/// rows; its leases last 15 s, whatever its option `leaseDuration` says.
pub const PEER_LEASE: Duration = Duration::from_secs(15);

/// A row as a store keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The holder; `None` after a release or a revocation.
    pub holder: Option<LeaderId>,
    /// The token of the latest term.
    pub token: FencingToken,
    /// When the lease expires, on the store's clock.
    pub expires_at: StoreTime,
    /// When the term began, in microseconds since 1970.
    pub since_unix_us: i64,
    /// The length of the lease that the holder requested.
    pub lease: Duration,
    /// The holder's text.
    pub meta: Option<Arc<str>>,
}

impl Record {
    /// The row as the store shows it at `now`.
    #[must_use]
    pub fn row(&self, now: StoreTime) -> Row {
        Row {
            holder: self.holder.clone(),
            token: Some(self.token),
            expires_at: self.expires_at,
            remaining: self.expires_at.saturating_since(now),
            lease: Some(self.lease),
            meta: self.meta.clone(),
        }
    }

    fn is_held_by(&self, holder: &LeaderId, token: FencingToken) -> bool {
        self.token == token && self.holder.as_ref() == Some(holder)
    }
}

/// The result of an operation.
#[derive(Clone, Debug, PartialEq)]
pub struct Executed {
    /// The outcome for the machine that sent the operation.
    pub outcome: Outcome,
    /// The new row; `None` if the operation changed nothing.
    pub written: Option<Record>,
}

/// The error for an election that has no larger token left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoTokenLeft {
    /// The last token of the election.
    pub previous: i64,
}

impl fmt::Display for NoTokenLeft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "no larger token is left: the last token was {}, and the largest is {}; delete the row of the \
             election while no candidate leads",
            self.previous,
            FencingToken::MAX
        )
    }
}

impl core::error::Error for NoTokenLeft {}

/// Executes an operation on the row of its election. `floor` is at least the token of every row that was
/// deleted; `now` is the store's clock, and `unix_us` its wall clock in microseconds since 1970.
///
/// * `Acquire` takes a row that is absent or has expired. If it names a version ([`Acquire::unchanged`]), the
///   row must still have this version.
/// * `Renew` extends a row with the same holder and token whose lease has not expired.
/// * `Release` ends the lease of a row with the same holder and token. The row stays and keeps its token, so
///   that the next token is larger.
///
/// # Errors
/// When the row may be taken but no larger token is left. The row is not changed.
pub fn execute(
    record: Option<&Record>,
    floor: i64,
    op: &Op,
    now: StoreTime,
    unix_us: i64,
) -> Result<Executed, NoTokenLeft> {
    let unchanged = |outcome| Executed { outcome, written: None };
    match op {
        Op::Look => Ok(unchanged(Outcome::Seen(record.map(|record| record.row(now))))),
        Op::Acquire(acquire) => {
            let row = record.map(|record| record.row(now));
            if !may_take(row.as_ref(), acquire) {
                return Ok(unchanged(Outcome::Seen(row)));
            }
            let previous = record.map_or(floor, |record| record.token.get() as i64);
            let token = next_token(previous, unix_us)?;
            let written = Record {
                holder: Some(acquire.holder.clone()),
                token,
                expires_at: now.saturating_add(acquire.lease),
                since_unix_us: unix_us,
                lease: acquire.lease,
                meta: acquire.meta.clone(),
            };
            Ok(Executed { outcome: Outcome::Granted { token }, written: Some(written) })
        }
        Op::Renew { token, holder, lease } => Ok(match record {
            Some(record) if record.is_held_by(holder, *token) && record.expires_at > now => {
                let expires_at = now.saturating_add(*lease);
                let written = Record { expires_at, lease: *lease, ..record.clone() };
                Executed { outcome: Outcome::Renewed, written: Some(written) }
            }
            _ => unchanged(Outcome::Lost),
        }),
        Op::Release { token, holder } => {
            let held = record.filter(|record| record.is_held_by(holder, *token));
            let written =
                held.map(|record| Record { holder: None, expires_at: now, meta: None, ..record.clone() });
            Ok(Executed { outcome: Outcome::Released, written })
        }
    }
}

/// Whether an acquire may take the row in its present state.
#[must_use]
pub fn may_take(row: Option<&Row>, acquire: &Acquire) -> bool {
    let is_free = row.is_none_or(|row| row.remaining.is_zero());
    let version = row.map_or(Version::Absent, Row::version);
    is_free && acquire.unchanged.is_none_or(|expected| expected == version)
}

/// The token of the next term: larger than `previous`, the last token of the election (0: none), and at least
/// the microseconds since 1970.
///
/// # Errors
/// When no larger token is left.
pub fn next_token(previous: i64, unix_us: i64) -> Result<FencingToken, NoTokenLeft> {
    let next = previous.saturating_add(1).max(unix_us).max(1);
    FencingToken::new(next as u64).ok_or(NoTokenLeft { previous })
}

/// How long a revoked row still blocks its election: the remaining time of the lease, so that the holder has
/// stopped trusting it before another candidate can lead. For a poisoned row, whose expiry is further ahead
/// than its lease could have set it, this is one lease. `None` if there is nothing to revoke: the row has no
/// holder, has expired, or belongs to another term than `token`.
#[must_use]
pub fn revoked_remaining(row: &Row, token: Option<FencingToken>) -> Option<Duration> {
    if row.remaining.is_zero() || token.is_some_and(|token| row.token != Some(token)) {
        return None;
    }
    let lease = row.lease.unwrap_or(PEER_LEASE);
    let is_poisoned = is_beyond(row.remaining, lease, default_margin(lease));
    let remaining = if is_poisoned { lease } else { row.remaining };
    (is_poisoned || row.holder.is_some()).then_some(remaining)
}

/// The row that a revocation returns: as it was before, with its new expiry.
#[must_use]
pub fn revoked_row(row: Row, now: StoreTime, remaining: Duration) -> Row {
    Row { remaining, expires_at: now.saturating_add(remaining), ..row }
}

/// The rows of all elections.
#[derive(Clone, Debug, Default)]
pub struct Table {
    /// Sorted by name. A map of the standard library would make the core's WebAssembly 3 KB larger.
    rows: Vec<(Name, Record)>,
    /// The largest token among the rows that clean-ups deleted.
    floor: i64,
}

impl Table {
    /// Executes an operation on the row of `election`. See [`execute`].
    ///
    /// # Errors
    /// As [`execute`].
    pub fn execute(
        &mut self,
        election: &Name,
        op: &Op,
        now: StoreTime,
        unix_us: i64,
    ) -> Result<Outcome, NoTokenLeft> {
        let place = self.place(election);
        let record = place.ok().map(|at| &self.rows[at].1);
        let executed = execute(record, self.floor, op, now, unix_us)?;
        match (executed.written, place) {
            (Some(record), Ok(at)) => self.rows[at].1 = record,
            (Some(record), Err(at)) => self.rows.insert(at, (election.clone(), record)),
            (None, _) => {}
        }
        Ok(executed.outcome)
    }

    /// Revokes the term of `election` (if `token` is given, only that term). Returns the row as it was
    /// before, with its new expiry; `None` if there is nothing to revoke. See [`revoked_remaining`].
    ///
    /// # Errors
    /// When no larger token is left. The row is not changed.
    pub fn revoke(
        &mut self,
        election: &Name,
        token: Option<FencingToken>,
        now: StoreTime,
    ) -> Result<Option<Row>, NoTokenLeft> {
        let Ok(at) = self.place(election) else { return Ok(None) };
        let record = &mut self.rows[at].1;
        let row = record.row(now);
        let Some(remaining) = revoked_remaining(&row, token) else { return Ok(None) };
        record.token = next_token(record.token.get() as i64, 0)?;
        record.holder = None;
        record.meta = None;
        record.expires_at = now.saturating_add(remaining);
        Ok(Some(revoked_row(row, now, remaining)))
    }

    /// Deletes rows that have been dead for [`DEAD_FOR`], at most [`CLEAN_UP_AT_ONCE`]. Returns their number.
    pub fn clean_up(&mut self, now: StoreTime) -> u64 {
        let (mut deleted, mut floor) = (0, self.floor);
        self.rows.retain(|(_, record)| {
            let is_dead = now.saturating_since(record.expires_at) >= DEAD_FOR;
            let goes = is_dead && deleted < CLEAN_UP_AT_ONCE;
            if goes {
                deleted += 1;
                floor = floor.max(record.token.get() as i64);
            }
            !goes
        });
        self.floor = floor;
        u64::from(deleted)
    }

    /// Deletes a row and forgets its token, as a deletion by hand does. Returns whether the row existed.
    pub fn delete(&mut self, election: &Name) -> bool {
        self.place(election).map(|at| self.rows.remove(at)).is_ok()
    }

    /// All rows, in the order of their elections' names.
    pub fn rows(&self) -> impl Iterator<Item = (&Name, &Record)> {
        self.rows.iter().map(|(election, record)| (election, record))
    }

    /// Where the row of `election` is, or where it belongs.
    fn place(&self, election: &Name) -> Result<usize, usize> {
        self.rows.binary_search_by(|(name, _)| name.cmp(election))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEASE: Duration = Duration::from_secs(10);

    fn election() -> Name {
        Name::new("election", "e").unwrap()
    }

    fn holder(name: &str) -> LeaderId {
        LeaderId::new(&Name::new("candidate", name).unwrap(), 1)
    }

    fn at(seconds: i64) -> StoreTime {
        StoreTime::from_micros(seconds * 1_000_000)
    }

    fn acquire(name: &str, unchanged: Option<Version>) -> Op {
        Op::Acquire(Acquire { holder: holder(name), meta: None, lease: LEASE, unchanged })
    }

    /// A table in which `a` has held the election from second 0 on, and the token.
    fn held() -> (Table, FencingToken) {
        let mut table = Table::default();
        match table.execute(&election(), &acquire("a", None), at(0), 0) {
            Ok(Outcome::Granted { token }) => (table, token),
            other => panic!("{other:?}"),
        }
    }

    fn execute(table: &mut Table, op: &Op, now: i64) -> Outcome {
        table.execute(&election(), op, at(now), 0).unwrap()
    }

    #[test]
    fn an_acquire_takes_an_expired_row_with_a_larger_token_and_no_other() {
        let (mut table, first) = held();
        assert!(matches!(execute(&mut table, &acquire("b", None), 9), Outcome::Seen(Some(_))));
        let Outcome::Granted { token } = execute(&mut table, &acquire("b", None), 10) else { panic!() };
        assert!(token > first);
    }

    #[test]
    fn an_acquire_that_names_a_version_takes_the_row_of_this_version_only() {
        let (mut table, token) = held();
        let seen = Version::Row { token: Some(token), expires_at: at(10) };
        for other in [Version::Absent, Version::Row { token: None, expires_at: at(10) }] {
            assert!(matches!(execute(&mut table, &acquire("b", Some(other)), 20), Outcome::Seen(Some(_))));
        }
        assert!(matches!(execute(&mut table, &acquire("b", Some(seen)), 20), Outcome::Granted { .. }));
    }

    #[test]
    fn a_renewal_needs_holder_and_token_and_a_lease_that_has_not_expired() {
        let (mut table, token) = held();
        let renew = |name, token| Op::Renew { token, holder: holder(name), lease: LEASE };
        assert_eq!(execute(&mut table, &renew("b", token), 1), Outcome::Lost);
        assert_eq!(execute(&mut table, &renew("a", token.next().unwrap()), 1), Outcome::Lost);
        assert_eq!(execute(&mut table, &renew("a", token), 9), Outcome::Renewed);
        assert_eq!(execute(&mut table, &renew("a", token), 19), Outcome::Lost, "it expired at 19");
    }

    #[test]
    fn a_release_ends_the_lease_and_keeps_the_token() {
        let (mut table, token) = held();
        let release = |name| Op::Release { token, holder: holder(name) };
        assert_eq!(execute(&mut table, &release("b"), 1), Outcome::Released);
        assert!(table.rows().all(|(_, record)| record.holder == Some(holder("a"))));
        assert_eq!(execute(&mut table, &release("a"), 2), Outcome::Released);
        let (_, record) = table.rows().next().unwrap();
        assert_eq!((record.holder.as_ref(), record.token, record.expires_at), (None, token, at(2)));
    }

    #[test]
    fn a_cleaned_up_row_leaves_its_token_behind() {
        let (mut table, token) = held();
        let large = token.get() as i64 + 1_000;
        table.execute(&election(), &acquire("a", None), at(20), large).unwrap();
        assert_eq!((table.clean_up(at(89)), table.clean_up(at(90))), (0, 1));
        let Outcome::Granted { token } = execute(&mut table, &acquire("a", None), 90) else { panic!() };
        assert_eq!(token.get() as i64, large + 1);
    }

    #[test]
    fn a_revocation_ends_the_term_and_blocks_the_election_until_the_lease_would_have_expired() {
        let (mut table, token) = held();
        let other = token.next().unwrap();
        assert_eq!(table.revoke(&election(), Some(other), at(4)), Ok(None));
        let row = table.revoke(&election(), Some(token), at(4)).unwrap().unwrap();
        assert_eq!((row.holder, row.token, row.remaining), (Some(holder("a")), Some(token), LEASE * 6 / 10));
        let renew = Op::Renew { token, holder: holder("a"), lease: LEASE };
        assert_eq!(execute(&mut table, &renew, 5), Outcome::Lost);
        assert!(matches!(execute(&mut table, &acquire("b", None), 9), Outcome::Seen(Some(_))));
        let Outcome::Granted { token } = execute(&mut table, &acquire("b", None), 10) else { panic!() };
        assert!(token > other);
        assert_eq!(table.revoke(&election(), None, at(20)), Ok(None), "it has expired");
    }

    #[test]
    fn a_poisoned_expiry_is_brought_back_to_one_lease() {
        let (mut table, _) = held();
        // The clock was an hour ahead when the row was taken.
        let row = table.revoke(&election(), None, at(-3_600)).unwrap().unwrap();
        assert_eq!((row.remaining, row.expires_at), (LEASE, at(-3_590)));
    }

    #[test]
    fn without_a_larger_token_nothing_changes() {
        let mut table = Table::default();
        let last = FencingToken::MAX.get() as i64;
        table.execute(&election(), &acquire("a", None), at(0), last).unwrap();
        let error = table.execute(&election(), &acquire("b", None), at(10), 0).unwrap_err();
        assert_eq!(error, NoTokenLeft { previous: last });
        assert!(table.rows().all(|(_, record)| record.holder == Some(holder("a"))));
    }
}
