//! The identities of a Raft cluster: members, their incarnations, and clusters.

use ::core::fmt;
use ::core::hash::{Hash, Hasher};
use ::core::ops::Deref;
use alloc::vec::Vec;

/// The id of a member: 1 to 64 bytes of UTF-8 without control characters.
///
/// A member is identified by its id, never by its address, which may change at any restart. Stored inline:
/// cheap to copy and to compare.
///
/// ```
/// use elector::core::raft::MemberId;
///
/// let id = MemberId::new("db-1")?;
/// assert_eq!(&*id, "db-1");
/// assert_eq!(MemberId::new("").unwrap_err().to_string(), "the member id is empty; give it 1 to 64 bytes");
/// # Ok::<(), elector::core::raft::InvalidId>(())
/// ```
#[derive(Clone, Copy)]
pub struct MemberId {
    bytes: [u8; MemberId::MAX_BYTES],
    length: Length,
}

/// Whether small code counts more than fast code: in WebAssembly.
const SMALL: bool = cfg!(target_family = "wasm");

/// A whole word: ids are copied in words, and a processor waits when it reads a word that was written byte by
/// byte. In WebAssembly that would only make the module larger.
#[cfg(not(target_family = "wasm"))]
type Length = u64;
#[cfg(target_family = "wasm")]
type Length = u8;

impl MemberId {
    /// Maximum length of an id, in bytes.
    pub const MAX_BYTES: usize = 64;

    /// Checks `id`.
    ///
    /// # Errors
    /// When the id is empty, longer than [`MemberId::MAX_BYTES`] or holds a control character.
    pub fn new(id: &str) -> Result<MemberId, InvalidId> {
        if let Some(plain) = MemberId::plain(id.as_bytes()) {
            return Ok(plain);
        }
        if id.is_empty() {
            return Err(InvalidId::Empty);
        }
        if id.len() > MemberId::MAX_BYTES {
            return Err(InvalidId::TooLong(id.len()));
        }
        if let Some((at, _)) = id.char_indices().find(|(_, c)| c.is_control()) {
            return Err(InvalidId::Control(at));
        }
        let mut bytes = [0; MemberId::MAX_BYTES];
        bytes[..id.len()].copy_from_slice(id.as_bytes());
        Ok(MemberId { bytes, length: id.len() as Length })
    }

    /// The id of these bytes if it is valid and has nothing but printable ASCII, as most ids have. Always
    /// `None` where [`SMALL`] code counts more.
    #[cfg_attr(not(target_family = "wasm"), inline(always))]
    pub(super) fn plain(id: &[u8]) -> Option<MemberId> {
        if SMALL || !(1..=MemberId::MAX_BYTES).contains(&id.len()) {
            return None;
        }
        let is_printable = |byte: &u8| (0x20..0x7F).contains(byte);
        let (mut bytes, mut is_plain) = ([0; MemberId::MAX_BYTES], true);
        if id.len() <= 8 {
            // Written as one word: see `Length`.
            let mut head = 0;
            for byte in id.iter().rev() {
                is_plain &= is_printable(byte);
                head = head << 8 | u64::from(*byte);
            }
            bytes[..8].copy_from_slice(&u64::to_le_bytes(head));
        } else {
            is_plain = id.iter().all(is_printable);
            bytes[..id.len()].copy_from_slice(id);
        }
        is_plain.then_some(MemberId { bytes, length: id.len() as Length })
    }

    /// The id as a string.
    #[must_use]
    pub fn as_str(&self) -> &str {
        ::core::str::from_utf8(self.as_bytes()).unwrap_or_default()
    }

    /// The first eight bytes, as a number that sorts as they do.
    fn head(&self) -> u64 {
        self.bytes.first_chunk().map_or(0, |head| u64::from_be_bytes(*head))
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.length as usize]
    }
}

impl Deref for MemberId {
    type Target = str;

    fn deref(&self) -> &str {
        self.as_str()
    }
}

