//! Messages as bytes.
//!
//! | bytes | field |
//! |---|---|
//! | 2 | `ER` |
//! | 2 | format version: major, minor |
//! | 1 | kind: 1 to 13, in the order of [`Body`]'s variants |
//! | 16 | cluster id |
//! | | sender: id, incarnation |
//! | | receiver: id, incarnation |
//! | | term |
//! | | the fields of the body, in order |
//! | 8 | XXH64 of all preceding bytes, little endian |
//!
//! [`super::codec`] has the encoding of the fields. A newer minor version may add kinds, and fields after
//! those of a body: an older one refuses such a kind as unknown and skips such fields.

use alloc::sync::Arc;
use alloc::vec::Vec;

use super::codec::{InvalidBytes, Reader, Writer};
use super::membership::Membership;
use super::message::{Body, Introduction, Message, Refusal, Standing};

impl Message {
    /// The message as bytes.
    ///
    /// ```
    /// use elector::core::raft::{Body, ClusterId, Incarnation, MemberId, Message, Position};
    ///
    /// let message = Message {
    ///     cluster: ClusterId([7; 16]),
    ///     from: MemberId::new("a")?,
    ///     from_incarnation: Incarnation::new(1).unwrap(),
    ///     to: MemberId::new("b")?,
    ///     to_incarnation: Incarnation::new(2).unwrap(),
    ///     term: 5,
    ///     body: Body::Vote { last: Position::new(4, 9), given_up: None },
    /// };
    /// let mut bytes = message.to_bytes();
    /// assert_eq!(Message::from_bytes(&bytes)?, message);
    /// bytes[20] ^= 1;
    /// assert!(Message::from_bytes(&bytes).is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut w = Writer::new(self.body.kind(), 96 + self.body.long_part());
        w.cluster(self.cluster);
        w.id(&self.from);
        w.number(self.from_incarnation.get());
        w.id(&self.to);
        w.number(self.to_incarnation.get());
        w.number(self.term);
        self.body.write(&mut w);
        let bytes = w.finish();
        debug_assert_eq!(Message::from_bytes(&bytes).as_ref(), Ok(self), "a receiver reads what is sent");
        bytes
    }

    /// The message that these bytes are.
    ///
    /// # Errors
    /// When the bytes are foreign, damaged, of another major version or too long, hold an invalid value, or
    /// values that contradict each other. Never panics. Allocates at most the length of the bytes and one
    /// list of [`MAX_MEMBERS`](super::MAX_MEMBERS).
    pub fn from_bytes(bytes: &[u8]) -> Result<Message, InvalidBytes> {
        Message::read(bytes, None)
    }

    /// The message that these bytes are. Its records probably have the expected membership.
    pub(super) fn read(bytes: &[u8], expected: Option<&Arc<Membership>>) -> Result<Message, InvalidBytes> {
        let (kind, mut r) = Reader::new(bytes)?;
        r.expect(expected);
        if !Body::has_kind(kind) {
            return Err(InvalidBytes::UnknownKind(kind));
        }
        let Some(message) = Message::read_fields(kind, &mut r) else {
            return Err(r.finish().unwrap_or(InvalidBytes::Trailing));
        };
        match r.finish() {
            Some(invalid) => Err(invalid),
            None if message.is_sound() => Ok(message),
            None => Err(InvalidBytes::Field(message.body.name())),
        }
    }

    fn read_fields(kind: u8, r: &mut Reader<'_>) -> Option<Message> {
        Some(Message {
            cluster: r.cluster()?,
            from: r.id("from")?,
            from_incarnation: r.incarnation()?,
            to: r.id("to")?,
            to_incarnation: r.incarnation()?,
            term: r.number("term")?,
            body: Body::read(kind, r)?,
        })
    }
}

impl Body {
    fn has_kind(kind: u8) -> bool {
        (1..=13).contains(&kind)
    }

    fn kind(&self) -> u8 {
        match self {
            Body::PreVote { .. } => 1,
            Body::PreVoteAnswer { .. } => 2,
            Body::Vote { .. } => 3,
            Body::VoteAnswer { .. } => 4,
            Body::Append { .. } => 5,
            Body::AppendAnswer { .. } => 6,
            Body::TimeoutNow => 7,
            Body::Seek(_) => 8,
            Body::Here(_) => 9,
            Body::Join { .. } => 10,
            Body::Leave => 11,
            Body::Propose { .. } => 12,
            Body::ProposeAnswer { .. } => 13,
        }
    }

    /// The approximate length of record, data and known ids, for one allocation.
    fn long_part(&self) -> usize {
        match self {
            Body::PreVoteAnswer { offer: Some(record), .. }
            | Body::VoteAnswer { offer: Some(record), .. }
            | Body::Append { record: Some(record), .. } => {
                record.data.len() + 48 * record.membership.members().len()
            }
            Body::Propose { data, .. } => data.len(),
            Body::Seek(introduction) | Body::Here(introduction) => 16 * introduction.known.ids().len(),
            _ => 0,
        }
    }

