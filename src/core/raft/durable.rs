//! The durable state of a member: one small blob, which the host keeps in a file and gives back at the next
//! start.

use alloc::sync::Arc;
use alloc::vec::Vec;

use super::codec::{InvalidBytes, Reader, Writer};
use super::id::{ClusterId, Incarnation, KnownIds, MemberId};
use super::membership::Membership;
use super::record::{Position, Record};

/// The durable state of a member: what it must not forget. As bytes it begins with `ER` and the format
/// version, as a message does, has kind 65, 66 or 67, and ends with the XXH64 of all before.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Durable {
    /// The member. State of another id is refused at a start.
    pub id: MemberId,
    /// Its incarnation.
    pub incarnation: Incarnation,
    /// Its relation to a cluster.
    pub state: DurableState,
}

/// A member's relation to a cluster, with what it must not forget for that.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum DurableState {
    /// The member belongs to no cluster.
    Blank {
        /// The ids that it knows.
        known: KnownIds,
        /// The cluster that it will join, and the member that named it. Only that member can change its mind.
        heard: Option<(MemberId, ClusterId)>,
        /// Above each term that it had in a cluster which it gave up. It joins or founds another one in this
        /// term or a later one, so that tokens grow.
        term: u64,
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
    /// The candidate that it voted for in this term, and that candidate's incarnation: another incarnation of
    /// it may have forgotten that it has the vote.
    pub vote: Option<(MemberId, Incarnation)>,
    /// For how many milliseconds it withholds its vote after it heard a leader, and after a start; at most
    /// [`MAX_HOLD_MS`](super::MAX_HOLD_MS).
    pub hold_ms: u64,
    /// Whether the cluster accepted data or admitted a member: such a cluster yields to no other.
    pub is_established: bool,
    /// The ids that a founder knows, until its cluster is established.
    pub known: KnownIds,
    /// The newest record that the member knows to be committed.
    pub committed: Record,
    /// A newer record, if there is one. It may be committed already.
    pub uncommitted: Option<Record>,
}

impl Bound {
    /// What stands in for the state of a member of a cluster while the member belongs to none: no members, no
    /// data.
    pub(super) fn outside(term: u64) -> Bound {
        let record = Record {
            position: Position::ZERO,
            cluster: ClusterId::NONE,
            membership: Arc::default(),
            data: Arc::default(),
        };
        Bound::new(term, record)
    }

