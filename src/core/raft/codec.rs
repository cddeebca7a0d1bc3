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
use super::membership::{MAX_ADDRESS_BYTES, MAX_MEMBERS, Member, Membership, Profile};
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
        }
    }
}

impl ::core::error::Error for InvalidBytes {}

/// Writes one message or durable state: header, fields, checksum.
pub(super) struct Writer(Vec<u8>);

impl Writer {
    #[cfg_attr(not(target_family = "wasm"), inline)]
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

    #[cfg_attr(not(target_family = "wasm"), inline)]
    pub(super) fn byte(&mut self, byte: u8) {
        self.0.push(byte);
    }

    pub(super) fn flag(&mut self, flag: bool) {
        self.0.push(u8::from(flag));
    }

    #[cfg_attr(not(target_family = "wasm"), inline)]
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

/// Reads the fields of bytes whose header and checksum are right. A method that reads a field returns `None`
/// if the field is invalid. The reason is kept here until [`Reader::finish`]: passed up from each field, it
/// would double the code that reads them.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    rest: &'a [u8],
    is_newer: bool,
    /// A membership that the records probably have.
    expected: Option<&'a Arc<Membership>>,
    invalid: Option<InvalidBytes>,
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
        let is_newer = *minor > VERSION.1;
        Ok((*kind, Reader { rest: &body[HEADER..], is_newer, expected: None, invalid: None }))
    }

    /// Records share this membership if they have an equal one: that is told by its bytes, and saves reading
    /// it.
    pub(super) fn expect(&mut self, membership: Option<&'a Arc<Membership>>) {
        self.expected = membership;
    }

    /// Why the bytes are invalid, after all fields were read or one could not be. Bytes of a newer version
    /// may have more fields.
    pub(super) fn finish(self) -> Option<InvalidBytes> {
        let has_more = !self.rest.is_empty() && !self.is_newer;
        self.invalid.or(has_more.then_some(InvalidBytes::Trailing))
    }

    /// Notes why the bytes are invalid.
    fn fail<T>(&mut self, invalid: InvalidBytes) -> Option<T> {
        self.invalid = Some(invalid);
        None
    }

    /// Notes that a field is invalid or cut off.
    pub(super) fn invalid<T>(&mut self, field: &'static str) -> Option<T> {
        self.fail(InvalidBytes::Field(field))
    }

    #[cfg_attr(not(target_family = "wasm"), inline)]
    fn take(&mut self, length: usize, field: &'static str) -> Option<&'a [u8]> {
        if length > self.rest.len() {
            return self.invalid(field);
        }
        let (taken, rest) = self.rest.split_at(length);
        self.rest = rest;
        Some(taken)
    }

    #[cfg_attr(not(target_family = "wasm"), inline)]
    pub(super) fn byte(&mut self, field: &'static str) -> Option<u8> {
        Some(self.take(1, field)?[0])
    }

    pub(super) fn flag(&mut self, field: &'static str) -> Option<bool> {
        match self.byte(field)? {
            0 => Some(false),
            1 => Some(true),
            _ => self.invalid(field),
        }
    }

    #[cfg_attr(not(target_family = "wasm"), inline)]
    pub(super) fn number(&mut self, field: &'static str) -> Option<u64> {
        match self.rest.split_first() {
            // Most numbers are small.
            Some((byte, rest)) if *byte < 0x80 => {
                self.rest = rest;
                Some(u64::from(*byte))
            }
            _ => self.long_number(field),
        }
    }

    fn long_number(&mut self, field: &'static str) -> Option<u64> {
        let mut number = 0;
        for shift in (0..56).step_by(7) {
            let byte = self.byte(field)?;
            number |= u64::from(byte & 0x7F) << shift;
            if byte < 0x80 {
                let is_shortest = byte != 0 || shift == 0;
                let is_in_range = number < 1 << 53;
                return if is_shortest && is_in_range { Some(number) } else { self.invalid(field) };
            }
        }
        self.invalid(field)
    }

    /// A length or a count that is at most `most`.
    #[cfg_attr(not(target_family = "wasm"), inline)]
    fn length(&mut self, most: usize, field: &'static str) -> Option<usize> {
        let length = self.number(field)?;
        if length <= most as u64 { Some(length as usize) } else { self.invalid(field) }
    }

    /// A length that is at most `most`, and that many bytes.
    #[cfg_attr(not(target_family = "wasm"), inline)]
    fn bytes(&mut self, most: usize, field: &'static str) -> Option<&'a [u8]> {
        let length = self.length(most, field)?;
        self.take(length, field)
    }

    pub(super) fn data(&mut self) -> Option<Arc<[u8]>> {
        self.bytes(MAX_DATA_BYTES, "data").map(Arc::from)
    }

    #[cfg_attr(not(target_family = "wasm"), inline(always))]
    pub(super) fn id(&mut self, field: &'static str) -> Option<MemberId> {
        let id = self.bytes(MemberId::MAX_BYTES, field)?;
        MemberId::plain(id).or_else(|| self.other_id(id, field))
    }

    fn other_id(&mut self, id: &'a [u8], field: &'static str) -> Option<MemberId> {
        let id = self.text(id, field)?;
        MemberId::new(id).map_or_else(|invalid| self.fail(InvalidBytes::Id(invalid)), Some)
    }

    pub(super) fn known(&mut self) -> Option<KnownIds> {
        let count = self.length(MAX_KNOWN, "known")?;
        let mut known = KnownIds::with_room(count);
        for _ in 0..count {
            let id = self.id("known")?;
            if known.ids().last().is_some_and(|last| *last >= id) {
                return self.invalid("known");
            }
            known.insert(id);
        }
        Some(known)
    }

    fn text(&mut self, bytes: &'a [u8], field: &'static str) -> Option<&'a str> {
        ::core::str::from_utf8(bytes).ok().or_else(|| self.invalid(field))
    }

    pub(super) fn address(&mut self) -> Option<Box<str>> {
        let bytes = self.bytes(MAX_ADDRESS_BYTES, "address")?;
        self.text(bytes, "address").map(Box::from)
    }

    pub(super) fn incarnation(&mut self) -> Option<Incarnation> {
        Some(Incarnation::new(self.number("incarnation")?).unwrap_or_default())
    }

    /// For how long a vote is withheld: bounded, or one message could silence a voter for ever.
    pub(super) fn hold_ms(&mut self) -> Option<u64> {
        let hold_ms = self.number("hold_ms")?;
        if hold_ms <= MAX_HOLD_MS { Some(hold_ms) } else { self.invalid("hold_ms") }
    }

    pub(super) fn cluster(&mut self) -> Option<ClusterId> {
        let mut cluster = [0; 16];
        cluster.copy_from_slice(self.take(16, "cluster")?);
        Some(ClusterId(cluster))
    }

    #[cfg_attr(not(target_family = "wasm"), inline)]
    pub(super) fn position(&mut self, field: &'static str) -> Option<Position> {
        Some(Position { term: self.number(field)?, index: self.number(field)? })
    }

    pub(super) fn option<T>(
        &mut self,
        field: &'static str,
        read: fn(&mut Reader<'a>, &'static str) -> Option<T>,
    ) -> Option<Option<T>> {
        if self.flag(field)? { read(self, field).map(Some) } else { Some(None) }
    }

    pub(super) fn optional_record(&mut self, field: &'static str) -> Option<Option<Record>> {
        self.option(field, |r, _| r.record())
    }

    fn profile(&mut self) -> Option<Profile> {
        Some(Profile {
            id: self.id("member")?,
            incarnation: self.incarnation()?,
            address: self.address()?,
            priority: self.byte("priority")?,
            is_witness: self.flag("is_witness")?,
        })
    }

    pub(super) fn membership(&mut self) -> Option<Membership> {
        let count = self.length(MAX_MEMBERS, "membership")?;
        let mut members = Vec::with_capacity(count);
        for _ in 0..count {
            let profile = self.profile()?;
            let parts = self.byte("part")?;
            if parts > 15 {
                return self.invalid("part");
            }
            let [is_voter, is_outgoing, is_learner, is_joining] = [1, 2, 4, 8].map(|bit| parts & bit != 0);
            members.push(Member { profile, is_voter, is_outgoing, is_learner, is_joining });
        }
        if !members.is_sorted_by(|a, b| a.profile.id < b.profile.id) {
            return self.invalid("member");
        }
        Membership::new(members).ok().or_else(|| self.invalid("membership"))
    }

    pub(super) fn record(&mut self) -> Option<Record> {
        Some(Record {
            position: self.position("position")?,
            cluster: self.cluster()?,
            membership: self.shared_membership()?,
            data: self.data()?,
        })
    }

    fn shared_membership(&mut self) -> Option<Arc<Membership>> {
        let rest_after = |expected: &Membership| self.rest.strip_prefix(expected.bytes());
        let Some((expected, rest)) = self.expected.and_then(|it| Some((it, rest_after(it)?))) else {
            return self.membership().map(Arc::new);
        };
        self.rest = rest;
        Some(expected.clone())
    }
}
