//! Reading and writing of the fields that messages and durable state are made of.
//!
//! | field | bytes |
//! |---|---|
//! | number | LEB128: seven bits a byte, the lowest first; below 2⁵³; no byte more than needed |
//! | flags, small numbers | one byte |
//! | text, bytes | the length as a number, then the bytes |
//! | list | the count as a number, then the elements |
//! | option | a flag byte 0 or 1, then the value if it is 1 |

use ::core::fmt;
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::checksum::xxh64;
use super::id::{ClusterId, Incarnation, InvalidId, KnownIds, MAX_KNOWN, MemberId};
use super::membership::{InvalidMembership, MAX_ADDRESS_BYTES, MAX_MEMBERS, Member, Membership, Profile};
use super::number;
use super::record::{MAX_DATA_BYTES, MAX_HOLD_MS, Position, Record};

/// The version of the format that is written. Another major version is refused. A newer minor version may add
/// kinds, which an older one refuses as unknown, and fields at the end of a kind, which an older one skips,
/// and drops when it writes the state again. So nothing that a member must not forget may come with a minor
/// version, and neither may a new value of a field that there is, nor a field of a record or of a member,
/// which stand within a kind.
pub(super) const VERSION: (u8, u8) = (1, 0);

/// Maximum length of a message or of durable state, in bytes: two records of the maximum size and their other
/// fields.
pub const MAX_BYTES: usize = 2 * (MAX_DATA_BYTES + MAX_MEMBERS * 384) + 1024;

const MAGIC: [u8; 2] = *b"ER";
const HEADER: usize = 5;
const CHECKSUM: usize = 8;

/// Why bytes were refused. Nothing of them took effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvalidBytes {
    /// The bytes are neither a message nor durable state of Elector.
    Foreign,
    /// The bytes have another major version of the format. Names it.
    Version(u8),
    /// There are more bytes than [`MAX_BYTES`]. Names their number.
    TooLong(usize),
    /// The bytes are damaged or truncated: the checksum differs.
    Damaged,
    /// The kind is not one of those that were asked for: a newer version's, or a message where durable state
    /// was asked for, or the other way round.
    UnknownKind(u8),
    /// A field is invalid or cut off. Names it.
    Field(&'static str),
    /// There are bytes after the last field.
    Trailing,
    /// A member id is invalid.
    Id(InvalidId),
    /// A membership is invalid.
    Membership(InvalidMembership),
}

impl fmt::Display for InvalidBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            InvalidBytes::Foreign => f.write_str("the bytes do not begin as those of Elector's Raft do"),
            InvalidBytes::Version(found) => {
                let older = if *found > VERSION.0 { "this program" } else { "the sender" };
                write!(
                    f,
                    "the bytes have format version {found}; this program reads version {}: update {older}",
                    VERSION.0
                )
            }
            InvalidBytes::TooLong(found) => {
                write!(f, "there are {found} bytes; at most {MAX_BYTES} are allowed")
            }
            InvalidBytes::Damaged => f.write_str("the checksum differs: the bytes are damaged or truncated"),
            InvalidBytes::UnknownKind(found) => write!(f, "kind {found} is not known here"),
            InvalidBytes::Field(field) => write!(f, "the field `{field}` is invalid or cut off"),
            InvalidBytes::Trailing => f.write_str("there are bytes after the last field"),
            InvalidBytes::Id(invalid) => fmt::Display::fmt(invalid, f),
            InvalidBytes::Membership(invalid) => fmt::Display::fmt(invalid, f),
        }
    }
}

impl ::core::error::Error for InvalidBytes {}

