//! A member's disk: one state, and perhaps a write in progress.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::super::random::Random;
use super::checks::Broken;
use crate::core::raft::{Body, Durable, DurableState, Message, Position, Protection, Ticket};

/// Keeps the newest state that was written as a whole: writes are atomic, as a file that is renamed into
/// place. Only a write that [`Disk::tear`] ends damages the file.
pub(super) struct Disk {
    durable: Option<Vec<u8>>,
    /// What `durable` says; for a torn file what the last whole one said.
    kept: Option<Durable>,
    /// When the file was torn, if it is.
    torn_at: Option<u64>,
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
            torn_at: None,
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
    pub(super) fn tear(&mut self, now: u64, random: &mut Random) {
        let Some((_, mut bytes)) = self.writing.take() else { return };
        let at = random.below(bytes.len() as u64) as usize;
        if random.chance(50) {
            bytes.truncate(at);
        } else {
            bytes[at] ^= 1 << random.below(8);
        }
        self.durable = Some(bytes);
        self.torn_at = Some(now);
    }

    pub(super) fn is_torn(&self) -> bool {
        self.torn_at.is_some()
    }

    /// When the file was torn, if it is.
    pub(super) fn torn_at(&self) -> Option<u64> {
        self.torn_at
    }

    /// The state at a start, if there is one. A whole file is read, and a torn one refused.
    pub(super) fn read(&self) -> Result<Option<Durable>, Broken> {
        let Some(bytes) = &self.durable else { return Ok(None) };
        match Durable::from_bytes(bytes) {
            Ok(_) if self.is_torn() => Err("it reads a torn state".into()),
            Err(invalid) if !self.is_torn() => Err(format!("it refuses a whole state: {invalid}")),
            read => Ok(read.ok()),
        }
    }

    /// The disk is replaced by an empty one.
    pub(super) fn lose(&mut self) {
        *self = Disk::new(None);
    }

    /// Whether a message that the member sends promises only what the disk keeps: see [`check_promise`].
    pub(super) fn check_promise(&self, bytes: &[u8], without: Option<Protection>) -> Result<(), Broken> {
        check_promise(self.kept.as_ref(), bytes, without)
    }
}

/// The kinds of message that promise something: a vote is asked for or given, a record is acknowledged.
const PROMISES: [u8; 3] = [3, 4, 6];

/// The kind of message that answers a forwarded proposal.
pub(super) const PROPOSE_ANSWER: u8 = 13;

/// The kind of a message.
pub(super) fn kind_of(bytes: &[u8]) -> Option<u8> {
    bytes.get(4).copied()
}

/// Checks that a message promises only what the sender's disk keeps: a vote, or a record.
///
/// # Errors
/// When the message cannot be read, or the disk does not keep what it promises. A member `without` the rule
/// of the own term may acknowledge a record of an earlier term.
pub fn check_promise(
    kept: Option<&Durable>,
    bytes: &[u8],
    without: Option<Protection>,
) -> Result<(), String> {
    // Most messages promise nothing, and need not be decoded.
    if !kind_of(bytes).is_some_and(|kind| PROMISES.contains(&kind)) {
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
        bound.term > message.term || (bound.term == message.term && bound.vote == Some(candidate))
    };
    // A record that is acknowledged is of the term of the message, unless that rule is off.
    let keeps = |matched| {
        let last = bound.last().position;
        let keeps_older = without == Some(Protection::OwnTerm) && last.index >= matched;
        keeps_older || last >= Position::new(message.term, matched)
    };
    let is_kept = match message.body {
        Body::Vote { .. } => votes_for((message.from, message.from_incarnation)),
        Body::VoteAnswer { granted: true, .. } => votes_for((message.to, message.to_incarnation)),
        Body::AppendAnswer { matched, .. } => matched == 0 || (keeps(matched) && bound.term >= message.term),
        _ => true,
    };
    if is_kept {
        return Ok(());
    }
    let what = message.body.name();
    Err(format!("it promises by {what} in term {} what its disk does not keep: {bound:?}", message.term))
}
