//! Proposals that a member forwarded to the leader.

#[cfg(feature = "testing")]
use ::core::hash::{Hash, Hasher};
use alloc::vec::Vec;

#[cfg(feature = "testing")]
use super::frame::Frame;
use crate::core::Instant;

/// Maximum number of forwarded proposals without an answer.
const MAX_FORWARDED: usize = 256;

/// The proposals that wait for the leader's answer, in the order of their deadlines.
#[derive(Clone, Debug)]
pub(super) struct Forwarded {
    waiting: Vec<Waiting>,
    next: u64,
}

#[derive(Clone, Copy, Debug)]
struct Waiting {
    number: u64,
    /// The number that the host gave it.
    request: u64,
    deadline: Instant,
}

impl Forwarded {
    /// Begins with this number, random and below 2⁵². An answer to the member's earlier life must not answer
    /// a proposal of this one, nor may the leader take that for a copy of an earlier one.
    pub(super) fn new(first: u64) -> Forwarded {
        Forwarded { waiting: Vec::new(), next: first }
    }

    /// Adds a proposal and returns its number; `None` if too many wait.
    pub(super) fn add(&mut self, request: u64, deadline: Instant) -> Option<u64> {
        if self.waiting.len() >= MAX_FORWARDED {
            return None;
        }
        let number = self.next;
        self.next += 1;
        self.waiting.push(Waiting { number, request, deadline });
        Some(number)
    }

    /// Takes out the proposal with this number, and returns the host's number.
    pub(super) fn answered(&mut self, number: u64) -> Option<u64> {
        let place = self.waiting.iter().position(|waiting| waiting.number == number)?;
        Some(self.waiting.remove(place).request)
    }

    /// Takes out the next one whose deadline has passed, and returns the host's number.
    pub(super) fn expired(&mut self, now: Instant) -> Option<u64> {
        if self.due() > now {
            return None;
        }
        Some(self.waiting.remove(0).request)
    }

    /// Hashes the proposals that wait; see [`Frame`].
    #[cfg(feature = "testing")]
    pub(super) fn fingerprint<H: Hasher>(&self, frame: &Frame<'_>, hasher: &mut H) {
        let Forwarded { waiting, next } = self;
        for Waiting { number, request: _, deadline } in waiting {
            (next - number, frame.ahead(*deadline)).hash(hasher);
        }
    }

    /// When the next deadline passes.
    pub(super) fn due(&self) -> Instant {
        self.waiting.first().map_or(Instant::MAX, |waiting| waiting.deadline)
    }
}
