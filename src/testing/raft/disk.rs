//! A member's disk: one state, and perhaps a write in progress.

use alloc::format;
use alloc::vec::Vec;

use super::super::random::Random;
use super::blob::Blob;
use super::checks::Broken;
use crate::core::raft::{Body, Durable, DurableState, MemberId, Message, Position, Ticket};

/// Keeps the newest state that was written as a whole: writes are atomic, as a file that is renamed into
/// place.
pub(super) struct Disk {
    durable: Vec<u8>,
    /// What `durable` promises, if the member belongs to a cluster.
    kept: Option<Kept>,
    /// The bytes of the members in the state that was last decoded.
    members: Vec<u8>,
    writing: Option<(Ticket, Vec<u8>)>,
    /// No write is answered before.
    pub(super) stuck_until: u64,
    /// Writes fail until then.
    pub(super) fails_until: u64,
}

/// What durable state promises to others.
#[derive(Debug)]
struct Kept {
    term: u64,
    vote: Option<MemberId>,
    last: Position,
}

impl Kept {
    fn of(durable: Durable) -> Option<Kept> {
        let DurableState::Bound(bound) = durable.state else { return None };
        Some(Kept { term: bound.term, vote: bound.vote.map(|(id, _)| id), last: bound.last().position })
    }
}

impl Disk {
    pub(super) fn new(durable: &Durable) -> Disk {
        let mut disk = Disk {
            durable: durable.to_bytes(),
            kept: None,
            members: Vec::new(),
            writing: None,
            stuck_until: 0,
            fails_until: 0,
        };
        disk.look();
        disk
    }

    /// Looks at what the disk keeps now. The state is decoded unless it is sound and its members were decoded
    /// before.
    fn look(&mut self) {
        self.kept = match Blob::read(&self.durable, &self.members) {
            Some(blob) if blob.is_sound() && blob.members == [&*self.members; 2] => {
                Some(Kept { term: blob.term, vote: blob.vote, last: blob.last() })
            }
            blob => {
                let kept = Kept::of(self.read());
                self.members = blob.map(|blob| blob.members[1].to_vec()).unwrap_or_default();
                kept
            }
        };
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
            self.look();
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

    /// Whether a message that the member sends promises only what the disk keeps: a vote, or a record.
    pub(super) fn keeps_promise(&self, bytes: &[u8]) -> Result<(), Broken> {
        // Kinds 3, 4 and 6: a vote is asked for or given, a record is acknowledged.
        if !bytes.get(4).is_some_and(|kind| [3, 4, 6].contains(kind)) {
            return Ok(());
        }
        let (Ok(message), Some(kept)) = (Message::from_bytes(bytes), &self.kept) else {
            return Err("it sends what cannot be read".into());
        };
        // In a later term the member gives no vote of this one any more, which keeps the promise as well.
        let votes_for = |candidate| {
            kept.term > message.term || (kept.term == message.term && kept.vote == Some(candidate))
        };
        let is_kept = match message.body {
            Body::Vote { .. } => votes_for(message.from),
            Body::VoteAnswer { granted: true, .. } => votes_for(message.to),
            Body::AppendAnswer { matched, .. } => {
                matched == 0 || (kept.last.index >= matched && kept.term >= message.term)
            }
            _ => true,
        };
        let what = message.body.name();
        if is_kept {
            Ok(())
        } else {
            Err(format!("it promises by {what} what its disk does not keep: {kept:?}"))
        }
    }
}
