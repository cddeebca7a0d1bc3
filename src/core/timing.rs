//! How long a lease lasts and when it is renewed.

use ::core::fmt;
use ::core::time::Duration;

use super::time::percent;

/// How much of the lease's length a holder trusts, in percent: its clock may be 1 % slower than the store's.
const TRUSTED_PERCENT: u64 = 99;
/// Minimum length of a renewal attempt. Each of three attempts before the soft deadline must get it.
const SHORTEST_ATTEMPT: Duration = Duration::from_millis(10);
const SHORTEST_LEASE: Duration = Duration::from_millis(100);
const LONGEST_LEASE: Duration = Duration::from_secs(24 * 60 * 60);

/// The timing options of a candidate. An option that is `None` is derived from the lease.
///
/// ```
/// use elector::core::TimingOptions;
/// use std::time::Duration;
///
/// let options = TimingOptions { lease: Some(Duration::from_secs(30)), ..Default::default() };
/// let timing = options.build().unwrap();
/// assert_eq!(timing.renew(), Duration::from_secs(9));
/// assert_eq!(timing.trust(), Duration::from_millis(29_700 - 2_000));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TimingOptions {
    /// How long a grant or a renewal lasts, on the store's clock. 100 ms to 24 h; default: 10 s.
    ///
    /// It bounds how long a crashed leader blocks the next leader. A longer lease needs fewer operations and
    /// survives longer outages of the store; a shorter lease gives a faster fail-over after a crash, and a
    /// short outage of the store already ends the term.
    pub lease: Option<Duration>,
    /// The maximum time from sending one renewal to sending the next. At least 10 ms; default: 30 % of the
    /// lease.
    ///
    /// A long time leaves few renewal attempts before the soft deadline; with fewer than three the timing is
    /// refused. A short time costs more operations.
    pub renew: Option<Duration>,
    /// How much earlier than `renew` a renewal may be sent, drawn anew for each renewal. At most `renew` −
    /// 10 ms; default: 20 % of the lease, at most two thirds of `renew`.
    ///
    /// Jitter never makes a renewal later. Without jitter, processes whose terms began together also send
    /// all their renewals together.
    pub jitter: Option<Duration>,
    /// The pause after an operation that failed at once. At least 10 ms; default: 5 % of the lease, at least
    /// 10 ms.
    ///
    /// A short pause lets a failing store receive more operations: each candidate sends at most
    /// `20 + elapsed / (retry / 10)`. With a long pause fewer attempts fit before the soft deadline.
    pub retry: Option<Duration>,
    /// How much earlier than 99 % of the lease its holder stops trusting it. At least 1 ms; default: the
    /// larger of 250 ms and a fifteenth of the lease.
    ///
    /// It covers the time between reading the clock and acting on it, and a forward step of the store's
    /// clock by no more than this. If it is too small, work that was checked just before the hard deadline
    /// can reach its target after the next leader was elected. If it is large, trust ends earlier.
    pub margin: Option<Duration>,
    /// How long before the hard deadline new work must stop: the time between the soft and the hard deadline.
    /// Default: a tenth of the lease.
    ///
    /// Work in progress that takes longer than this to end may still run at the hard deadline. A large value
    /// leaves less time for renewal attempts.
    pub grace: Option<Duration>,
}

impl TimingOptions {
    /// Derives the unset options and checks that all values fit together.
    ///
    /// # Errors
    /// When a value is out of bounds, or when fewer than three renewal attempts fit between the latest
    /// renewal and the soft deadline. The message names the numbers.
    pub fn build(self) -> Result<Timing, InvalidTiming> {
        let lease = self.lease.unwrap_or(Duration::from_secs(10));
        let renew = self.renew.unwrap_or(percent(lease, 30));
        let timing = Timing {
            lease,
            renew,
            jitter: self.jitter.unwrap_or(percent(lease, 20).min(renew / 3 * 2)),
            retry: self.retry.unwrap_or(percent(lease, 5).max(SHORTEST_ATTEMPT)),
            margin: self.margin.unwrap_or(default_margin(lease)),
            grace: self.grace.unwrap_or(lease / 10),
        };
        timing.check()
    }
}