/// A field that is invalid or cut off. Within two words, where an [`InvalidBytes`] has room for a member id:
/// reading a field returns in registers.
#[derive(Clone, Copy, Debug)]
pub(super) struct InvalidField(&'static str);

impl From<InvalidField> for InvalidBytes {
    fn from(InvalidField(field): InvalidField) -> InvalidBytes {
        InvalidBytes::Field(field)
    }
}

/// Writes one message or durable state: header, fields, checksum.
pub(super) struct Writer(Vec<u8>);

impl Writer {
    pub(super) fn new(kind: u8, room: usize) -> Writer {
        let mut bytes = Vec::with_capacity(HEADER + room + CHECKSUM);
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&[VERSION.0, VERSION.1, kind]);
        Writer(bytes)
    }

    /// The bytes, with their checksum.
    pub(super) fn finish(mut self) -> Vec<u8> {
        let checksum = xxh64(&self.0);
        self.0.extend_from_slice(&checksum.to_le_bytes());
        self.0
    }

    #[inline]
    pub(super) fn byte(&mut self, byte: u8) {
        self.0.push(byte);
    }

    pub(super) fn flag(&mut self, flag: bool) {
        self.0.push(u8::from(flag));
    }

    #[inline]
    pub(super) fn number(&mut self, number: u64) {
        number::write(&mut self.0, number);
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    pub(super) fn id(&mut self, id: &MemberId) {
        self.bytes(id.as_bytes());
    }

    pub(super) fn known(&mut self, known: &KnownIds) {
        self.number(known.ids().len() as u64);
        known.ids().iter().for_each(|id| self.id(id));
    }

    pub(super) fn cluster(&mut self, cluster: ClusterId) {
        self.0.extend_from_slice(&cluster.0);
    }

    pub(super) fn position(&mut self, position: Position) {
        self.number(position.term);
        self.number(position.index);
    }

    pub(super) fn option<T>(&mut self, value: Option<T>, write: impl FnOnce(&mut Writer, T)) {
        self.flag(value.is_some());
        if let Some(value) = value {
            write(self, value);
        }
    }

    pub(super) fn membership(&mut self, membership: &Membership) {
        self.0.extend_from_slice(membership.bytes());
    }

    pub(super) fn record(&mut self, record: &Record) {
        self.position(record.position);
        self.cluster(record.cluster);
        self.membership(&record.membership);
        self.bytes(&record.data);
    }
}

fn text<'a>(bytes: &'a [u8], field: &'static str) -> Result<&'a str, InvalidField> {
    ::core::str::from_utf8(bytes).map_err(|_| InvalidField(field))
}

/// Reads the fields of bytes whose header and checksum are right.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    rest: &'a [u8],
    is_newer: bool,
    /// A membership that the records probably have.
    expected: Option<&'a Arc<Membership>>,
}

impl<'a> Reader<'a> {
    /// Checks header and checksum, and returns the kind and a reader of the fields.
    pub(super) fn new(bytes: &'a [u8]) -> Result<(u8, Reader<'a>), InvalidBytes> {
        if bytes.len() > MAX_BYTES {
            return Err(InvalidBytes::TooLong(bytes.len()));
        }
        let Some(([m0, m1, major, minor, kind], _)) = bytes.split_first_chunk::<HEADER>() else {
            return Err(if MAGIC.starts_with(&bytes[..bytes.len().min(2)]) {
                InvalidBytes::Damaged
            } else {
                InvalidBytes::Foreign
            });
        };
        if [*m0, *m1] != MAGIC {
            return Err(InvalidBytes::Foreign);
        }
        if *major != VERSION.0 {
            return Err(InvalidBytes::Version(*major));
        }
        let (body, checksum) = bytes.split_last_chunk::<CHECKSUM>().ok_or(InvalidBytes::Damaged)?;
        if body.len() < HEADER || xxh64(body) != u64::from_le_bytes(*checksum) {
            return Err(InvalidBytes::Damaged);
        }
        Ok((*kind, Reader { rest: &body[HEADER..], is_newer: *minor > VERSION.1, expected: None }))
    }

    /// Records share this membership if they have an equal one: that is told by its bytes, and saves reading
    /// it.
    pub(super) fn expect(&mut self, membership: Option<&'a Arc<Membership>>) {
        self.expected = membership;
    }

    /// Checks that all fields were read. Bytes of a newer version may have more.
    pub(super) fn finish(&self) -> Result<(), InvalidBytes> {
        if self.rest.is_empty() || self.is_newer { Ok(()) } else { Err(InvalidBytes::Trailing) }
    }

    #[inline]
    fn take(&mut self, length: usize, field: &'static str) -> Result<&'a [u8], InvalidField> {
        if length > self.rest.len() {
            return Err(InvalidField(field));
        }
        let (taken, rest) = self.rest.split_at(length);
        self.rest = rest;
        Ok(taken)
    }

    #[inline]
    pub(super) fn byte(&mut self, field: &'static str) -> Result<u8, InvalidField> {
        Ok(self.take(1, field)?[0])
    }

    pub(super) fn flag(&mut self, field: &'static str) -> Result<bool, InvalidField> {
        match self.byte(field)? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(InvalidField(field)),
        }
    }

    #[inline]
    pub(super) fn number(&mut self, field: &'static str) -> Result<u64, InvalidField> {
        match self.rest.split_first() {
            // Most numbers are small.
            Some((byte, rest)) if *byte < 0x80 => {
                self.rest = rest;
                Ok(u64::from(*byte))
            }
            _ => self.long_number(field),
        }
    }

    fn long_number(&mut self, field: &'static str) -> Result<u64, InvalidField> {
        let mut number = 0;
        for shift in (0..56).step_by(7) {
            let byte = self.byte(field)?;
            number |= u64::from(byte & 0x7F) << shift;
            if byte < 0x80 {
                let is_shortest = byte != 0 || shift == 0;
                let is_in_range = number < 1 << 53;
                return if is_shortest && is_in_range { Ok(number) } else { Err(InvalidField(field)) };
            }
        }
        Err(InvalidField(field))
    }

