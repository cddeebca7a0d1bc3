//! A member's disk: one state, and perhaps a write in progress.

use alloc::format;
use alloc::vec::Vec;

use super::super::random::Random;
use super::checks::Broken;
use crate::core::raft::{Body, Durable, DurableState, Message, Ticket};

/// Keeps the newest state that was written as a whole: writes are atomic, as a file that is renamed into
/// place. Only a write that [`Disk::tear`] ends damages the file.
pub(super) struct Disk {
    durable: Option<Vec<u8>>,
    /// What `durable` says; for a torn file what the last whole one said.
    kept: Option<Durable>,
    is_torn: bool,
    writing: Option<(Ticket, Vec<u8>)>,
    /// No write is answered before.
    pub(super) stuck_until: u64,
    /// Writes fail until then.
    pub(super) fails_until: u64,
}

impl Disk {
    pub(super) fn new(durable: Option<&Durable>) -> Disk {
        Disk {
            durable: durable.map(Durable::to_bytes),
            kept: durable.cloned(),
            is_torn: false,
            writing: None,
            stuck_until: 0,
            fails_until: 0,
        }
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
            let members = match &self.kept {
                Some(Durable { state: DurableState::Bound(kept), .. }) => Some(&kept.last().membership),
                _ => None,
            };
            self.kept = Some(Durable::read(&bytes, members).expect("a member writes whole states"));
            self.durable = Some(bytes);
        }
        true
    }

    /// The process ends. A write in progress may have reached the disk.
    pub(super) fn crash(&mut self, random: &mut Random) {
        if let Some((ticket, _)) = self.writing {
            self.end_write(ticket, false, random);
        }
    }

    /// The process ends in the middle of its write: the file has only the beginning of the new state, or one
    /// bit of it is wrong.
    pub(super) fn tear(&mut self, random: &mut Random) {
        let Some((_, mut bytes)) = self.writing.take() else { return };
        let at = random.below(bytes.len() as u64) as usize;
        if random.chance(50) {
            bytes.truncate(at);
        } else {
            bytes[at] ^= 1 << random.below(8);
        }
        self.durable = Some(bytes);
        self.is_torn = true;
    }

    pub(super) fn is_torn(&self) -> bool {
        self.is_torn
    }

    /// The state at a start, if there is one. A whole file is read, and a torn one refused.
    pub(super) fn read(&self) -> Result<Option<Durable>, Broken> {
        let Some(bytes) = &self.durable else { return Ok(None) };
        match Durable::from_bytes(bytes) {
            Ok(_) if self.is_torn => Err("it reads a torn state".into()),
            Err(invalid) if !self.is_torn => Err(format!("it refuses a whole state: {invalid}")),
            read => Ok(read.ok()),
        }
    }

    /// The disk is replaced by an empty one.
    pub(super) fn lose(&mut self) {
        *self = Disk::new(None);
    }

    /// Whether a message that the member sends promises only what the disk keeps.
    pub(super) fn keeps_promise(&self, bytes: &[u8]) -> Result<(), Broken> {
        keeps_promise(self.kept.as_ref(), bytes)
    }
}

/// Whether a message that a member sends promises only what its disk keeps: a vote, or a record.
pub(super) fn keeps_promise(kept: Option<&Durable>, bytes: &[u8]) -> Result<(), Broken> {
    // Kinds 3, 4 and 6: a vote is asked for or given, a record is acknowledged.
    if !bytes.get(4).is_some_and(|kind| [3, 4, 6].contains(kind)) {
        return Ok(());
    }
    let Ok(message) = Message::from_bytes(bytes) else {
        return Err("it sends what cannot be read".into());
    };
    let Some(Durable { state: DurableState::Bound(bound), .. }) = kept else {
        return Err(format!("it promises by {} without being a member", message.body.name()));
    };
    // In a later term the member gives no vote of this one any more, which keeps the promise as well.
    let votes_for = |candidate| {
        let vote = bound.vote.map(|(id, _)| id);
        bound.term > message.term || (bound.term == message.term && vote == Some(candidate))
    };
    let last = bound.last().position;
    let is_kept = match message.body {
        Body::Vote { .. } => votes_for(message.from),
        Body::VoteAnswer { granted: true, .. } => votes_for(message.to),
        Body::AppendAnswer { matched, .. } => {
            // A record of a later leader may have a smaller index.
            let is_kept = last.index >= matched || last.term > message.term;
            matched == 0 || (is_kept && bound.term >= message.term)
        }
        _ => true,
    };
    let what = message.body.name();
    if is_kept {
        Ok(())
    } else {
        Err(format!("it promises by {what} what its disk does not keep: {bound:?}"))
    }
}
