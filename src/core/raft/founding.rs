//! How a cluster begins: one member founds it alone and the others join, or the members of a founding list
//! begin it together.

use ::core::time::Duration;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::change::{Change, Transition};
use super::checksum::xxh64;
use super::durable::Bound;
use super::id::{ClusterId, Incarnation, MemberId};
use super::interface::Event;
use super::membership::{Membership, Profile};
use super::record::{Position, Record};
use super::start::StartRefused;
use super::state::{Raft, Relation, State};
use crate::core::Instant;
use crate::core::lease::DeposedReason;

impl Raft {
    // ---- Alone ----

    /// Founds a cluster of this member alone, if it may: see [`Acquaintances::may_found`].
    ///
    /// [`Acquaintances::may_found`]: super::acquaintances::Acquaintances::may_found
    pub(super) fn found_alone(&mut self) {
        let is_time = self.waits_to_found() && self.acquaintances.may_found(self.config.id, self.now);
        if !is_time || self.durability.has_failed() {
            return;
        }
        let own = Change::Voter(self.profile());
        let Ok(membership) = Membership::default().apply(&[own], Transition::Auto) else { return };
        let cluster = self.draw_cluster(0);
        self.begin(cluster, membership);
        self.announce_standing();
        self.stand();
    }

    /// A member that was suspended asked nobody meanwhile: those that it did not hear were not silent.
    pub(super) fn wait_anew_if_suspended(&mut self) {
        let founds = !self.bound.is_established;
        if founds && self.now > self.seek_at.saturating_add(self.acquaintances.wait()) {
            self.acquaintances.wait_anew(self.now);
        }
    }

    /// When a blank member that knows nobody founds a cluster. With others it looks at every heartbeat.
    pub(super) fn founding_due(&self) -> Instant {
        let until = self.acquaintances.waits_until();
        if self.waits_to_found() && until > self.now { until } else { Instant::MAX }
    }

    fn waits_to_found(&self) -> bool {
        self.relation == Relation::Blank && self.may_found() && self.heard.is_none()
    }

    /// Whether this member is one that may found a cluster.
    pub(super) fn may_found(&self) -> bool {
        self.wants_in && !self.config.is_witness
    }

    /// Whether the cluster may accept its first data or member now: everybody known to a founder belongs to
    /// no cluster, or is silent. From then on it yields to no other.
    pub(super) fn may_be_established(&self, joiner: Option<MemberId>) -> bool {
        let is_alone = !self.bound.is_established && !self.bound.committed.cluster.is_open();
        !is_alone || self.acquaintances.are_blank(joiner, self.now)
    }

    /// The cluster has accepted data or a member.
    pub(super) fn establish(&mut self) {
        if !self.bound.is_established {
            self.bound.is_established = true;
            self.durability.changed();
            self.announce_standing();
        }
    }

    /// A founder gives up its cluster, in which nobody else is and nothing was accepted, for another one.
    pub(super) fn yield_to(&mut self, by: MemberId, cluster: ClusterId) {
        self.end_term(DeposedReason::Lost);
        self.state = State::Follower;
        self.restart_election_time();
        self.set_leader(None);
        // Whoever admits it leads in this term or a later one: tokens grow.
        self.bound = Bound::outside((self.bound.term + 1).min(Position::LARGEST));
        self.relation = Relation::Blank;
        self.heard = (!cluster.is_open()).then_some((by, cluster));
        self.acquaintances.wait_anew(self.now);
        // What it would promise is of a record that it has dropped.
        self.durability.drop_held();
        self.durability.changed();
        self.announce_standing();
    }

    // ---- By a list ----

    /// A member that belongs to no cluster takes part in the one of its founding list. It is a voter at once,
    /// as all on the list are, and the first leader's record begins the cluster.
    pub(super) fn found_by_list(&mut self) -> Result<(), StartRefused> {
        let Some(list) = &self.config.founding else { return Ok(()) };
        let key = key_of(list);
        let bound = &self.bound;
        match self.relation {
            Relation::Blank if self.heard.is_none() => {}
            Relation::Bound if bound.committed.cluster.is_open() && bound.committed.cluster.key() != key => {
                // It may have acknowledged a record, which may be committed.
                if bound.uncommitted.is_some() {
                    return Err(StartRefused::OtherFoundingList);
                }
            }
            _ => return Ok(()),
        }
        let own = list.get(&self.config.id);
        if own.is_none_or(|own| own.profile.is_witness != self.config.is_witness) {
            return Err(StartRefused::NotInFoundingList);
        }
        let mut members = list.members().to_vec();
        for member in &mut members {
            member.profile.incarnation = Incarnation::UNKNOWN;
        }
        let Ok(membership) = Membership::new(members) else { return Err(StartRefused::NotInFoundingList) };
        // What it promised with another list holds.
        let (vote, hold_ms) = (self.bound.vote, self.bound.hold_ms);
        self.begin(ClusterId::of(key, 0), membership);
        (self.bound.vote, self.bound.hold_ms) = (vote, hold_ms);
        Ok(())
    }

