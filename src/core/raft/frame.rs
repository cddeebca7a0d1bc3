//! How states are compared that a search finds at different times: what makes no difference is left out.
//!
//! A search visits each state once. Two states are the same to it if their members do the same from now on:
//! times count by their distance from now, versions and rounds by what they stand for, and ids by numbers, so
//! that members which are alike can change places. For tests only.

use ::core::hash::{Hash, Hasher};
use ::core::time::Duration;

use super::change::Change;
use super::durable::{Bound, Durable, DurableState};
use super::id::{KnownIds, MemberId};
use super::membership::{Member, Membership, Profile};
use super::message::{Body, Introduction, Message};
use super::record::Record;
use super::wait;
use crate::core::Instant;

/// What distances and numbers are measured by.
pub struct Frame<'a> {
    /// The time.
    pub now: Instant,
    /// What happened longer ago than this happened long ago: at least the longest maximum election time.
    pub horizon: Duration,
    /// The ids, each with its number.
    pub numbers: &'a [(MemberId, u8)],
    /// When the leader of a term began a round of heartbeats, if it still leads.
    pub sent: &'a dyn Fn(u64, u64) -> Option<Instant>,
}

impl Frame<'_> {
    /// The number of an id.
    pub(super) fn id(&self, id: &MemberId) -> u8 {
        self.numbers.iter().find(|(known, _)| known == id).map_or(u8::MAX, |(_, number)| *number)
    }

    /// How far ahead a time is.
    pub(super) fn ahead(&self, at: Instant) -> Option<Duration> {
        (at < Instant::MAX).then(|| at.saturating_since(self.now))
    }

    /// How long ago something was.
    pub(super) fn age(&self, at: Instant) -> Duration {
        self.now.saturating_since(at).min(self.horizon)
    }

    /// Hashes items that have no order.
    pub(super) fn unordered<H: Hasher + Default, T>(
        &self,
        items: impl Iterator<Item = T>,
        hasher: &mut H,
        hash: impl Fn(T, &mut H),
    ) {
        let sum = items.fold(0_u64, |sum, item| {
            let mut one = H::default();
            hash(item, &mut one);
            sum.wrapping_add(one.finish())
        });
        hasher.write_u64(sum);
    }

    /// Hashes what is known of each member of a membership, by its place.
    pub(super) fn by_place<H: Hasher + Default, T>(
        &self,
        membership: &Membership,
        items: &[T],
        hasher: &mut H,
        hash: impl Fn(&T, &mut H),
    ) {
        self.unordered(membership.members().iter().zip(items), hasher, |(member, item), one| {
            self.id(&member.profile.id).hash(one);
            hash(item, one);
        });
    }

    pub(super) fn known<H: Hasher + Default>(&self, known: &KnownIds, hasher: &mut H) {
        self.unordered(known.ids().iter(), hasher, |id, one| self.id(id).hash(one));
    }

    pub(super) fn profile<H: Hasher>(&self, profile: &Profile, hasher: &mut H) {
        let Profile { id, incarnation, address, priority, is_witness } = profile;
        (self.id(id), incarnation, address, priority, is_witness).hash(hasher);
    }

    pub(super) fn membership<H: Hasher + Default>(&self, membership: &Membership, hasher: &mut H) {
        self.unordered(membership.members().iter(), hasher, |member, one| {
            let Member { profile, is_voter, is_outgoing, is_learner, is_joining } = member;
            self.profile(profile, one);
            (is_voter, is_outgoing, is_learner, is_joining).hash(one);
        });
    }

    pub(super) fn record<H: Hasher + Default>(&self, record: &Record, hasher: &mut H) {
        let Record { position, cluster, membership, data } = record;
        (position, cluster, data).hash(hasher);
        self.membership(membership, hasher);
    }

    fn offer<H: Hasher + Default>(&self, offer: Option<&Record>, hasher: &mut H) {
        offer.is_some().hash(hasher);
        if let Some(offer) = offer {
            self.record(offer, hasher);
        }
    }

    pub(super) fn change<H: Hasher>(&self, change: &Change, hasher: &mut H) {
        ::core::mem::discriminant(change).hash(hasher);
        match change {
            Change::Voter(profile) | Change::Learner(profile) | Change::Join(profile) => {
                self.profile(profile, hasher);
            }
            Change::Promote(id) | Change::Demote(id) | Change::Remove(id) => self.id(id).hash(hasher),
        }
    }

    /// Hashes a durable state.
    pub fn durable<H: Hasher + Default>(&self, durable: &Durable, hasher: &mut H) {
        let Durable { id, incarnation, state } = durable;
        (self.id(id), incarnation).hash(hasher);
        ::core::mem::discriminant(state).hash(hasher);
        match state {
            DurableState::Blank { known, heard, term } => {
                self.known(known, hasher);
                heard.as_ref().map(|(id, cluster)| (self.id(id), cluster)).hash(hasher);
                term.hash(hasher);
            }
            DurableState::Bound(bound) => self.bound(bound, hasher),
            DurableState::Left { cluster, term, membership } => {
                (cluster, term).hash(hasher);
                self.membership(membership, hasher);
            }
        }
    }

    pub(super) fn bound<H: Hasher + Default>(&self, bound: &Bound, hasher: &mut H) {
        let Bound { term, vote, hold_ms, is_established, known, committed, uncommitted } = bound;
        let vote = vote.as_ref().map(|(id, incarnation)| (self.id(id), incarnation));
        (term, vote, hold_ms, is_established).hash(hasher);
        self.known(known, hasher);
        self.record(committed, hasher);
        self.offer(uncommitted.as_ref(), hasher);
    }

    /// Hashes a message, except for the round that it belongs to: see `Frame::round_age`.
    pub fn message<H: Hasher + Default>(&self, message: &Message, hasher: &mut H) {
        let Message { cluster, from, from_incarnation, to, to_incarnation, term, body } = message;
        (cluster, self.id(from), from_incarnation, self.id(to), to_incarnation, term).hash(hasher);
        ::core::mem::discriminant(body).hash(hasher);
        match body {
            Body::PreVote { last } => last.hash(hasher),
            Body::Vote { last, given_up } => (last, given_up).hash(hasher),
            Body::PreVoteAnswer { granted, offer } | Body::VoteAnswer { granted, offer } => {
                granted.hash(hasher);
                self.offer(offer.as_ref(), hasher);
            }
            Body::Append { last, record, committed, round, hold_ms } => {
                (last, committed, *round > 0, hold_ms).hash(hasher);
                self.offer(record.as_ref(), hasher);
            }
            Body::AppendAnswer { matched, round } => (matched, *round > 0).hash(hasher),
            Body::TimeoutNow | Body::Leave => {}
            Body::Seek(introduction) | Body::Here(introduction) => {
                let Introduction { standing, may_found, wait: _, leader, known } = introduction;
                (standing, may_found, leader.as_ref().map(|id| self.id(id))).hash(hasher);
                self.known(known, hasher);
            }
            Body::Join { address, priority, is_witness, known } => {
                (address, priority, is_witness).hash(hasher);
                self.known(known, hasher);
            }
            Body::Propose { request, expected, data } => (request, expected, data).hash(hasher),
            Body::ProposeAnswer { request, result } => (request, result.is_ok()).hash(hasher),
        }
    }

    /// When the round of heartbeats, or the wait of a founder, began that a message belongs to. Some time
    /// before the horizon if its leader does not lead any more, and none if it belongs to no round.
    #[must_use]
    pub fn round_began(&self, message: &Message) -> Option<Instant> {
        match message.body {
            Body::Append { round, .. } | Body::AppendAnswer { round, .. } if round > 0 => {
                Some((self.sent)(message.term, round).unwrap_or(Instant::ZERO))
            }
            Body::Seek(Introduction { wait, .. }) | Body::Here(Introduction { wait, .. }) => {
                Some(wait::began(wait))
            }
            _ => None,
        }
    }

    /// How long ago that round began.
    pub(super) fn round_age(&self, message: &Message) -> Option<Duration> {
        self.round_began(message).map(|began| self.age(began))
    }
}
