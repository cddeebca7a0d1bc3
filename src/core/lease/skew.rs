//! Detects steps of the store's clock.

use ::core::time::Duration;

use super::message::StoreClock;
use crate::core::{Instant, Timing};

/// Compares how far the store's clock went with how far this candidate's clock went.
///
/// A reply carries one reading of the store's clock, taken between the send of the request and the receipt of
/// the reply. Two replies therefore bound how much time the store's clock should have counted. A reading
/// beyond these bounds by more than a drift of 1 % and the margin shows a step. The older reading is kept for
/// up to a lease, so that several small steps within one lease add up and are seen.
#[derive(Clone, Debug, Default)]
pub(crate) struct Skew {
    anchor: Option<Anchor>,
}

#[derive(Clone, Copy, Debug)]
struct Anchor {
    sent: Instant,
    received: Instant,
    clock: StoreClock,
}

/// What a reading shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Finding {
    /// Both clocks went at the same rate.
    Steady,
    /// The store's clock stepped by this number of microseconds; forward is positive.
    Stepped(i64),
    /// The store continues on another timeline.
    TimelineChanged,
}

impl Skew {
    pub(crate) fn reading(
        &mut self,
        timing: &Timing,
        sent: Instant,
        received: Instant,
        clock: StoreClock,
    ) -> Finding {
        let fresh = Anchor { sent, received, clock };
        let Some(anchor) = self.anchor else {
            self.anchor = Some(fresh);
            return Finding::Steady;
        };
        if clock.timeline != anchor.clock.timeline {
            self.anchor = Some(fresh);
            return Finding::TimelineChanged;
        }
        let went = i128::from(clock.now.as_micros()) - i128::from(anchor.clock.now.as_micros());
        let micros = |duration: Duration| duration.as_micros() as i128;
        // Negative if an older request was answered later: it may have been executed before the anchor's.
        let between =
            |from: Instant, to: Instant| (i128::from(to.as_nanos()) - i128::from(from.as_nanos())) / 1_000;
        let (least, most) = (between(anchor.received, sent), between(anchor.sent, received));
        let slack = micros(timing.margin());
        let ahead = went - (most + most.abs() / 100);
        let behind = least - least.abs() / 100 - went;
        if ahead > slack || behind > slack {
            self.anchor = Some(fresh);
            let by = if ahead > slack { ahead } else { -behind };
            return Finding::Stepped(by.clamp(i64::MIN.into(), i64::MAX.into()) as i64);
        }
        if sent.saturating_since(anchor.received) > timing.lease() {
            self.anchor = Some(fresh);
        }
        Finding::Steady
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::StoreTime;

    fn reading(skew: &mut Skew, sent_ms: u64, received_ms: u64, store_ms: i64) -> Finding {
        let clock = StoreClock { now: StoreTime::from_micros(store_ms * 1_000), timeline: 1 };
        let at = Instant::from_millis;
        skew.reading(&Timing::default(), at(sent_ms), at(received_ms), clock)
    }

    #[test]
    fn a_slow_answer_is_no_step() {
        let mut skew = Skew::default();
        assert_eq!(reading(&mut skew, 0, 5_000, 1_000), Finding::Steady);
        assert_eq!(reading(&mut skew, 5_000, 5_001, 1_100), Finding::Steady);
        assert_eq!(reading(&mut skew, 5_001, 9_000, 9_900), Finding::Steady);
    }

    #[test]
    fn a_jump_beyond_the_margin_is_a_step_either_way() {
        let mut skew = Skew::default();
        reading(&mut skew, 0, 0, 1_000);
        assert_eq!(reading(&mut skew, 1_000, 1_000, 2_600), Finding::Steady);
        assert_eq!(reading(&mut skew, 1_000, 1_000, 2_700), Finding::Stepped(690_000));
        assert_eq!(reading(&mut skew, 2_000, 2_000, 2_900), Finding::Stepped(-790_000));
    }

    #[test]
    fn small_steps_within_a_lease_add_up() {
        let mut skew = Skew::default();
        reading(&mut skew, 0, 0, 0);
        assert_eq!(reading(&mut skew, 1_000, 1_000, 1_300), Finding::Steady);
        assert_eq!(reading(&mut skew, 2_000, 2_000, 2_600), Finding::Steady);
        assert_eq!(reading(&mut skew, 3_000, 3_000, 3_900), Finding::Stepped(870_000));
    }

    #[test]
    fn an_older_question_answered_late_is_no_step() {
        let mut skew = Skew::default();
        reading(&mut skew, 9_000, 9_001, 9_000);
        assert_eq!(reading(&mut skew, 1_000, 9_500, 1_000), Finding::Steady);
        assert_eq!(reading(&mut skew, 1_000, 9_500, 9_500), Finding::Steady);
    }

    #[test]
    fn an_older_question_that_the_stepped_clock_answered_shows_the_step() {
        let mut skew = Skew::default();
        reading(&mut skew, 9_000, 9_001, 9_000);
        assert_eq!(reading(&mut skew, 8_000, 9_500, 12_000), Finding::Stepped(2_495_000));
    }

    #[test]
    fn extreme_readings_do_not_overflow() {
        let mut skew = Skew::default();
        reading(&mut skew, 0, 0, i64::MIN / 1_000);
        assert!(matches!(reading(&mut skew, 1, 1, i64::MAX / 1_000), Finding::Stepped(i64::MAX)));
    }
}
