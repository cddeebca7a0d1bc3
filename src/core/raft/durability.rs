//! What may leave a member only once its state is durable.

#[cfg(feature = "testing")]
use ::core::hash::{Hash, Hasher};
use alloc::vec::Vec;

#[cfg(feature = "testing")]
use super::frame::Frame;
use super::id::MemberId;
use super::membership::MAX_MEMBERS;
#[cfg(feature = "testing")]
use super::message::Message;

/// Maximum number of messages that are held back.
const MAX_HELD: usize = 4 * MAX_MEMBERS;

/// The number of one write of durable state. Tickets of one machine only grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// Counts the versions of a member's durable state, and holds messages back until the state that they promise
/// is durable. One write is in progress at a time; changes meanwhile are written together by the next.
#[derive(Clone, Debug, Default)]
pub(super) struct Durability {
    /// The version of the state in memory.
    current: u64,
    /// The version of the write in progress.
    writing: Option<u64>,
    /// The newest version that is durable.
    durable: u64,
    /// A write failed, and none succeeded since.
    failed: bool,
    held: Vec<Held>,
}

/// A message that is held back.
#[derive(Clone, Debug)]
struct Held {
    /// The version that must be durable before.
    version: u64,
    to: MemberId,
    /// The name of its kind.
    kind: &'static str,
    bytes: Vec<u8>,
}

impl Durability {
    /// The state has changed.
    pub(super) fn changed(&mut self) {
        // Changes between two writes are one version.
        if self.writing == Some(self.current) || self.durable == self.current {
            self.current += 1;
        }
    }

    /// The version of the state in memory: once it is durable, so is all that was changed until now.
    pub(super) fn current(&self) -> u64 {
        self.current
    }

    pub(super) fn is_durable(&self, version: u64) -> bool {
        version <= self.durable
    }

    pub(super) fn has_failed(&self) -> bool {
        self.failed
    }

    /// The write that must begin now, if any.
    pub(super) fn begin_write(&mut self) -> Option<Ticket> {
        if self.writing.is_some() || self.failed || self.durable == self.current {
            return None;
        }
        self.writing = Some(self.current);
        Some(Ticket(self.current))
    }

    /// A write has succeeded. Returns whether it was the one in progress.
    pub(super) fn written(&mut self, ticket: Ticket) -> bool {
        if self.writing != Some(ticket.0) {
            return false;
        }
        self.writing = None;
        self.durable = ticket.0;
        true
    }

    /// A write has failed. Returns whether it was the one in progress. What the medium holds is not known
    /// then: the next write, after [`Durability::retry`], writes the whole state again.
    pub(super) fn write_failed(&mut self, ticket: Ticket) -> bool {
        let is_current = self.writing == Some(ticket.0);
        if is_current {
            self.writing = None;
            self.failed = true;
            self.drop_held();
            self.current += 1;
        }
        is_current
    }

    /// Write again after a failure.
    pub(super) fn retry(&mut self) {
        self.failed = false;
    }

    /// Holds a message back until the state in memory is durable. An older message of the same kind to the
    /// same member is replaced if it waits for the same write, and beyond a bound messages are dropped: a
    /// disk that hangs keeps no queue growing, and one that is slow still promises what it has written.
    pub(super) fn hold(&mut self, to: MemberId, kind: &'static str, bytes: Vec<u8>) {
        let version = self.current;
        let is_replaced = |held: &Held| held.version == version && held.to == to && held.kind == kind;
        self.held.retain(|held| !is_replaced(held));
        if self.held.len() < MAX_HELD {
            self.held.push(Held { version, to, kind, bytes });
        }
    }

    /// Drops the messages that are held back: what they promise is void.
    pub(super) fn drop_held(&mut self) {
        self.held.clear();
    }

    /// Hashes what decides what is written and sent from now on; see [`Frame`].
    #[cfg(feature = "testing")]
    pub(super) fn fingerprint<H: Hasher + Default>(&self, frame: &Frame<'_>, hasher: &mut H) {
        let Durability { current, writing, durable, failed, held } = self;
        let ahead = |version: u64| version.saturating_sub(*durable);
        (ahead(*current), writing.map(ahead), failed).hash(hasher);
        for Held { version, to: _, kind: _, bytes } in held {
            ahead(*version).hash(hasher);
            if let Ok(message) = Message::from_bytes(bytes) {
                frame.message(&message, hasher);
                frame.round_age(&message).hash(hasher);
            }
        }
    }

    /// The next message that may leave now, and whom it is for.
    pub(super) fn release(&mut self) -> Option<(MemberId, Vec<u8>)> {
        let is_ready = self.held.first().is_some_and(|held| held.version <= self.durable);
        is_ready.then(|| self.held.remove(0)).map(|held| (held.to, held.bytes))
    }
}
