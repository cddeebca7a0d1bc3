//! Durable state of a bound member, read from its bytes without decoding the members.
//!
//! A disk is written for every record, and each time it is checked what it keeps. To decode whole states would
//! take a quarter of the simulation's time, nearly all of it for the members, which seldom change.

use crate::core::raft::{MemberId, Position};

/// What a bound member's durable state says, except for the data.
pub(super) struct Blob<'a> {
    pub(super) term: u64,
    pub(super) vote: Option<MemberId>,
    pub(super) committed: Position,
    pub(super) uncommitted: Option<Position>,
    /// The bytes of the cluster and the members of both records. Without a second record they are those of
    /// the first.
    pub(super) members: [&'a [u8]; 2],
}

impl<'a> Blob<'a> {
    /// What these bytes say; `None` if they are not the state of a bound member, in the layout that
    /// [`Durable::to_bytes`](crate::core::raft::Durable::to_bytes) gives it. Members that are those in `known` are
    /// skipped at once.
    pub(super) fn read(bytes: &'a [u8], known: &[u8]) -> Option<Blob<'a>> {
        let fields = bytes.strip_prefix(b"ER\x01\x00\x42")?;
        let mut fields = Fields(fields.get(..fields.len().checked_sub(8)?)?);
        let _own = (fields.text()?, fields.number()?);
        let term = fields.number()?;
        let vote = match fields.byte()? {
            0 => None,
            _ => {
                let id = MemberId::new(::core::str::from_utf8(fields.text()?).ok()?).ok()?;
                fields.number()?;
                Some(id)
            }
        };
        let (_hold_ms, _is_established) = (fields.number()?, fields.byte()?);
        let (committed, members) = fields.record(known)?;
        let second = if fields.byte()? == 0 { None } else { Some(fields.record(known)?) };
        let (uncommitted, newer) = second.unzip();
        let members = [members, newer.unwrap_or(members)];
        fields.0.is_empty().then_some(Blob { term, vote, committed, uncommitted, members })
    }

    /// The position of the newest record.
    pub(super) fn last(&self) -> Position {
        self.uncommitted.unwrap_or(self.committed)
    }

    /// Whether the positions agree with the term and with each other.
    pub(super) fn is_sound(&self) -> bool {
        let (committed, last) = (self.committed, self.last());
        let follows = self.uncommitted.is_none() || last.index > committed.index;
        follows && committed.term <= last.term && last.term <= self.term
    }
}

/// The fields that are left to read.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn byte(&mut self) -> Option<u8> {
        let (byte, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*byte)
    }

    /// Seven bits a byte, the lowest first.
    fn number(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..56).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7F) << shift;
            if byte < 0x80 {
                return Some(number);
            }
        }
        None
    }

    /// Its length, and so many bytes.
    fn text(&mut self) -> Option<&'a [u8]> {
        let length = self.number()?;
        self.take(usize::try_from(length).ok()?)
    }

    /// The position of a record, and the bytes of its cluster and its members. Its data is skipped.
    fn record(&mut self, known: &[u8]) -> Option<(Position, &'a [u8])> {
        let position = Position::new(self.number()?, self.number()?);
        let start = self.0;
        if start.starts_with(known) && !known.is_empty() {
            self.take(known.len())?;
        } else {
            self.members()?;
        }
        let members = &start[..start.len() - self.0.len()];
        self.text()?;
        Some((position, members))
    }

    fn members(&mut self) -> Option<()> {
        let _cluster = self.take(16)?;
        for _ in 0..self.number()? {
            let _profile = (self.text()?, self.number()?, self.text()?, self.byte()?, self.byte()?);
            let _part = self.byte()?;
        }
        Some(())
    }
}