    /// Whether the first record of the founding list is not committed yet, as far as this member knows.
    pub(super) fn is_open(&self) -> bool {
        self.relation == Relation::Bound && self.bound.committed.cluster.is_open()
    }

    /// Whether the cluster of the list has begun, as another member says, and one that keeps this record has
    /// no record of it: it may not begin the cluster anew.
    pub(super) fn has_begun_without(&self, last: Position) -> bool {
        self.is_open() && self.heard.is_some() && last == Position::ZERO
    }

    /// Whether this member may keep a record of a cluster: of its own, and, if that is still open, of the one
    /// that it has heard of.
    pub(super) fn may_keep(&self, cluster: ClusterId) -> bool {
        let is_heard = self.heard.is_none_or(|(_, heard)| heard == cluster);
        is_heard && self.bound.committed.cluster.may_become(cluster)
    }

    // ---- Both ----

    /// Begins as a member of a cluster that has done nothing yet.
    fn begin(&mut self, cluster: ClusterId, membership: Membership) {
        let term = self.bound.term;
        let committed = Record {
            position: Position::ZERO,
            cluster,
            membership: Arc::new(membership),
            data: Arc::default(),
        };
        self.bound = Bound::new(term, committed);
        self.relation = Relation::Bound;
        self.durability.changed();
    }

    /// The cluster of the next record: the first one of a founding list draws its genesis.
    pub(super) fn next_cluster(&mut self) -> ClusterId {
        let cluster = self.last().cluster;
        if cluster.is_open() { self.draw_cluster(cluster.key()) } else { cluster }
    }

    /// A new cluster's id. Random: a cluster that is founded once more, with the same ids, is another one.
    fn draw_cluster(&mut self, key: u64) -> ClusterId {
        let drawn = self.random.below(Duration::from_nanos(u64::MAX)).as_nanos() as u64;
        let mut seed = drawn.to_le_bytes().to_vec();
        seed.extend_from_slice(&self.config.incarnation.get().to_le_bytes());
        seed.extend_from_slice(self.config.id.as_bytes());
        ClusterId::of(key, xxh64(&seed).max(1))
    }

    /// The newest membership. A founding list has no incarnations: its leader begins with its own.
    pub(super) fn membership_with_own_incarnation(&self) -> Arc<Membership> {
        let membership = &self.last().membership;
        let own = self.own_place().map(|place| &membership.members()[place].profile);
        match own {
            Some(own) if own.incarnation == Incarnation::UNKNOWN => {
                let profile = Profile { incarnation: self.config.incarnation, ..own.clone() };
                Arc::new(membership.with_profile(profile))
            }
            _ => membership.clone(),
        }
    }

    /// This member as it wants to be listed.
    pub(super) fn profile(&self) -> Profile {
        Profile {
            id: self.config.id,
            incarnation: self.config.incarnation,
            address: self.config.address.clone(),
            priority: self.config.priority,
            is_witness: self.config.is_witness,
        }
    }

    /// Tells the host its relation to a cluster.
    pub(super) fn announce_standing(&mut self) {
        let cluster = self.bound.committed.cluster;
        self.emit(Event::StandingChanged { standing: self.standing(), cluster });
    }
}

/// A hash of the members of a founding list and of their parts; never 0.
fn key_of(list: &Membership) -> u64 {
    let mut bytes = Vec::new();
    for member in list.members() {
        let parts = [member.is_voter, member.is_learner, member.profile.is_witness].map(u8::from);
        bytes.push(member.profile.id.as_bytes().len() as u8);
        bytes.extend_from_slice(member.profile.id.as_bytes());
        bytes.extend_from_slice(&parts);
    }
    xxh64(&bytes).max(1)
}
