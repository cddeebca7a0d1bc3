//! What will happen in a world, in the order of time.

use alloc::vec::Vec;

use crate::core::raft::Ticket;

/// What happens at some true time.
#[derive(Debug)]
pub(super) enum Happening {
    Timer(usize),
    Arrives { from: usize, to: usize, bytes: Vec<u8> },
    Written { node: usize, run: u64, ticket: Ticket },
    Restart(usize),
    Known { node: usize, other: usize },
    Propose,
    Fault,
}

/// The happenings to come, the next one last: those of one time in the order in which they were added.
///
/// A sorted list, as there are a few dozen, and most that are added come soon and belong near its end: faster
/// than a heap.
#[derive(Default)]
pub(super) struct Queue(Vec<(u64, Happening)>);

impl Queue {
    pub(super) fn add(&mut self, at: u64, happening: Happening) {
        let place = self.0.iter().rposition(|(other, _)| *other > at).map_or(0, |later| later + 1);
        self.0.insert(place, (at, happening));
    }

    /// Takes the next happening out, with its time, unless that is after `end`.
    pub(super) fn next(&mut self, end: u64) -> Option<(u64, Happening)> {
        let (at, _) = self.0.last()?;
        if *at > end { None } else { self.0.pop() }
    }

    /// All writes in progress end now.
    pub(super) fn end_writes(&mut self, now: u64) {
        let is_write = |(_, happening): &(u64, Happening)| matches!(happening, Happening::Written { .. });
        let (mut writes, others) =
            ::core::mem::take(&mut self.0).into_iter().partition::<Vec<_>, _>(is_write);
        self.0 = others;
        while let Some((_, write)) = writes.pop() {
            self.add(now, write);
        }
    }
}
