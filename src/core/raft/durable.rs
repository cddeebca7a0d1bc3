//! The durable state of a member: one small blob, which the host keeps in a file and gives back at the next
//! start.

use alloc::sync::Arc;
use alloc::vec::Vec;

use super::codec::{InvalidBytes, Reader, Writer};
use super::id::{ClusterId, Incarnation, MemberId};
use super::membership::Membership;
use super::record::Record;

/// What a member must not forget. As bytes it begins with `ER` and the format version, as a message does, has
/// kind 65, 66 or 67, and ends with the XXH64 of all before.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Durable {
    /// The member. State of another id is refused at a start.
    pub id: MemberId,
    /// Its incarnation.
    pub incarnation: Incarnation,
    /// How it stands to a cluster.
    pub state: DurableState,
}

/// How a member stands to a cluster, with what it must not forget for that.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum DurableState {
    /// The member belongs to no cluster.
    Blank {
        /// Everyone that it knows.
        known: Vec<MemberId>,
        /// The cluster that it heard of and will join.
        heard: Option<ClusterId>,
    },
    /// The member belongs to a cluster.
    Bound(Bound),
    /// The member left a cluster, and only ever rejoins that one.
    Left {
        /// The cluster.
        cluster: ClusterId,
        /// The term that it had when it left.
        term: u64,
        /// The cluster's members, as far as it knew them.
        membership: Arc<Membership>,
    },
}

/// What a member of a cluster must not forget.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Bound {
    /// The member's term.
    pub term: u64,
    /// The candidate that it voted for in this term.
    pub vote: Option<MemberId>,
    /// For how many milliseconds it withholds its vote after a leader was heard, and after a start.
    pub hold_ms: u64,
    /// The cluster accepted data or a member: it yields to no other cluster any more.
    pub has_standing: bool,
    /// The newest record that the member knows to be committed.
    pub committed: Record,
    /// A record after it that a leader made and that may be committed.
    pub uncommitted: Option<Record>,
}

impl Bound {
    /// The member's newest record.
    #[must_use]
    pub fn last(&self) -> &Record {
        self.uncommitted.as_ref().unwrap_or(&self.committed)
    }
}

impl Durable {
    /// The state as bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let (kind, room) = match &self.state {
            DurableState::Blank { .. } => (BLANK, 64),
            DurableState::Bound(bound) => (BOUND, 256 + bound.committed.data.len() + bound.last().data.len()),
            DurableState::Left { .. } => (LEFT, 256),
        };
        let mut w = Writer::new(kind, room);
        w.id(&self.id);
        w.number(self.incarnation.get());
        match &self.state {
            DurableState::Blank { known, heard } => {
                w.ids(known);
                w.option(*heard, Writer::cluster);
            }
            DurableState::Bound(bound) => bound.write(&mut w),
            DurableState::Left { cluster, term, membership } => {
                w.cluster(*cluster);
                w.number(*term);
                w.membership(membership);
            }
        }
        w.finish()
    }

    /// The state that these bytes are.
    ///
    /// # Errors
    /// When the bytes are foreign, damaged, of another major version, too long, or hold an invalid value. A
    /// host must not take such bytes for "no state": a voter that forgets can break the promises.
    pub fn from_bytes(bytes: &[u8]) -> Result<Durable, InvalidBytes> {
        let (kind, mut r) = Reader::new(bytes)?;
        if !(BLANK..=LEFT).contains(&kind) {
            return Err(InvalidBytes::UnknownKind(kind));
        }
        let (id, incarnation) = (r.id("id")?, r.incarnation()?);
        let state = match kind {
            BLANK => {
                DurableState::Blank { known: r.ids("known")?, heard: r.option("heard", |r| r.cluster())? }
            }
            BOUND => DurableState::Bound(Bound::read(&mut r)?),
            _ => DurableState::Left {
                cluster: r.cluster()?,
                term: r.number("term")?,
                membership: Arc::new(r.membership()?),
            },
        };
        r.finish()?;
        Ok(Durable { id, incarnation, state })
    }
}

const BLANK: u8 = 65;
const BOUND: u8 = 66;
const LEFT: u8 = 67;

impl Bound {
    fn write(&self, w: &mut Writer) {
        w.number(self.term);
        w.option(self.vote.as_ref(), Writer::id);
        w.number(self.hold_ms);
        w.flag(self.has_standing);
        w.record(&self.committed);
        w.option(self.uncommitted.as_ref(), Writer::record);
    }

    fn read(r: &mut Reader<'_>) -> Result<Bound, InvalidBytes> {
        let bound = Bound {
            term: r.number("term")?,
            vote: r.option("vote", |r| r.id("vote"))?,
            hold_ms: r.number("hold_ms")?,
            has_standing: r.flag("has_standing")?,
            committed: r.record()?,
            uncommitted: r.option("uncommitted", Reader::record)?,
        };
        let is_after = |record: &Record| record.position > bound.committed.position;
        if !bound.uncommitted.as_ref().is_none_or(is_after) || bound.last().position.term > bound.term {
            return Err(InvalidBytes::Field("uncommitted"));
        }
        Ok(bound)
    }
}
