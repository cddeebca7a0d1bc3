//! Proposals that wait for a record, and those whose record is not committed yet.

#[cfg(feature = "testing")]
use ::core::hash::{Hash, Hasher};
use alloc::sync::Arc;
use alloc::vec::Vec;

#[cfg(feature = "testing")]
use super::frame::Frame;
use super::message::Refusal;
use super::peer::Peer;

/// Maximum number of proposals that wait for an answer.
const MAX_WAITING: usize = 1024;

/// Maximum number of lives of members whose forwarded proposals are remembered. More in one term are not
/// heard.
const MAX_FORWARDERS: usize = 1024;

/// The bits of a number that count the proposals of one life of a member.
const COUNT_BITS: u32 = 32;

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
    forwarders: Vec<Forwarder>,
}

/// Which proposals of one life of a member the leader has had.
#[derive(Clone, Copy, Debug)]
struct Forwarder {
    peer: Peer,
    /// The largest number.
    newest: u64,
    /// Bit `n` says whether that number minus `n` was among them.
    had: u64,
}

impl Forwarder {
    fn is_of(&self, peer: Peer, number: u64) -> bool {
        self.peer == peer && self.newest >> COUNT_BITS == number >> COUNT_BITS
    }

    /// Whether the leader has not had this number before. One that is too old to say counts as had.
    fn is_first(&mut self, number: u64) -> bool {
        if number > self.newest {
            self.had = self.had.checked_shl((number - self.newest) as u32).unwrap_or(0);
            self.newest = number;
        }
        let bit = 1_u64.checked_shl((self.newest - number) as u32).unwrap_or(0);
        let is_first = bit & !self.had != 0;
        self.had |= bit;
        is_first
    }
}

impl Proposals {
    /// Whether a member forwards the proposal with this number for the first time. A network may deliver it
    /// twice. What is remembered of a life is not forgotten in this term: a copy may be late.
    pub(super) fn is_first(&mut self, peer: Peer, number: u64) -> bool {
        if let Some(known) = self.forwarders.iter_mut().find(|known| known.is_of(peer, number)) {
            return known.is_first(number);
        }
        let has_room = self.forwarders.len() < MAX_FORWARDERS;
        if has_room {
            self.forwarders.push(Forwarder { peer, newest: number, had: 1 });
        }
        has_room
    }

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
    pub(super) fn fingerprint<H: Hasher + Default>(&self, frame: &Frame<'_>, hasher: &mut H) {
        let Proposals { next, is_next_expected, next_origins: _, in_flight: _, forwarders } = self;
        (next, is_next_expected).hash(hasher);
        frame.unordered(forwarders.iter(), hasher, |Forwarder { peer, newest, had }, one| {
            (frame.id(&peer.id), peer.incarnation, newest, had).hash(one);
        });
    }

    /// All proposals, for a leader that leads no more: those that took no effect, and those of which that is
    /// not known.
    pub(super) fn give_up(&mut self) -> (Vec<Origin>, Vec<(Origin, u64)>) {
        self.next = None;
        (::core::mem::take(&mut self.next_origins), ::core::mem::take(&mut self.in_flight))
    }
}
