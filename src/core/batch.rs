//! Batches: the operations of many elections that a hub sends to its store together. This module decides the
//! order in which they are sent, and how long the hub waits for the replies.

use core::time::Duration;

use crate::core::lease::Op;

/// Maximum number of operations in one batch, so that a release waits for a bounded batch only.
pub const MOST_JOBS: usize = 4_096;

/// Minimum time to wait for a batch, even if the deadlines of its operations pass earlier. It is longer than
/// the half second that a statement waits for a lock, so that a lock costs an attempt and not the connection.
pub const SHORTEST_PATIENCE: Duration = Duration::from_millis(750);

/// How urgent an operation is, the most urgent first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Urgency {
    /// Frees a lease for other candidates.
    Release,
    /// Keeps a term.
    Renew,
    /// Starts a term.
    Acquire,
    /// Changes nothing.
    Look,
}

impl Urgency {
    /// The urgency of an operation.
    #[must_use]
    pub fn of(op: &Op) -> Urgency {
        match op {
            Op::Release { .. } => Urgency::Release,
            Op::Renew { .. } => Urgency::Renew,
            Op::Acquire(_) => Urgency::Acquire,
            Op::Look => Urgency::Look,
        }
    }

    /// The urgency of an operation by its name, as [`Op::name`] gives it.
    #[must_use]
    pub fn named(op: &str) -> Option<Urgency> {
        match op {
            "release" => Some(Urgency::Release),
            "renew" => Some(Urgency::Renew),
            "acquire" => Some(Urgency::Acquire),
            "look" => Some(Urgency::Look),
            _ => None,
        }
    }

    /// Whether the operation is about a lease that is held. Its next attempt must not wait for this batch.
    #[must_use]
    pub fn is_of_a_term(self) -> bool {
        matches!(self, Urgency::Release | Urgency::Renew)
    }
}

/// The time until which the hub waits for the replies to a batch, given the urgency and the deadline of each
/// operation; `None` for an empty batch. The caller, which knows the present time, must wait at least
/// [`SHORTEST_PATIENCE`] nevertheless.
///
/// For a batch with renewals or releases it is the earliest of their deadlines. Then the first of them must
/// be retried, which is impossible while the hub waits for this batch. An election with a longer lease loses
/// little, because it has time for more attempts. If the hub waited for the longest lease, a hanging server
/// would end the terms of all elections with shorter leases on the same hub.
///
/// For a batch without renewals and releases it is the latest deadline: sending a look or an acquire again
/// would only delay it.
///
/// ```
/// use elector::core::batch::{Urgency, waited_for};
///
/// let batch = [(Urgency::Renew, 3_000), (Urgency::Renew, 10_000), (Urgency::Look, 1_000)];
/// assert_eq!(waited_for(batch), Some(3_000));
/// assert_eq!(waited_for([(Urgency::Acquire, 2_000), (Urgency::Look, 5_000)]), Some(5_000));
/// ```
pub fn waited_for<T: PartialOrd>(operations: impl IntoIterator<Item = (Urgency, T)>) -> Option<T> {
    operations
        .into_iter()
        .reduce(|one, other| {
            let earlier = one.1 < other.1;
            let takes_one = match (one.0.is_of_a_term(), other.0.is_of_a_term()) {
                (true, true) => earlier,
                (false, false) => !earlier,
                (is_of_a_term, _) => is_of_a_term,
            };
            if takes_one { one } else { other }
        })
        .map(|(_, deadline)| deadline)
}

#[cfg(test)]
mod tests {
    use super::*;
    use Urgency::{Acquire, Look, Release, Renew};

    #[test]
    fn names_of_operations_have_the_urgency_of_the_operation() {
        assert_eq!(Urgency::named(Op::Look.name()), Some(Urgency::of(&Op::Look)));
        assert_eq!(["release", "renew", "acquire"].map(Urgency::named), [Release, Renew, Acquire].map(Some));
        assert_eq!(Urgency::named("drop"), None);
        assert!(Release < Renew && Renew < Acquire && Acquire < Look);
    }

    #[test]
    fn a_batch_ends_with_the_first_renewal_or_release_else_with_the_last_operation() {
        type Case<'a> = (&'a [(Urgency, u32)], Option<u32>);
        let cases: [Case<'_>; 6] = [
            (&[], None),
            (&[(Look, 3)], Some(3)),
            (&[(Look, 3), (Acquire, 5), (Look, 4)], Some(5)),
            (&[(Look, 1), (Renew, 8), (Release, 6), (Acquire, 9)], Some(6)),
            (&[(Renew, 6), (Look, 1), (Renew, 8)], Some(6)),
            (&[(Acquire, 2), (Release, 7)], Some(7)),
        ];
        for (batch, expected) in cases {
            assert_eq!(waited_for(batch.iter().copied()), expected, "{batch:?}");
        }
    }
}