/// The default of [`TimingOptions::margin`] for a lease.
pub(crate) fn default_margin(lease: Duration) -> Duration {
    (lease / 15).max(Duration::from_millis(250))
}

/// Timings that [`TimingOptions::build`] has checked. [`Timing::default`] has a lease of 10 s.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    lease: Duration,
    renew: Duration,
    jitter: Duration,
    retry: Duration,
    margin: Duration,
    grace: Duration,
}

impl Default for Timing {
    fn default() -> Timing {
        Timing {
            lease: Duration::from_secs(10),
            renew: Duration::from_secs(3),
            jitter: Duration::from_secs(2),
            retry: Duration::from_millis(500),
            margin: Duration::from_nanos(666_666_666),
            grace: Duration::from_secs(1),
        }
    }
}

impl Timing {
    /// How long a grant or a renewal lasts, on the store's clock.
    #[must_use]
    pub fn lease(&self) -> Duration {
        self.lease
    }

    /// The maximum time from sending one renewal to sending the next.
    #[must_use]
    pub fn renew(&self) -> Duration {
        self.renew
    }

    /// How much earlier than [`Timing::renew`] a renewal may be sent.
    #[must_use]
    pub fn jitter(&self) -> Duration {
        self.jitter
    }

    /// The pause after an operation that failed at once.
    #[must_use]
    pub fn retry(&self) -> Duration {
        self.retry
    }

    /// How much earlier than 99 % of the lease its holder stops trusting it.
    #[must_use]
    pub fn margin(&self) -> Duration {
        self.margin
    }

    /// The time between the soft and the hard deadline.
    #[must_use]
    pub fn grace(&self) -> Duration {
        self.grace
    }

    /// How long after *sending* a successful operation its holder trusts the lease:
    /// `lease · (1 − 1 %) − margin`.
    #[must_use]
    pub fn trust(&self) -> Duration {
        percent(self.lease, TRUSTED_PERCENT).saturating_sub(self.margin)
    }

    fn check(self) -> Result<Timing, InvalidTiming> {
        let refuse = |rule: Rule| Err(InvalidTiming { rule, timing: self });
        if self.lease < SHORTEST_LEASE || self.lease > LONGEST_LEASE {
            return refuse(Rule::Lease);
        }
        if self.retry < SHORTEST_ATTEMPT {
            return refuse(Rule::Retry);
        }
        if self.margin < Duration::from_millis(1) {
            return refuse(Rule::Margin);
        }
        if self.renew < SHORTEST_ATTEMPT {
            return refuse(Rule::Renew);
        }
        if self.renew.saturating_sub(self.jitter) < SHORTEST_ATTEMPT {
            return refuse(Rule::Jitter);
        }
        // An attempt gets half of the remaining time, so the third starts with a quarter and gets an eighth.
        if self.window() < self.three_attempts() {
            return refuse(Rule::Attempts);
        }
        Ok(self)
    }

    /// The time for attempts between the latest renewal and the soft deadline.
    fn window(&self) -> Duration {
        self.trust().saturating_sub(self.grace).saturating_sub(self.renew)
    }

    fn three_attempts(&self) -> Duration {
        (SHORTEST_ATTEMPT * 8).max(self.retry.saturating_mul(2).saturating_add(SHORTEST_ATTEMPT))
    }
}

/// Why timings were refused. The message says what was asked, what is wrong and what to change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidTiming {
    rule: Rule,
    timing: Timing,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Rule {
    Lease,
    Retry,
    Margin,
    Renew,
    Jitter,
    Attempts,
}

