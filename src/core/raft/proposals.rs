//! Proposals that wait for a record, and those whose record is not committed yet.

#[cfg(feature = "testing")]
use ::core::hash::{Hash, Hasher};
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::message::Refusal;
use super::peer::Peer;

/// Maximum number of proposals that wait for an answer.
const MAX_WAITING: usize = 1024;

/// Who waits for the answer to a proposal.
#[derive(Clone, Copy, Debug)]
pub(super) enum Origin {
    /// The host, which gave it this number.
    Host(u64),
    /// A member that forwarded it under this number.
    Member(Peer, u64),
}

/// The proposals of one leader. While a record is in flight the next one is collected: later data replaces
/// earlier, and all proposals in it are answered with its index.
#[derive(Clone, Debug, Default)]
pub(super) struct Proposals {
    /// The data of the record after the one in flight.
    next: Option<Arc<[u8]>>,
    /// Whether it is that of a proposal with an expected index, which stays alone.
    is_next_expected: bool,
    /// The proposals that are in it.
    next_origins: Vec<Origin>,
    /// The proposals in the record in flight, with its index.
    in_flight: Vec<(Origin, u64)>,
}

impl Proposals {
    /// Adds a proposal. `newest` is the index of the newest record.
    pub(super) fn add(
        &mut self,
        origin: Origin,
        expected: Option<u64>,
        data: Arc<[u8]>,
        newest: u64,
    ) -> Result<(), Refusal> {
        // Judged against the record that it would replace: with one being collected already, that is the one.
        let preceding = if self.next.is_some() { newest + 1 } else { newest };
        if expected.is_some_and(|expected| expected != preceding) {
            return Err(Refusal::IndexMismatch(preceding));
        }
        // A record that a compare-and-set makes is its own: nothing else replaces it unseen.
        if self.next.is_some() && (expected.is_some() || self.is_next_expected) {
            return Err(Refusal::Busy);
        }
        if self.next_origins.len() + self.in_flight.len() >= MAX_WAITING {
            return Err(Refusal::Busy);
        }
        self.next = Some(data);
        self.is_next_expected = expected.is_some();
        self.next_origins.push(origin);
        Ok(())
    }

    /// The data for a record with this index, if a proposal wants one.
    pub(super) fn take(&mut self, index: u64) -> Option<Arc<[u8]>> {
        let data = self.next.take()?;
        for origin in self.next_origins.drain(..) {
            self.in_flight.push((origin, index));
        }
        Some(data)
    }

    /// The proposals whose record is committed, now that `index` is, with the index of their record.
    pub(super) fn committed(&mut self, index: u64) -> Vec<(Origin, u64)> {
        let done = self.in_flight.iter().take_while(|(_, of)| *of <= index).count();
        let rest = self.in_flight.split_off(done);
        ::core::mem::replace(&mut self.in_flight, rest)
    }

    /// Hashes what decides the next record: whom an answer goes to makes no difference to it.
    #[cfg(feature = "testing")]
    pub(super) fn fingerprint<H: Hasher>(&self, hasher: &mut H) {
        let Proposals { next, is_next_expected, next_origins: _, in_flight: _ } = self;
        (next, is_next_expected).hash(hasher);
    }

    /// All proposals, for a leader that leads no more: those that took no effect, and those of which that is
    /// not known.
    pub(super) fn give_up(&mut self) -> (Vec<Origin>, Vec<(Origin, u64)>) {
        self.next = None;
        (::core::mem::take(&mut self.next_origins), ::core::mem::take(&mut self.in_flight))
    }
}
