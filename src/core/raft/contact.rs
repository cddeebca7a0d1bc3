//! When a leader last was in contact with a quorum: what its trust is computed from.

#[cfg(feature = "testing")]
use ::core::hash::{Hash, Hasher};
use ::core::time::Duration;

use super::config::ElectionTiming;
#[cfg(feature = "testing")]
use super::frame::Frame;
use crate::core::Instant;
use crate::core::time::percent;

/// How many rounds of heartbeats are remembered. Together they last nearly a minimum election time: an older
/// answer is of no use.
const MAX_ROUNDS: usize = 64;

/// The rounds of heartbeats of one term.
#[derive(Clone, Debug)]
pub(super) struct Contact {
    /// When each of the newest rounds was sent, by its number modulo the length.
    sent: [Instant; MAX_ROUNDS],
    newest_round: u64,
    /// When the next round may begin.
    next_at: Instant,
    /// When trust ends, by the rounds that a quorum answered.
    trusted_until: Instant,
    /// When the newest round was sent whose answers came early enough to give trust; at first when the term
    /// began.
    useful: Instant,
}

impl Contact {
    pub(super) fn new(now: Instant) -> Contact {
        let sent = [Instant::ZERO; MAX_ROUNDS];
        let (next_at, trusted_until) = (Instant::ZERO, Instant::ZERO);
        Contact { sent, newest_round: 0, next_at, trusted_until, useful: now }
    }

    /// The number of the round that what is sent at `now` belongs to. Heartbeats that follow each other fast
    /// are one round, sent with the first of them: each record is a heartbeat, and answers that are on their
    /// way for long must find their round.
    pub(super) fn begin_round(&mut self, now: Instant, timing: &ElectionTiming) -> u64 {
        if now >= self.next_at {
            self.next_at = now.saturating_add(timing.min() / MAX_ROUNDS as u32);
            self.newest_round += 1;
            self.sent[self.newest_round as usize % MAX_ROUNDS] = now;
        }
        self.newest_round
    }

    /// What is sent next begins a round.
    pub(super) fn end_round(&mut self) {
        self.next_at = Instant::ZERO;
    }

    /// The number of the newest round.
    pub(super) fn newest_round(&self) -> u64 {
        self.newest_round
    }

    /// When a round was sent; `None` for one that never was, or is too old.
    pub(super) fn sent(&self, round: u64) -> Option<Instant> {
        let is_known = round > 0 && self.newest_round.checked_sub(round)? < MAX_ROUNDS as u64;
        is_known.then_some(self.sent[round as usize % MAX_ROUNDS])
    }

    /// At `now` a quorum has answered rounds that were sent at `sent` or later.
    pub(super) fn quorum_answered(&mut self, sent: Instant, now: Instant, timing: &ElectionTiming) {
        if sent > Instant::ZERO {
            self.trusted_until = self.trusted_until.max(sent.saturating_add(trust(timing)));
        }
        if now < self.trusted_until {
            self.useful = self.useful.max(sent);
        }
    }

    /// Hashes what decides trust from now on; see [`Frame`].
    #[cfg(feature = "testing")]
    pub(super) fn fingerprint<H: Hasher>(&self, frame: &Frame<'_>, hasher: &mut H) {
        // Rounds are hashed with the messages that belong to them.
        let Contact { sent: _, newest_round: _, next_at, trusted_until, useful } = self;
        (frame.ahead(*next_at), frame.ahead(*trusted_until), frame.age(*useful)).hash(hasher);
    }

    /// When trust ends: 0.9 of the minimum election time after the send of the newest round that a quorum
    /// answered. Each of that quorum withholds its vote for at least the minimum election time after it heard
    /// the round, so a later leader comes only after that, as long as clocks differ by less than 5.26 % in
    /// rate.
    pub(super) fn trusted_until(&self) -> Instant {
        self.trusted_until
    }

    /// When a leader gives up that no quorum answers, or only so late that it cannot be trusted: others may
    /// be nearer.
    pub(super) fn gives_up_at(&self, timing: &ElectionTiming) -> Instant {
        self.useful.saturating_add(timing.max())
    }
}

fn trust(timing: &ElectionTiming) -> Duration {
    percent(timing.min(), 90)
}