impl fmt::Display for InvalidTiming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let t = &self.timing;
        let ms = |duration: Duration| duration.as_millis();
        match self.rule {
            Rule::Lease => {
                write!(f, "a lease of {} ms is out of bounds; choose 100 to 86400000 ms (24 h)", ms(t.lease))
            }
            Rule::Retry => {
                write!(f, "a retry pause of {} ms is too short; choose at least 10 ms", ms(t.retry))
            }
            Rule::Margin => write!(f, "a margin of {} ms is too small; choose at least 1 ms", ms(t.margin)),
            Rule::Renew => {
                write!(f, "a renewal every {} ms is too often; choose at least 10 ms", ms(t.renew))
            }
            Rule::Jitter => write!(
                f,
                "a jitter of {} ms leaves less than 10 ms between renewals that are {} ms apart; choose a \
                 jitter of at most {} ms or renew less often",
                ms(t.jitter),
                ms(t.renew),
                ms(t.renew.saturating_sub(SHORTEST_ATTEMPT)),
            ),
            Rule::Attempts => write!(
                f,
                "three renewal attempts do not fit: a lease of {} ms is trusted for {} ms (99 % less a \
                 margin of {} ms), new work stops {} ms before that, and a renewal every {} ms leaves {} ms, \
                 but {} ms are needed; lengthen the lease, or shorten renew, margin, grace or retry",
                ms(t.lease),
                ms(t.trust()),
                ms(t.margin),
                ms(t.grace),
                ms(t.renew),
                ms(t.window()),
                ms(t.three_attempts()),
            ),
        }
    }
}

impl ::core::error::Error for InvalidTiming {}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::{String, ToString};

    const fn ms(millis: u64) -> Option<Duration> {
        Some(Duration::from_millis(millis))
    }

    fn refusal(options: TimingOptions) -> String {
        options.build().unwrap_err().to_string()
    }

    #[test]
    fn unset_options_give_the_default_timing() {
        assert_eq!(TimingOptions::default().build().unwrap(), Timing::default());
        assert_eq!(Timing::default().trust(), Duration::from_nanos(9_900_000_000 - 666_666_666));
    }

    #[test]
    fn unset_values_follow_the_lease() {
        let timing = TimingOptions { lease: ms(3_000), ..Default::default() }.build().unwrap();
        assert_eq!(timing.renew(), Duration::from_millis(900));
        assert_eq!(timing.jitter(), Duration::from_millis(600));
        assert_eq!(timing.margin(), Duration::from_millis(250));
        let often = TimingOptions { renew: ms(600), ..Default::default() }.build().unwrap();
        assert_eq!(often.jitter(), Duration::from_millis(400), "derived jitter stays below renew");
    }

    #[test]
    fn every_refusal_names_its_numbers() {
        assert!(refusal(TimingOptions { lease: ms(99), ..Default::default() }).contains("a lease of 99 ms"));
        assert!(
            refusal(TimingOptions { lease: ms(86_400_001), ..Default::default() }).contains("86400001 ms")
        );
        assert!(refusal(TimingOptions { retry: ms(9), ..Default::default() }).contains("9 ms"));
        assert!(refusal(TimingOptions { margin: ms(0), ..Default::default() }).contains("margin of 0 ms"));
        let jitter = refusal(TimingOptions { jitter: ms(2_995), ..Default::default() });
        assert!(jitter.contains("2995 ms") && jitter.contains("at most 2990 ms"), "{jitter}");
        let renew = refusal(TimingOptions { renew: ms(8_000), jitter: ms(10), ..Default::default() });
        assert!(renew.contains("every 8000 ms leaves 233 ms, but 1010 ms are needed"), "{renew}");
        assert!(refusal(TimingOptions { lease: ms(500), ..Default::default() }).contains("do not fit"));
        assert!(
            refusal(TimingOptions { grace: Some(Duration::MAX), ..Default::default() })
                .contains("leaves 0 ms")
        );
        assert!(
            refusal(TimingOptions { retry: Some(Duration::MAX), ..Default::default() })
                .contains("do not fit")
        );
    }

    #[test]
    fn a_lease_of_half_a_second_fits_with_a_smaller_margin() {
        let timing = TimingOptions { lease: ms(500), margin: ms(50), ..Default::default() }.build().unwrap();
        assert_eq!(timing.trust(), Duration::from_millis(445));
    }
}
