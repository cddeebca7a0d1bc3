//! What a candidate knows of the row, and how long it has been so.

use ::core::time::Duration;

use super::message::{Row, Version};
use crate::core::{Instant, Timing};

/// The last state of the row that was seen, and the rule for taking it over without trusting the store's
/// clock.
///
/// Normally the store's clock alone decides when a lease has ended. A *strict* candidate takes over only what
/// has also stood unchanged for one full lease of the candidate's own clock. And any candidate that saw the
/// store's clock step or its timeline change takes over nothing for one full lease of its own clock: then
/// every trust that was given before has ended, whatever the row says.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    strict: bool,
    /// When the store was last seen to have stepped its clock or changed its timeline.
    shaken_at: Option<Instant>,
    last: Option<Sight>,
}

#[derive(Clone, Copy, Debug)]
struct Sight {
    version: Version,
    since: Instant,
    /// The longest time that the row could still be valid, as far as anything said so.
    lease: Duration,
}

impl Seen {
    pub(crate) fn new(strict: bool) -> Seen {
        Seen { strict, shaken_at: None, last: None }
    }

    /// Whether a takeover at `now` needs more than the store's word.
    pub(crate) fn wary(&self, now: Instant, timing: &Timing) -> bool {
        self.strict || self.shaken_at.is_some_and(|at| now < at.saturating_add(self.full(timing)))
    }

    /// Takes note of the row as a reply showed it.
    pub(crate) fn row(&mut self, now: Instant, row: Option<&Row>, timing: &Timing) {
        let version = row.map_or(Version::Absent, Row::version);
        let lease = row.map_or(Duration::ZERO, |row| {
            let asked = row.lease.unwrap_or_default();
            // A row further ahead than its lease could set it would make the wait endless: it is poisoned.
            if is_poisoned(row, timing) { asked } else { asked.max(row.remaining) }
        });
        let lease = lease.max(timing.lease());
        match &mut self.last {
            Some(last) if last.version == version => last.lease = last.lease.max(lease),
            last => *last = Some(Sight { version, since: now, lease }),
        }
    }

    /// A reply showed that the store's clock was stepped, or that its timeline changed.
    pub(crate) fn shake(&mut self, now: Instant) {
        self.shaken_at = Some(now);
    }

    /// When a wary candidate may take over, and the state that the row must still be in; `None` before it has
    /// seen the row at all.
    pub(crate) fn takeover(&self, timing: &Timing) -> Option<(Instant, Version)> {
        let last = self.last?;
        let shaken_at = self.shaken_at.unwrap_or(Instant::ZERO);
        let since = if self.strict { last.since.max(shaken_at) } else { shaken_at };
        Some((since.saturating_add(self.full(timing)), last.version))
    }

    /// Forgets the row: it is about to be changed by ourselves.
    pub(crate) fn forget(&mut self) {
        self.last = None;
    }

    /// A full lease by our own clock, however slow the holder's is.
    fn full(&self, timing: &Timing) -> Duration {
        let lease = self.last.map_or(timing.lease(), |last| last.lease);
        lease.saturating_add(lease / 100).saturating_add(timing.margin())
    }
}

/// Whether the row's expiry is further ahead than its own lease (or ours, where it does not say) could
/// set it.
pub(crate) fn is_poisoned(row: &Row, timing: &Timing) -> bool {
    let lease = row.lease.unwrap_or_else(|| timing.lease().saturating_mul(10));
    is_beyond(row.remaining, lease, timing.margin())
}

/// Whether more remains of a lease than it could have been given: 1 % is for the clocks.
pub(crate) fn is_beyond(remaining: Duration, lease: Duration, margin: Duration) -> bool {
    remaining > lease.saturating_add(lease / 100).saturating_add(margin)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::{FencingToken, StoreTime};

    fn row(token: u64, remaining_ms: u64) -> Row {
        Row {
            holder: None,
            token: FencingToken::new(token),
            expires_at: StoreTime::from_micros(1),
            remaining: Duration::from_millis(remaining_ms),
            lease: Some(Duration::from_secs(20)),
            meta: None,
        }
    }

    #[test]
    fn a_wary_candidate_waits_the_longest_lease_that_anything_named() {
        let timing = Timing::default();
        let mut seen = Seen::new(true);
        assert_eq!(seen.takeover(&timing), None);
        seen.row(Instant::ZERO, Some(&row(1, 0)), &timing);
        let wait = Duration::from_millis(20_200) + timing.margin();
        assert_eq!(seen.takeover(&timing).unwrap().0, Instant::ZERO.saturating_add(wait));
        seen.row(Instant::from_millis(900), Some(&row(1, 0)), &timing);
        assert_eq!(seen.takeover(&timing).unwrap().0, Instant::ZERO.saturating_add(wait), "unchanged");
        seen.row(Instant::from_millis(1_000), Some(&row(2, 0)), &timing);
        assert_eq!(seen.takeover(&timing).unwrap().0, Instant::from_millis(1_000).saturating_add(wait));
    }

    #[test]
    fn a_shaken_store_makes_wary_for_a_full_lease_whatever_is_seen_or_forgotten() {
        let timing = Timing::default();
        let mut seen = Seen::new(false);
        let (at, full) = (Instant::from_millis(5), Duration::from_millis(10_100) + timing.margin());
        seen.row(Instant::ZERO, Some(&row(1, 0)), &timing);
        assert!(!seen.wary(at, &timing));
        seen.shake(at);
        seen.forget();
        assert!(seen.wary(at, &timing) && seen.takeover(&timing).is_none());
        // The row may have changed before the step: that it differs from what was seen last says nothing.
        let short = Row { lease: Some(Duration::from_secs(10)), ..row(2, 0) };
        seen.row(Instant::from_millis(6), Some(&short), &timing);
        assert_eq!(seen.takeover(&timing).unwrap().0, at.saturating_add(full));
        assert!(seen.wary(at.saturating_add(full - Duration::from_nanos(1)), &timing));
        assert!(!seen.wary(at.saturating_add(full), &timing));
    }

    #[test]
    fn a_strict_candidate_counts_again_from_a_shake() {
        let timing = Timing::default();
        let mut seen = Seen::new(true);
        seen.row(Instant::ZERO, None, &timing);
        seen.shake(Instant::from_millis(700));
        seen.row(Instant::from_millis(701), None, &timing);
        let full = Duration::from_millis(10_100) + timing.margin();
        let from = Instant::from_millis(700).saturating_add(full);
        assert_eq!(seen.takeover(&timing), Some((from, Version::Absent)));
    }
}
