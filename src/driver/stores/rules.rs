//! The decisions that the memory and the SQLite store share.

use std::time::Duration;

use crate::core::lease::{Acquire, Failure, Row, is_beyond};
use crate::core::{FencingToken, Name, StoreTime, default_margin};
use crate::driver::stores::StoreError;

/// The lease of a row that does not say: it is another program's, and those of `nest-leader-election` last so
/// long, whatever its `leaseDuration` is.
const UNKNOWN_LEASE: Duration = Duration::from_secs(15);

/// How long a row must have been dead before clean-up deletes it.
pub(super) const DEAD_FOR: Duration = Duration::from_secs(60);

/// How many rows one clean-up deletes at most.
pub(super) const CLEAN_UP_AT_ONCE: usize = 1_000;

/// Whether the acquire may take the row as it stands.
pub(super) fn may_take(row: Option<&Row>, acquire: &Acquire) -> bool {
    let free = row.is_none_or(|row| row.remaining.is_zero());
    let seen = row.map_or(crate::core::lease::Version::Absent, Row::version);
    free && acquire.unchanged.is_none_or(|expected| expected == seen)
}

/// The next token after `previous` (anything that a row held; 0 if there was none).
pub(super) fn next_token(election: &Name, previous: i64, unix_us: i64) -> Result<FencingToken, StoreError> {
    let next = previous.saturating_add(1).max(unix_us).max(1);
    FencingToken::new(next as u64).ok_or_else(|| {
        let message = format!(
            "election {election:?}: its last token was {previous}, and tokens end at {}; delete its row once \
             nobody leads it",
            FencingToken::MAX
        );
        StoreError::new(Failure::Refused, message)
    })
}

/// What `revoke` leaves of a lease, or `None` if there is nothing to revoke: the row is vacant or over, or
/// it is another term than the one that was meant.
pub(super) fn revoked_remaining(row: &Row, token: Option<FencingToken>) -> Option<Duration> {
    if row.remaining.is_zero() || token.is_some_and(|token| row.token != Some(token)) {
        return None;
    }
    let lease = row.lease.unwrap_or(UNKNOWN_LEASE);
    let is_poisoned = is_beyond(row.remaining, lease, default_margin(lease));
    let remaining = if is_poisoned { lease } else { row.remaining };
    (is_poisoned || row.holder.is_some()).then_some(remaining)
}

/// The row as `revoke` shows it: as it was, with what is left of it from now on.
pub(super) fn revoked_row(row: Row, now: StoreTime, remaining: Duration) -> Row {
    Row { remaining, expires_at: now.saturating_add(remaining), ..row }
}

/// The process that opened a store. A forked child shares its files and must not use it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Opener(u32);

impl Opener {
    pub(super) fn this_process() -> Opener {
        Opener(std::process::id())
    }

    pub(super) fn is_this_process(self) -> bool {
        self.0 == std::process::id()
    }

    /// An error in any process but the one that opened `what`.
    pub(super) fn check(self, what: impl std::fmt::Display) -> Result<(), StoreError> {
        if self.is_this_process() {
            return Ok(());
        }
        let message = format!(
            "{what} was opened by process {}, and this is its forked child {}; open it again in the child",
            self.0,
            std::process::id()
        );
        Err(StoreError::new(Failure::Refused, message))
    }
}