// Bytes beyond the length are zero, and no id has a zero byte. So the arrays compare as the ids do, and most
// ids are told apart by their first eight bytes, as one number.
impl PartialEq for MemberId {
    fn eq(&self, other: &MemberId) -> bool {
        let heads = self.length == other.length && self.head() == other.head();
        heads && (self.length <= 8 || self.bytes == other.bytes)
    }
}

impl Eq for MemberId {}

impl PartialOrd for MemberId {
    fn partial_cmp(&self, other: &MemberId) -> Option<::core::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for MemberId {
    fn cmp(&self, other: &MemberId) -> ::core::cmp::Ordering {
        let heads = self.head().cmp(&other.head());
        if heads.is_ne() || self.length.max(other.length) <= 8 { heads } else { self.bytes.cmp(&other.bytes) }
    }
}

impl Hash for MemberId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_bytes().hash(state);
    }
}

impl fmt::Display for MemberId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self)
    }
}

impl fmt::Debug for MemberId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

/// Why a string is not a valid [`MemberId`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvalidId {
    /// The string is empty.
    Empty,
    /// The string has this many bytes.
    TooLong(usize),
    /// The string has a control character at this byte.
    Control(usize),
}

impl fmt::Display for InvalidId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let most = MemberId::MAX_BYTES;
        match self {
            InvalidId::Empty => write!(f, "the member id is empty; give it 1 to {most} bytes"),
            InvalidId::TooLong(found) => {
                write!(f, "the member id has {found} bytes; at most {most} are allowed")
            }
            InvalidId::Control(at) => {
                write!(f, "the member id has a control character at byte {at}; remove it")
            }
        }
    }
}

impl ::core::error::Error for InvalidId {}

/// Identifies one instance of a member's durable state; below 2⁵³. A member that lost its state comes back
/// with another incarnation, and is not the voter that it was: it may have forgotten a vote or a record.
///
/// Draw it at random when a member starts without durable state. [`Incarnation::UNKNOWN`] is listed for a
/// member whose first message has not arrived yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Incarnation(u64);

impl Incarnation {
    /// Not known yet.
    pub const UNKNOWN: Incarnation = Incarnation(0);

    /// The incarnation with this number, or `None` outside 1 to 2⁵³ − 1.
    #[must_use]
    pub const fn new(number: u64) -> Option<Incarnation> {
        if number == 0 || number >= 1 << 53 { None } else { Some(Incarnation(number)) }
    }

    /// The number; 0 if it is not known.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }
}

/// The id of one cluster: 16 bytes, so that no two clusters that were ever founded share one.
///
/// Every message carries it, so that a member ignores messages of another cluster. The first eight bytes are
/// the *key*: a hash of the list of members that founds the cluster, or 0 without such a list. The other
/// eight are the *genesis*, random. With a list the genesis is 0 until the first record is committed, which
/// has it: until then the id is *open*.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ClusterId(pub [u8; 16]);

impl ClusterId {
    /// No cluster.
    pub const NONE: ClusterId = ClusterId([0; 16]);

    /// The id with this key and genesis.
    pub(super) fn of(key: u64, genesis: u64) -> ClusterId {
        let mut bytes = [0; 16];
        let (first, second) = bytes.split_at_mut(8);
        first.copy_from_slice(&key.to_le_bytes());
        second.copy_from_slice(&genesis.to_le_bytes());
        ClusterId(bytes)
    }

    /// A hash of the list of members that founds the cluster; 0 without such a list.
    pub(super) fn key(self) -> u64 {
        self.0.first_chunk().map_or(0, |key| u64::from_le_bytes(*key))
    }

    /// Whether the cluster is one of a list of members that have not committed its first record yet.
    #[must_use]
    pub fn is_open(self) -> bool {
        self.key() != 0 && self.0[8..] == [0; 8]
    }

    /// Whether a record of `other` may follow one of this cluster: the same cluster, or the first of an open
    /// one.
    pub(super) fn may_become(self, other: ClusterId) -> bool {
        self == other || (self.is_open() && self.key() == other.key())
    }

