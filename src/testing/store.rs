//! The simulated store: one row, atomic operations, a clock of its own, and the faults of a real store.

use ::core::time::Duration;
use alloc::collections::VecDeque;
use alloc::vec::Vec;

use crate::core::lease::{LeaderId, Op, Outcome, Row, StoreClock};
use crate::core::table::{self, Executed, Record};
use crate::core::{FencingToken, StoreTime};

use super::clock::Clock;

/// Follows the rules of `driver::stores::Store` for a single election.
pub(super) struct Store {
    pub(super) clock: Clock,
    pub(super) timeline: u64,
    /// Grows with every step that nothing pays for, and with every promotion; from 1 on.
    pub(super) era: u64,
    /// The store answers nothing before this true time.
    pub(super) down_until: u64,
    /// Every token it ever granted, with the holder, in the order of granting.
    pub(super) grants: Vec<(FencingToken, LeaderId)>,
    row: Option<Record>,
    /// What the synchronous standby has while it is cut off: no change is answered, but all see it.
    standby: Option<Option<Record>>,
    /// Whether rows contain the length of the lease that their holder requested.
    shows_lease: bool,
    /// The latest versions of the row, each with the true time of its commit: a standby that lags may become
    /// the primary.
    commits: VecDeque<(u64, Option<Record>)>,
}

impl Store {
    pub(super) fn new(clock: Clock, shows_lease: bool) -> Store {
        let commits = VecDeque::from([(0, None)]);
        Store {
            clock,
            timeline: 1,
            era: 1,
            down_until: 0,
            grants: Vec::new(),
            row: None,
            standby: None,
            shows_lease,
            commits,
        }
    }

    pub(super) fn row(&self) -> Option<&Record> {
        self.row.as_ref()
    }

    pub(super) fn now(&self, at: u64) -> StoreTime {
        StoreTime::from_micros((self.clock.read(at) / 1_000) as i64)
    }

    pub(super) fn reading(&self, at: u64) -> StoreClock {
        StoreClock { now: self.now(at), timeline: self.timeline }
    }

    /// The first true time from `at` on at which the row may be taken, if nothing changes it and the clock is
    /// not stepped.
    pub(super) fn free_from(&self, at: u64) -> u64 {
        let Some(row) = &self.row else { return at };
        self.clock.reaches(row.expires_at.as_micros() as u64 * 1_000).max(at)
    }

    pub(super) fn execute(&mut self, at: u64, op: &Op) -> Outcome {
        let now = self.now(at);
        let executed = table::execute(self.row.as_ref(), 0, op, now, now.as_micros());
        let Executed { outcome, written } = executed.expect("no simulated clock reaches the last token");
        if let (Outcome::Granted { token }, Op::Acquire(acquire)) = (&outcome, op) {
            self.grants.push((*token, acquire.holder.clone()));
        }
        if written.is_some() {
            self.commit(at, written);
        }
        match outcome {
            Outcome::Seen(row) => Outcome::Seen(row.map(|row| self.as_shown(row))),
            outcome => outcome,
        }
    }

    /// Revokes the term as `elector break` does. Returns whether there was anything to revoke.
    pub(super) fn revoke(&mut self, at: u64) -> bool {
        let Some(row) = self.row.clone() else { return false };
        let one_lease = self.now(at).saturating_add(row.lease);
        let expires_at = row.expires_at.min(one_lease);
        let token = row.token.next().unwrap();
        self.commit(at, Some(Record { holder: None, token, expires_at, meta: None, ..row }));
        true
    }

    /// An old cleaner deletes a row that expired over five seconds ago.
    pub(super) fn clean(&mut self, at: u64) -> bool {
        let dead = self
            .row
            .as_ref()
            .is_some_and(|row| self.now(at).saturating_since(row.expires_at) > Duration::from_secs(5));
        if dead {
            self.commit(at, None);
        }
        dead
    }

    /// A poisoned row: its expiry is set far ahead.
    pub(super) fn poison(&mut self, at: u64, by: Duration) {
        if let Some(row) = self.row.clone() {
            let expires_at = row.expires_at.max(self.now(at)).saturating_add(by);
            self.commit(at, Some(Record { expires_at, ..row }));
        }
    }

    /// The synchronous standby is cut off.
    pub(super) fn part(&mut self) {
        self.standby.get_or_insert_with(|| self.row.clone());
    }

    /// The synchronous standby is back, or becomes the primary: what was not answered is lost.
    pub(super) fn reunite(&mut self, at: u64, promote: bool) {
        if let Some(row) = self.standby.take().filter(|_| promote) {
            self.fail_over(at, row);
        }
    }

    /// Whether an operation that found the row as `before` is answered now: while the standby is cut off, an
    /// operation that changed the row is not.
    pub(super) fn answers(&self, before: Option<&Record>) -> bool {
        self.standby.is_none() || self.row() == before
    }

    /// A standby that lagged by `lag` nanoseconds becomes the primary: what was committed since is lost.
    pub(super) fn promote(&mut self, at: u64, lag: u64) {
        self.standby = None;
        let kept = at.saturating_sub(lag);
        let row = self.commits.iter().rev().find(|(since, _)| *since <= kept).map(|(_, row)| row.clone());
        self.fail_over(at, row.unwrap_or_else(|| self.row.clone()));
    }

    /// The new primary goes on from this row.
    fn fail_over(&mut self, at: u64, row: Option<Record>) {
        self.timeline += 1;
        self.era += 1;
        self.commit(at, row);
    }

    pub(super) fn show(&self, at: u64) -> Option<Row> {
        self.row.as_ref().map(|record| self.as_shown(record.row(self.now(at))))
    }

    fn as_shown(&self, row: Row) -> Row {
        Row { lease: row.lease.filter(|_| self.shows_lease), ..row }
    }

    fn commit(&mut self, at: u64, row: Option<Record>) {
        self.row = row.clone();
        self.commits.push_back((at, row));
        if self.commits.len() > 64 {
            self.commits.pop_front();
        }
    }
}
