//! A member's disk: one state, and perhaps a write in progress.

use alloc::vec::Vec;

use super::super::random::Random;
use crate::core::raft::{Durable, Ticket};

/// Keeps the newest state that was written as a whole: writes are atomic, as a file that is renamed into
/// place.
pub(super) struct Disk {
    durable: Vec<u8>,
    writing: Option<(Ticket, Vec<u8>)>,
    /// No write is answered before.
    pub(super) stuck_until: u64,
    /// Writes fail until then.
    pub(super) fails_until: u64,
}

impl Disk {
    pub(super) fn new(durable: &Durable) -> Disk {
        Disk { durable: durable.to_bytes(), writing: None, stuck_until: 0, fails_until: 0 }
    }

    pub(super) fn write(&mut self, ticket: Ticket, bytes: Vec<u8>) {
        self.writing = Some((ticket, bytes));
    }

    /// Ends the write of this ticket, if it is the one in progress.
    pub(super) fn end_write(&mut self, ticket: Ticket, succeeds: bool, random: &mut Random) -> bool {
        if self.writing.as_ref().is_none_or(|(writing, _)| *writing != ticket) {
            return false;
        }
        let written = self.writing.take().map(|(_, bytes)| bytes);
        if let Some(bytes) = written.filter(|_| succeeds || random.chance(50)) {
            self.durable = bytes;
        }
        true
    }

    /// The process ends. A write in progress may have reached the disk.
    pub(super) fn crash(&mut self, random: &mut Random) {
        if let Some((ticket, _)) = self.writing {
            self.end_write(ticket, false, random);
        }
    }

    pub(super) fn read(&self) -> Durable {
        Durable::from_bytes(&self.durable).expect("the disk keeps whole states")
    }
}