    /// Whether members of both may be members of one cluster: the same one, or one of them is still open.
    pub(super) fn may_be(self, other: ClusterId) -> bool {
        self.may_become(other) || other.may_become(self)
    }
}

impl fmt::Display for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Maximum number of ids that a member knows before it shares a cluster with them.
pub const MAX_KNOWN: usize = 64;

/// The ids that a member knows: sorted, each once, at most [`MAX_KNOWN`].
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub struct KnownIds(Vec<MemberId>);

impl KnownIds {
    /// No id yet, and room for so many.
    pub(super) fn with_room(count: usize) -> KnownIds {
        if SMALL { KnownIds::default() } else { KnownIds(Vec::with_capacity(count.min(MAX_KNOWN))) }
    }

    /// Adds an id. Returns false if it was known, or if the set is full.
    pub fn insert(&mut self, id: MemberId) -> bool {
        // Mostly they come in order.
        let is_last = !SMALL && self.0.last().is_none_or(|last| *last < id);
        let place = if is_last { Err(self.0.len()) } else { self.0.binary_search(&id) };
        match place {
            Err(place) if self.0.len() < MAX_KNOWN => {
                self.0.insert(place, id);
                true
            }
            _ => false,
        }
    }

    /// Removes an id. Returns whether it was known.
    pub fn remove(&mut self, id: &MemberId) -> bool {
        let place = self.0.binary_search(id);
        place.map(|place| self.0.remove(place)).is_ok()
    }

    /// Whether the id is known.
    #[must_use]
    pub fn contains(&self, id: &MemberId) -> bool {
        self.0.binary_search(id).is_ok()
    }

    /// The ids, sorted.
    #[must_use]
    pub fn ids(&self) -> &[MemberId] {
        &self.0
    }
}

impl FromIterator<MemberId> for KnownIds {
    /// The first [`MAX_KNOWN`] different ids.
    fn from_iter<T: IntoIterator<Item = MemberId>>(ids: T) -> KnownIds {
        let mut known = KnownIds::default();
        ids.into_iter().for_each(|id| {
            known.insert(id);
        });
        known
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn each_refusal_of_an_id_says_what_was_found() {
        let refusal = |id: &str| MemberId::new(id).unwrap_err().to_string();
        assert_eq!(refusal(""), "the member id is empty; give it 1 to 64 bytes");
        assert_eq!(refusal(&"é".repeat(33)), "the member id has 66 bytes; at most 64 are allowed");
        assert_eq!(refusal("a\nb"), "the member id has a control character at byte 1; remove it");
        assert!(MemberId::new("a\0").is_err());
        assert_eq!(MemberId::new(&"é".repeat(32)).unwrap().as_str(), "é".repeat(32));
    }

    #[test]
    fn ids_compare_as_strings() {
        let id = |id: &str| MemberId::new(id).unwrap();
        assert!(id("10") < id("2") && id("a") < id("aa") && id("Z") < id("a"));
        assert!(id("12345678") < id("123456789") && id("123456789a") < id("123456789b"));
        assert_ne!(id("123456789a"), id("123456789b"));
        assert_eq!(id("a"), id("a"));
        assert_ne!(id("a"), id("aa"));
        assert_eq!(alloc::format!("{} {:?}", id("a"), id("a")), "a \"a\"");
    }

    #[test]
    fn known_ids_are_each_there_once() {
        let id = |id: &str| MemberId::new(id).unwrap();
        let mut known = KnownIds::default();
        assert_eq!(["b", "a", "b"].map(|name| known.insert(id(name))), [true, true, false]);
        assert_eq!(known.ids(), [id("a"), id("b")]);
    }

    #[test]
    fn incarnations_and_clusters_have_bounds_and_texts() {
        assert_eq!(Incarnation::new(0), None);
        assert_eq!(Incarnation::new(1 << 53), None);
        assert_eq!(Incarnation::new(7).map(Incarnation::get), Some(7));
        assert_eq!(ClusterId([0xa0; 16]).to_string(), "a0".repeat(16));
        assert_eq!(alloc::format!("{:?}", ClusterId::NONE), "00".repeat(16));
    }
}
