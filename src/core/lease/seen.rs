//! What a candidate knows of the row, and how long the row has stood unchanged.

use ::core::time::Duration;

use super::message::{Row, Version};
use crate::core::{Instant, Timing};

/// The last state of the row that was seen, and the rule of the *cautious take-over*, which does not rely on
/// the store's clock.
///
/// Normally the store's clock alone decides when a lease has ended. Two kinds of candidate are cautious. A
/// *strict* candidate takes over only a row that has also stood unchanged for one full lease of the
/// candidate's own clock. A candidate that saw the store's clock step, or its timeline change, takes over
/// nothing for one full lease of its own clock: by then the trust of every earlier leader has ended, whatever
/// the row says.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    strict: bool,
    /// When the store's clock was last seen to step, or its timeline to change.
    clock_step_seen_at: Option<Instant>,
    last: Option<SeenRow>,
}

#[derive(Clone, Copy, Debug)]
struct SeenRow {
    version: Version,
    since: Instant,
    /// The longest lease that the row may have: its own, what remains of it, or this candidate's.
    lease: Duration,
}

impl Seen {
    pub(crate) fn new(strict: bool) -> Seen {
        Seen { strict, clock_step_seen_at: None, last: None }
    }

    /// Whether a take-over at `now` must be a cautious one.
    pub(crate) fn is_cautious(&self, now: Instant, timing: &Timing) -> bool {
        self.strict || self.clock_step_seen_at.is_some_and(|at| now < at.saturating_add(self.full(timing)))
    }

    /// Records the row as a reply showed it.
    pub(crate) fn row(&mut self, now: Instant, row: Option<&Row>, timing: &Timing) {
        let version = row.map_or(Version::Absent, Row::version);
        let lease = row.map_or(Duration::ZERO, |row| {
            let asked = row.lease.unwrap_or_default();
            // The remaining time of a poisoned row does not count: it would make the wait endless.
            if is_poisoned(row, timing) { asked } else { asked.max(row.remaining) }
        });
        let lease = lease.max(timing.lease());
        match &mut self.last {
            Some(last) if last.version == version => last.lease = last.lease.max(lease),
            last => *last = Some(SeenRow { version, since: now, lease }),
        }
    }

    /// A reply showed that the store's clock was stepped, or that its timeline changed.
    pub(crate) fn clock_step_seen(&mut self, now: Instant) {
        self.clock_step_seen_at = Some(now);
    }

    /// When a cautious candidate may take over, and the state that the row must still be in; `None` before
    /// the candidate has seen the row.
    pub(crate) fn take_over(&self, timing: &Timing) -> Option<(Instant, Version)> {
        let last = self.last?;
        let step = self.clock_step_seen_at.unwrap_or(Instant::ZERO);
        let since = if self.strict { last.since.max(step) } else { step };
        Some((since.saturating_add(self.full(timing)), last.version))
    }

    /// Forgets the row, because this machine's own term changes it. A clock step stays remembered.
    pub(crate) fn forget(&mut self) {
        self.last = None;
    }

    /// A full lease by this candidate's clock, with 1 % for a holder whose clock is slower.
    fn full(&self, timing: &Timing) -> Duration {
        let lease = self.last.map_or(timing.lease(), |last| last.lease);
        lease.saturating_add(lease / 100).saturating_add(timing.margin())
    }
}

/// Whether the row's expiry is further ahead than its lease could have set it. If the row does not record the
/// length of its lease, ten times this candidate's lease is assumed.
pub(crate) fn is_poisoned(row: &Row, timing: &Timing) -> bool {
    let lease = row.lease.unwrap_or_else(|| timing.lease().saturating_mul(10));
    is_beyond(row.remaining, lease, timing.margin())
}

/// Whether more remains of a lease than its length, with 1 % and the margin for differences of the clocks.
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
    fn a_cautious_candidate_waits_the_longest_lease_that_the_row_named() {
        let timing = Timing::default();
        let mut seen = Seen::new(true);
        assert_eq!(seen.take_over(&timing), None);
        seen.row(Instant::ZERO, Some(&row(1, 0)), &timing);
        let wait = Duration::from_millis(20_200) + timing.margin();
        assert_eq!(seen.take_over(&timing).unwrap().0, Instant::ZERO.saturating_add(wait));
        seen.row(Instant::from_millis(900), Some(&row(1, 0)), &timing);
        assert_eq!(seen.take_over(&timing).unwrap().0, Instant::ZERO.saturating_add(wait), "unchanged");
        seen.row(Instant::from_millis(1_000), Some(&row(2, 0)), &timing);
        assert_eq!(seen.take_over(&timing).unwrap().0, Instant::from_millis(1_000).saturating_add(wait));
    }

    #[test]
    fn a_clock_step_makes_cautious_for_a_full_lease_whatever_is_seen_or_forgotten() {
        let timing = Timing::default();
        let mut seen = Seen::new(false);
        let (at, full) = (Instant::from_millis(5), Duration::from_millis(10_100) + timing.margin());
        seen.row(Instant::ZERO, Some(&row(1, 0)), &timing);
        assert!(!seen.is_cautious(at, &timing));
        seen.clock_step_seen(at);
        seen.forget();
        assert!(seen.is_cautious(at, &timing) && seen.take_over(&timing).is_none());
        // The row may have changed before the step: that it differs from what was seen last says nothing.
        let short = Row { lease: Some(Duration::from_secs(10)), ..row(2, 0) };
        seen.row(Instant::from_millis(6), Some(&short), &timing);
        assert_eq!(seen.take_over(&timing).unwrap().0, at.saturating_add(full));
        assert!(seen.is_cautious(at.saturating_add(full - Duration::from_nanos(1)), &timing));
        assert!(!seen.is_cautious(at.saturating_add(full), &timing));
    }

    #[test]
    fn a_strict_candidate_counts_again_from_a_clock_step() {
        let timing = Timing::default();
        let mut seen = Seen::new(true);
        seen.row(Instant::ZERO, None, &timing);
        seen.clock_step_seen(Instant::from_millis(700));
        seen.row(Instant::from_millis(701), None, &timing);
        let full = Duration::from_millis(10_100) + timing.margin();
        let from = Instant::from_millis(700).saturating_add(full);
        assert_eq!(seen.take_over(&timing), Some((from, Version::Absent)));
    }
}
