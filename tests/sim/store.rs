//! The simulated store: one row, atomic operations, a clock of its own, and what befalls a real one.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use elector::core::lease::{Acquire, LeaderId, Op, Outcome, Row, StoreClock, Version};
use elector::core::{FencingToken, StoreTime};

use crate::clock::Clock;

/// The one row of the one election, as it lies in the store.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    pub holder: Option<LeaderId>,
    pub token: FencingToken,
    pub expires_at: StoreTime,
    pub lease: Duration,
    pub meta: Option<Arc<str>>,
}

/// Follows the rules of `elector::driver::stores::Store` for a single election.
pub struct Store {
    pub clock: Clock,
    pub timeline: u64,
    /// Grows with every step that nothing pays for, and with every promotion; from 1 on.
    pub era: u64,
    /// It answers nothing before this true time.
    pub down_until: u64,
    /// Every token it ever granted, with the holder, in the order of granting.
    pub grants: Vec<(FencingToken, LeaderId)>,
    row: Option<Record>,
    /// What the synchronous standby has while it is cut off: no change is answered, but all see it.
    standby: Option<Option<Record>>,
    /// Whether rows say how long the lease was that their holder asked for.
    shows_lease: bool,
    /// What the row was from which true time on: a standby that lags may become the primary.
    commits: VecDeque<(u64, Option<Record>)>,
}

impl Store {
    pub fn new(clock: Clock, shows_lease: bool) -> Store {
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

    pub fn row(&self) -> Option<&Record> {
        self.row.as_ref()
    }

    pub fn now(&self, at: u64) -> StoreTime {
        StoreTime::from_micros((self.clock.read(at) / 1_000) as i64)
    }

    pub fn reading(&self, at: u64) -> StoreClock {
        StoreClock { now: self.now(at), timeline: self.timeline }
    }

    /// The first true time from `at` on at which the row may be taken, if nobody touches it and the clock is
    /// not stepped.
    pub fn free_from(&self, at: u64) -> u64 {
        let Some(row) = &self.row else { return at };
        self.clock.reaches(row.expires_at.as_micros() as u64 * 1_000).max(at)
    }

    pub fn execute(&mut self, at: u64, op: &Op) -> Outcome {
        match op {
            Op::Look => Outcome::Seen(self.show(at)),
            Op::Acquire(acquire) => self.acquire(at, acquire),
            Op::Renew { token, holder, lease } => {
                let now = self.now(at);
                match self.row.clone() {
                    Some(row)
                        if row.holder.as_ref() == Some(holder)
                            && row.token == *token
                            && row.expires_at > now =>
                    {
                        let expires_at = now.saturating_add(*lease);
                        self.commit(at, Some(Record { expires_at, lease: *lease, ..row }));
                        Outcome::Renewed
                    }
                    _ => Outcome::Lost,
                }
            }
            Op::Release { token, holder } => {
                let held = |row: &Record| row.holder.as_ref() == Some(holder) && row.token == *token;
                if let Some(row) = self.row.clone().filter(held) {
                    let expires_at = self.now(at).min(row.expires_at);
                    self.commit(at, Some(Record { holder: None, expires_at, meta: None, ..row }));
                }
                Outcome::Released
            }
        }
    }

    /// Revokes the term as `elector break` does. Returns whether there was anything to revoke.
    pub fn revoke(&mut self, at: u64) -> bool {
        let Some(row) = self.row.clone() else { return false };
        let one_lease = self.now(at).saturating_add(row.lease);
        let expires_at = row.expires_at.min(one_lease);
        let token = row.token.next().unwrap();
        self.commit(at, Some(Record { holder: None, token, expires_at, meta: None, ..row }));
        true
    }

    /// An old cleaner deletes a row that expired over five seconds ago.
    pub fn clean(&mut self, at: u64) -> bool {
        let dead = self
            .row
            .as_ref()
            .is_some_and(|row| self.now(at).saturating_since(row.expires_at) > Duration::from_secs(5));
        if dead {
            self.commit(at, None);
        }
        dead
    }

    /// Somebody sets the expiry far ahead.
    pub fn poison(&mut self, at: u64, by: Duration) {
        if let Some(row) = self.row.clone() {
            let expires_at = row.expires_at.max(self.now(at)).saturating_add(by);
            self.commit(at, Some(Record { expires_at, ..row }));
        }
    }

    /// The synchronous standby is cut off.
    pub fn part(&mut self) {
        self.standby.get_or_insert_with(|| self.row.clone());
    }

    /// The synchronous standby is back, or becomes the primary: what was not answered is lost.
    pub fn reunite(&mut self, at: u64, promote: bool) {
        if let Some(row) = self.standby.take().filter(|_| promote) {
            self.fail_over(at, row);
        }
    }

    /// Whether an operation is answered that found the row to be this: a change is once the standby has it.
    pub fn answers(&self, before: Option<&Record>) -> bool {
        self.standby.is_none() || self.row() == before
    }

    /// A standby that lagged by `lag` nanoseconds becomes the primary: what was committed since is lost.
    pub fn promote(&mut self, at: u64, lag: u64) {
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

    fn acquire(&mut self, at: u64, acquire: &Acquire) -> Outcome {
        let now = self.now(at);
        let free = self.row.as_ref().is_none_or(|row| row.expires_at <= now);
        let version = self.show(at).map_or(Version::Absent, |row| row.version());
        if !free || acquire.unchanged.is_some_and(|seen| seen != version) {
            return Outcome::Seen(self.show(at));
        }
        let by_clock = FencingToken::new(now.as_micros() as u64).unwrap();
        let token = self.row.as_ref().map_or(by_clock, |row| row.token.next().unwrap().max(by_clock));
        self.grants.push((token, acquire.holder.clone()));
        let record = Record {
            holder: Some(acquire.holder.clone()),
            token,
            expires_at: now.saturating_add(acquire.lease),
            lease: acquire.lease,
            meta: acquire.meta.clone(),
        };
        self.commit(at, Some(record));
        Outcome::Granted { token }
    }

    pub fn show(&self, at: u64) -> Option<Row> {
        self.row.as_ref().map(|row| Row {
            holder: row.holder.clone(),
            token: Some(row.token),
            expires_at: row.expires_at,
            remaining: row.expires_at.saturating_since(self.now(at)),
            lease: self.shows_lease.then_some(row.lease),
            meta: row.meta.clone(),
        })
    }

    fn commit(&mut self, at: u64, row: Option<Record>) {
        self.row = row.clone();
        self.commits.push_back((at, row));
        if self.commits.len() > 64 {
            self.commits.pop_front();
        }
    }
}