    /// The state of a member of a cluster that has done nothing yet.
    pub(super) fn new(term: u64, committed: Record) -> Bound {
        Bound {
            term,
            vote: None,
            hold_ms: 0,
            is_established: false,
            known: KnownIds::default(),
            committed,
            uncommitted: None,
        }
    }

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
        let kind = match &self.state {
            DurableState::Bound(bound) => return bound.to_bytes(&self.id, self.incarnation),
            DurableState::Blank { .. } => BLANK,
            DurableState::Left { .. } => LEFT,
        };
        let mut w = Writer::new(kind, 256);
        w.id(&self.id);
        w.number(self.incarnation.get());
        match &self.state {
            DurableState::Bound(_) => {}
            DurableState::Blank { known, heard, term } => {
                w.known(known);
                w.option(heard.as_ref(), |w, (by, cluster)| {
                    w.id(by);
                    w.cluster(*cluster);
                });
                w.number(*term);
            }
            DurableState::Left { cluster, term, membership } => {
                w.cluster(*cluster);
                w.number(*term);
                w.membership(membership);
            }
        }
        let bytes = w.finish();
        debug_assert_eq!(Durable::from_bytes(&bytes).as_ref(), Ok(self), "a member reads its own state");
        bytes
    }

    /// The state that these bytes are.
    ///
    /// # Errors
    /// When the bytes are foreign, damaged, of another major version, too long, or hold an invalid value. A
    /// host must not take such bytes for "no state": a voter that forgets can elect two leaders or lose
    /// committed data.
    pub fn from_bytes(bytes: &[u8]) -> Result<Durable, InvalidBytes> {
        Durable::read(bytes, None)
    }

    /// The state that these bytes are. Its records probably have the expected membership.
    pub(crate) fn read(bytes: &[u8], expected: Option<&Arc<Membership>>) -> Result<Durable, InvalidBytes> {
        let (kind, mut r) = Reader::new(bytes)?;
        r.expect(expected);
        if !(BLANK..=LEFT).contains(&kind) {
            return Err(InvalidBytes::UnknownKind(kind));
        }
        match (Durable::read_fields(kind, &mut r), r.finish()) {
            (Some(durable), None) => durable.check().map(|()| durable),
            (_, invalid) => Err(invalid.unwrap_or(InvalidBytes::Trailing)),
        }
    }

    fn read_fields(kind: u8, r: &mut Reader<'_>) -> Option<Durable> {
        let (id, incarnation) = (r.id("id")?, r.incarnation()?);
        let state = match kind {
            BLANK => DurableState::Blank {
                known: r.known()?,
                heard: r.option("heard", |r, field| Some((r.id(field)?, r.cluster()?)))?,
                term: r.number("term")?,
            },
            BOUND => DurableState::Bound(Bound::read(r)?),
            _ => DurableState::Left {
                cluster: r.cluster()?,
                term: r.number("term")?,
                membership: Arc::new(r.membership()?),
            },
        };
        Some(Durable { id, incarnation, state })
    }

    /// Checks that the parts of the state agree with each other.
    ///
    /// # Errors
    /// When the incarnation is unknown, the term or an index is beyond [`Position::LARGEST`], no cluster is
    /// named, or a bound member has a committed record of a later term than its own, or an uncommitted one
    /// that does not follow the committed.
    pub fn check(&self) -> Result<(), InvalidBytes> {
        if self.incarnation == Incarnation::UNKNOWN {
            return Err(InvalidBytes::Field("incarnation"));
        }
        let (DurableState::Bound(Bound { term, .. })
        | DurableState::Blank { term, .. }
        | DurableState::Left { term, .. }) = &self.state;
        if *term > Position::LARGEST {
            return Err(InvalidBytes::Field("term"));
        }
        match &self.state {
            DurableState::Bound(bound) => bound.check(),
            DurableState::Left { cluster: ClusterId::NONE, .. } => Err(InvalidBytes::Field("cluster")),
            _ => Ok(()),
        }
    }
}

const BLANK: u8 = 65;
const BOUND: u8 = 66;
const LEFT: u8 = 67;

impl Bound {
    /// The durable state of a member of a cluster as bytes.
    pub(super) fn to_bytes(&self, id: &MemberId, incarnation: Incarnation) -> Vec<u8> {
        let mut w = Writer::new(BOUND, 256 + self.committed.data.len() + self.last().data.len());
        w.id(id);
        w.number(incarnation.get());
        self.write(&mut w);
        let bytes = w.finish();
        debug_assert!(Durable::from_bytes(&bytes).is_ok(), "a member reads its own state");
        bytes
    }

    fn write(&self, w: &mut Writer) {
        w.number(self.term);
        w.option(self.vote.as_ref(), |w, (id, incarnation)| {
            w.id(id);
            w.number(incarnation.get());
        });
        w.number(self.hold_ms);
        w.flag(self.is_established);
        w.known(&self.known);
        w.record(&self.committed);
        w.option(self.uncommitted.as_ref(), Writer::record);
    }

    fn read(r: &mut Reader<'_>) -> Option<Bound> {
        let bound = Bound {
            term: r.number("term")?,
            vote: r.option("vote", |r, field| Some((r.id(field)?, r.incarnation()?)))?,
            hold_ms: r.hold_ms()?,
            is_established: r.flag("is_established")?,
            known: r.known()?,
            committed: r.record()?,
            uncommitted: r.optional_record("uncommitted")?,
        };
        Some(bound)
    }

    fn check(&self) -> Result<(), InvalidBytes> {
        let committed = &self.committed;
        let is_in_range =
            committed.position.term <= self.term && self.last().position.index <= Position::LARGEST;
        if !is_in_range || committed.cluster == ClusterId::NONE {
            return Err(InvalidBytes::Field("committed"));
        }
        let is_sound = |record: &Record| {
            (committed.position.term..=self.term).contains(&record.position.term)
                && record.position.index > committed.position.index
                && committed.cluster.may_become(record.cluster)
        };
        if !self.uncommitted.as_ref().is_none_or(is_sound) {
            return Err(InvalidBytes::Field("uncommitted"));
        }
        Ok(())
    }
}
