//! The terms that the candidates reported, and whether they broke a guarantee.

use std::time::Duration;

use elector::core::Instant;

/// A term as its candidate reported it.
struct Claim {
    who: usize,
    token: u64,
    from: Instant,
    /// The last time at which it surely led; before `from` as long as no such time is known.
    last: Instant,
}

/// All terms of the demo.
#[derive(Default)]
pub struct Claims(Vec<Claim>);

impl Claims {
    /// The candidate led at `from`.
    pub fn begin(&mut self, who: usize, token: u64, from: Instant) {
        self.0.push(Claim { who, token, from, last: Instant::ZERO });
    }

    /// The same term lasted until `last` at least.
    pub fn extend(&mut self, who: usize, last: Instant) {
        if let Some(claim) = self.0.iter_mut().rev().find(|claim| claim.who == who) {
            claim.last = claim.last.max(last);
        }
    }

    /// The longest time for which two candidates surely led at once.
    pub fn overlap(&self) -> Duration {
        let mut longest = Duration::ZERO;
        for (number, one) in self.sure().enumerate() {
            for other in self.sure().take(number) {
                let both_until = one.last.min(other.last);
                longest = longest.max(both_until.saturating_since(one.from.max(other.from)));
            }
        }
        longest
    }

    /// Whether each term had a larger token than all before it.
    pub fn grew(&self) -> bool {
        let mut claims: Vec<_> = self.sure().collect();
        claims.sort_by_key(|claim| claim.from);
        claims.is_sorted_by(|earlier, later| earlier.token < later.token)
    }

    fn sure(&self) -> impl Iterator<Item = &Claim> {
        self.0.iter().filter(|claim| claim.from <= claim.last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claims(terms: &[(usize, u64, u64, u64)]) -> Claims {
        let mut claims = Claims::default();
        for &(who, token, from, last) in terms {
            claims.begin(who, token, Instant::from_millis(from));
            claims.extend(who, Instant::from_millis(last));
        }
        claims
    }

    #[test]
    fn two_leaders_at_once_are_found_in_any_order_of_their_reports() {
        assert_eq!(claims(&[(0, 1, 10, 20), (1, 2, 20, 30)]).overlap(), Duration::ZERO);
        for terms in [[(0, 1, 10, 25), (1, 2, 20, 30)], [(1, 2, 20, 30), (0, 1, 10, 25)]] {
            assert_eq!(claims(&terms).overlap(), Duration::from_millis(5));
        }
    }

    #[test]
    fn a_token_that_does_not_grow_is_found() {
        assert!(claims(&[(1, 2, 20, 30), (0, 1, 10, 15)]).grew(), "told of late");
        assert!(!claims(&[(0, 2, 10, 15), (1, 1, 20, 30)]).grew());
        assert!(!claims(&[(0, 1, 10, 15), (1, 1, 20, 30)]).grew());
    }

    #[test]
    fn an_answer_that_took_longer_than_its_term_proves_nothing() {
        let claims = claims(&[(0, 1, 50, 10), (1, 2, 20, 60)]);
        assert!(claims.overlap().is_zero() && claims.grew());
    }
}