    /// A length or a count that is at most `most`.
    #[inline]
    fn length(&mut self, most: usize, field: &'static str) -> Result<usize, InvalidField> {
        let length = self.number(field)?;
        if length <= most as u64 { Ok(length as usize) } else { Err(InvalidField(field)) }
    }

    /// A length that is at most `most`, and that many bytes.
    #[inline]
    fn bytes(&mut self, most: usize, field: &'static str) -> Result<&'a [u8], InvalidField> {
        let length = self.length(most, field)?;
        self.take(length, field)
    }

    pub(super) fn data(&mut self) -> Result<Arc<[u8]>, InvalidField> {
        self.bytes(MAX_DATA_BYTES, "data").map(Arc::from)
    }

    #[inline]
    pub(super) fn id(&mut self, field: &'static str) -> Result<MemberId, InvalidBytes> {
        let id = self.bytes(MemberId::MAX_BYTES, field)?;
        match MemberId::plain(id) {
            Some(id) => Ok(id),
            None => MemberId::new(text(id, field)?).map_err(InvalidBytes::Id),
        }
    }

    pub(super) fn known(&mut self) -> Result<KnownIds, InvalidBytes> {
        let count = self.length(MAX_KNOWN, "known")?;
        let ids: Vec<MemberId> = (0..count).map(|_| self.id("known")).collect::<Result<_, _>>()?;
        if ids.is_sorted_by(|a, b| a < b) {
            Ok(ids.into_iter().collect())
        } else {
            Err(InvalidBytes::Field("known"))
        }
    }

    pub(super) fn address(&mut self) -> Result<Box<str>, InvalidField> {
        text(self.bytes(MAX_ADDRESS_BYTES, "address")?, "address").map(Box::from)
    }

    pub(super) fn incarnation(&mut self) -> Result<Incarnation, InvalidField> {
        Ok(Incarnation::new(self.number("incarnation")?).unwrap_or_default())
    }

    /// For how long a vote is withheld: bounded, or one message could silence a voter for ever.
    pub(super) fn hold_ms(&mut self) -> Result<u64, InvalidField> {
        let hold_ms = self.number("hold_ms")?;
        if hold_ms <= MAX_HOLD_MS { Ok(hold_ms) } else { Err(InvalidField("hold_ms")) }
    }

    pub(super) fn cluster(&mut self) -> Result<ClusterId, InvalidField> {
        let mut cluster = [0; 16];
        cluster.copy_from_slice(self.take(16, "cluster")?);
        Ok(ClusterId(cluster))
    }

    #[inline]
    pub(super) fn position(&mut self, field: &'static str) -> Result<Position, InvalidField> {
        Ok(Position { term: self.number(field)?, index: self.number(field)? })
    }

    pub(super) fn option<T>(
        &mut self,
        field: &'static str,
        read: impl FnOnce(&mut Reader<'a>) -> Result<T, InvalidBytes>,
    ) -> Result<Option<T>, InvalidBytes> {
        if self.flag(field)? { read(self).map(Some) } else { Ok(None) }
    }

    fn profile(&mut self) -> Result<Profile, InvalidBytes> {
        Ok(Profile {
            id: self.id("member")?,
            incarnation: self.incarnation()?,
            address: self.address()?,
            priority: self.byte("priority")?,
            is_witness: self.flag("is_witness")?,
        })
    }

    pub(super) fn membership(&mut self) -> Result<Membership, InvalidBytes> {
        let count = self.length(MAX_MEMBERS, "membership")?;
        let mut members = Vec::with_capacity(count);
        for _ in 0..count {
            let profile = self.profile()?;
            let parts = self.byte("part")?;
            if parts > 15 {
                return Err(InvalidBytes::Field("part"));
            }
            let [is_voter, is_outgoing, is_learner, is_joining] = [1, 2, 4, 8].map(|bit| parts & bit != 0);
            members.push(Member { profile, is_voter, is_outgoing, is_learner, is_joining });
        }
        if !members.is_sorted_by(|a, b| a.profile.id < b.profile.id) {
            return Err(InvalidBytes::Field("member"));
        }
        Membership::new(members).map_err(InvalidBytes::Membership)
    }

    pub(super) fn record(&mut self) -> Result<Record, InvalidBytes> {
        Ok(Record {
            position: self.position("position")?,
            cluster: self.cluster()?,
            membership: self.shared_membership()?,
            data: self.data()?,
        })
    }

    fn shared_membership(&mut self) -> Result<Arc<Membership>, InvalidBytes> {
        let rest_after = |expected: &Membership| self.rest.strip_prefix(expected.bytes());
        let Some((expected, rest)) = self.expected.and_then(|it| Some((it, rest_after(it)?))) else {
            return self.membership().map(Arc::new);
        };
        self.rest = rest;
        Ok(expected.clone())
    }
}