    fn write(&self, w: &mut Writer) {
        match self {
            Body::PreVote { last } => w.position(*last),
            Body::PreVoteAnswer { granted, offer } | Body::VoteAnswer { granted, offer } => {
                w.flag(*granted);
                w.option(offer.as_ref(), Writer::record);
            }
            Body::Vote { last, given_up } => {
                w.position(*last);
                w.option(*given_up, Writer::number);
            }
            Body::Append { last, record, committed, round, hold_ms } => {
                w.position(*last);
                w.option(record.as_ref(), Writer::record);
                w.position(*committed);
                w.number(*round);
                w.number(*hold_ms);
            }
            Body::AppendAnswer { matched, round } => {
                w.number(*matched);
                w.number(*round);
            }
            Body::TimeoutNow | Body::Leave => {}
            Body::Seek(introduction) | Body::Here(introduction) => introduction.write(w),
            Body::Join { address, priority, is_witness, known } => {
                w.bytes(address.as_bytes());
                w.byte(*priority);
                w.flag(*is_witness);
                w.known(known);
            }
            Body::Propose { request, expected, data } => {
                w.number(*request);
                w.option(*expected, Writer::number);
                w.bytes(data);
            }
            Body::ProposeAnswer { request, result } => {
                w.number(*request);
                write_result(w, result);
            }
        }
    }

    /// The fields of a body of one of the known kinds.
    fn read(kind: u8, r: &mut Reader<'_>) -> Option<Body> {
        Some(match kind {
            1 => Body::PreVote { last: r.position("last")? },
            2 => Body::PreVoteAnswer { granted: r.flag("granted")?, offer: r.optional_record("offer")? },
            3 => Body::Vote { last: r.position("last")?, given_up: r.option("given_up", Reader::number)? },
            4 => Body::VoteAnswer { granted: r.flag("granted")?, offer: r.optional_record("offer")? },
            5 => Body::Append {
                last: r.position("last")?,
                record: r.optional_record("record")?,
                committed: r.position("committed")?,
                round: r.number("round")?,
                hold_ms: r.hold_ms()?,
            },
            6 => Body::AppendAnswer { matched: r.number("matched")?, round: r.number("round")? },
            7 => Body::TimeoutNow,
            8 => Body::Seek(Introduction::read(r)?),
            9 => Body::Here(Introduction::read(r)?),
            10 => Body::Join {
                address: r.address()?,
                priority: r.byte("priority")?,
                is_witness: r.flag("is_witness")?,
                known: r.known()?,
            },
            11 => Body::Leave,
            12 => Body::Propose {
                request: r.number("request")?,
                expected: r.option("expected", Reader::number)?,
                data: r.data()?,
            },
            _ => Body::ProposeAnswer { request: r.number("request")?, result: read_result(r)? },
        })
    }
}

impl Introduction {
    fn write(&self, w: &mut Writer) {
        w.byte(match self.standing {
            Standing::Blank => 0,
            Standing::Founding => 1,
            Standing::Bound => 2,
            Standing::Left => 3,
        });
        w.flag(self.may_found);
        w.number(self.wait);
        w.option(self.leader.as_ref(), Writer::id);
        w.known(&self.known);
    }

    fn read(r: &mut Reader<'_>) -> Option<Introduction> {
        let standing = match r.byte("standing")? {
            0 => Standing::Blank,
            1 => Standing::Founding,
            2 => Standing::Bound,
            3 => Standing::Left,
            _ => return r.invalid("standing"),
        };
        Some(Introduction {
            standing,
            may_found: r.flag("may_found")?,
            wait: r.number("wait")?,
            leader: r.option("leader", Reader::id)?,
            known: r.known()?,
        })
    }
}

fn write_result(w: &mut Writer, result: &Result<u64, Refusal>) {
    let (code, number) = match result {
        Ok(index) => (0, Some(*index)),
        Err(Refusal::NotLeader(leader)) => {
            w.byte(1);
            return w.option(leader.as_ref(), Writer::id);
        }
        Err(Refusal::NotReady) => (2, None),
        Err(Refusal::Busy) => (3, None),
        Err(Refusal::TooLarge(limit)) => (4, Some(*limit)),
        Err(Refusal::IndexMismatch(index)) => (5, Some(*index)),
        Err(Refusal::Unknown) => (6, None),
        Err(Refusal::NotVoter) => (7, None),
        Err(Refusal::NoQuorum) => (8, None),
    };
    w.byte(code);
    if let Some(number) = number {
        w.number(number);
    }
}

fn read_result(r: &mut Reader<'_>) -> Option<Result<u64, Refusal>> {
    Some(match r.byte("result")? {
        0 => Ok(r.number("result")?),
        1 => Err(Refusal::NotLeader(r.option("leader", Reader::id)?)),
        2 => Err(Refusal::NotReady),
        3 => Err(Refusal::Busy),
        4 => Err(Refusal::TooLarge(r.number("result")?)),
        5 => Err(Refusal::IndexMismatch(r.number("result")?)),
        6 => Err(Refusal::Unknown),
        7 => Err(Refusal::NotVoter),
        8 => Err(Refusal::NoQuorum),
        _ => return r.invalid("result"),
    })
}
