//! The machine's state and its getters.

use ::core::time::Duration;
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;

use super::acquaintances::Acquaintances;
use super::change::{Change, Transition};
use super::config::Config;
use super::contact::Contact;
use super::durability::Durability;
use super::durable::{Bound, Durable, DurableState};
use super::forwarded::Forwarded;
use super::id::{ClusterId, Incarnation, KnownIds, MemberId};
use super::interface::{Event, Leadership, Output, Refused, Role};
use super::membership::Membership;
use super::message::{Body, Message, Refusal, Standing};
use super::peer::Peer;
use super::proposals::{Origin, Proposals};
use super::record::{Position, Record};
use crate::core::lease::DeposedReason;
use crate::core::random::Random;
use crate::core::{FencingToken, Instant};

/// The Raft machine of one member. See the [module](super) for the contract.
#[derive(Clone, Debug)]
pub struct Raft {
    pub(super) config: Config,
    pub(super) now: Instant,
    pub(super) random: Random,
    /// Whether the member belongs to a cluster.
    pub(super) relation: Relation,
    /// The state of a member of a cluster. One that belongs to none has an empty record and no members, so
    /// that it neither votes nor stands; one that has left has the last members.
    pub(super) bound: Bound,
    /// The cluster that the member will join, and the member that named it.
    pub(super) heard: Option<(MemberId, ClusterId)>,
    pub(super) acquaintances: Acquaintances,
    /// When the member next asks those outside its cluster which one they belong to.
    pub(super) seek_at: Instant,
    /// Whom the member asked to be admitted since it last asked around.
    pub(super) joins: Vec<MemberId>,
    /// Whether the member founds or joins a cluster by itself; not after it was removed from one.
    pub(super) wants_in: bool,
    /// Whether a leader counted this member since the start.
    pub(super) is_confirmed: bool,
    /// Whether the host wants to leave.
    pub(super) leaves: bool,
    /// Whether the membership has to learn this member's address and priority, which the start may have
    /// changed.
    pub(super) is_profile_news: bool,
    /// Members of other established clusters that the host was told of.
    pub(super) strangers: Vec<(MemberId, ClusterId)>,
    pub(super) state: State,
    /// The leader of this term, as far as the member knows.
    pub(super) leader: Option<MemberId>,
    /// Until when the member gives its vote to nobody, because it heard a leader, or because it may have
    /// heard one before it started.
    pub(super) withheld_until: Instant,
    /// When a member that does not lead stands for election.
    pub(super) election_at: Instant,
    /// Stands for election by force then, unless it hears of a later term: it gave leadership up in this
    /// term.
    pub(super) reclaim_at: Option<Instant>,
    pub(super) durability: Durability,
    /// When a write is tried again after one failed.
    pub(super) retry_at: Instant,
    pub(super) reason: Option<DeposedReason>,
    pub(super) refused: Refused,
    /// Proposals that the leader was sent and has not answered.
    pub(super) forwarded: Forwarded,
    /// To whom a witness offered its record, each with the time until which it does not again.
    pub(super) offered: Vec<(MemberId, Instant)>,
    /// When the member next asks to be removed.
    pub(super) leaves_at: Option<Instant>,
    /// When a leader that leaves hands leadership over although its removal is not committed.
    pub(super) hands_over_at: Instant,
    /// Whether the host was told that the member is no member any more.
    pub(super) has_left: bool,
    /// How often in a row leadership was handed to a voter of higher priority in vain.
    pub(super) vain_hand_overs: u32,
    pub(super) outputs: VecDeque<Output>,
}

/// Whether a member belongs to a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Relation {
    /// To none.
    Blank,
    /// To one.
    Bound,
    /// To none since it left one, which is the only one that it joins.
    Left,
}

#[derive(Clone, Debug)]
pub(super) enum State {
    Follower,
    /// The votes, by the voter's place in the membership of the newest record.
    PreCandidate(Vec<Option<bool>>),
    Candidate {
        votes: Vec<Option<bool>>,
        /// The version of the durable state that has the member's vote for itself.
        own_vote: u64,
    },
    Leader(Box<Leading>),
}

/// What a leader keeps besides its record.
#[derive(Clone, Debug)]
pub(super) struct Leading {
    /// The leader's own place in the membership of the newest record, if that lists it.
    pub(super) own_place: Option<usize>,
    /// Whether it is a quorum by itself.
    pub(super) is_only_voter: bool,
    /// By the member's place in the membership of the newest record.
    pub(super) progress: Vec<Progress>,
    pub(super) contact: Contact,
    /// The version of the durable state that has the newest record.
    pub(super) own_record: u64,
    pub(super) heartbeat_at: Instant,
    pub(super) trust: Trust,
    /// Whether the host was told to start no new work.
    pub(super) is_stop_reported: bool,
    pub(super) proposals: Proposals,
    pub(super) transfer: Option<Transfer>,
    /// A change of the members that waits for its record.
    pub(super) change: Option<Changing>,
    /// The host's change that is in the record in flight.
    pub(super) change_in_flight: Option<u64>,
    /// Members that the record in flight removes. They are told when it is committed.
    pub(super) removed: Vec<Peer>,
    /// When leadership may be handed to a voter of higher priority.
    pub(super) prefers_from: Instant,
}

/// A change of the members that waits until no record is in flight.
#[derive(Clone, Debug)]
pub(super) struct Changing {
    /// The host's number; none if a member asked for it, or the leader itself wants it.
    pub(super) request: Option<u64>,
    pub(super) changes: Vec<Change>,
    pub(super) transition: Transition,
}

/// A hand-over that waits until the voter has the newest record.
#[derive(Clone, Copy, Debug)]
pub(super) struct Transfer {
    pub(super) to: MemberId,
    /// The host's number; none if the leader itself prefers the voter.
    pub(super) request: Option<u64>,
    pub(super) until: Instant,
}

/// What a leader knows of a member.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Progress {
    /// The incarnation that answered.
    pub(super) incarnation: Incarnation,
    /// The first round of heartbeats since the member was listed. Its answers to earlier ones are from before
    /// it left and came back.
    pub(super) first_round: u64,
    /// The index of the newest record that the member keeps.
    pub(super) matched: u64,
    /// When the newest heartbeat that the member answered was sent.
    pub(super) answered: Instant,
    /// Since when this leader counts on the member: the beginning of the term, or when it was listed.
    pub(super) since: Instant,
}

impl Progress {
    /// Nothing is known yet.
    pub(super) fn new(first_round: u64, since: Instant) -> Progress {
        Progress { first_round, since, ..Progress::default() }
    }
}

/// How far a leader's term has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trust {
    /// The host was not told of the term yet.
    Pending,
    /// The host was told that it leads.
    Elected,
    /// The host was told that the term is over, or will never be told of it.
    Ended,
}

impl Raft {
    // ---- Getters ----

    /// The member's id.
    #[must_use]
    pub fn id(&self) -> MemberId {
        self.config.id
    }

    /// The settings that the machine was made with.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The member's relation to a cluster, whose id its committed record has ([`Raft::committed`]). A blank
    /// member's record is empty, and so is that of one that has left, but for the last members.
    #[must_use]
    pub fn standing(&self) -> Standing {
        match self.relation {
            Relation::Blank => Standing::Blank,
            Relation::Left => Standing::Left,
            Relation::Bound if self.bound.is_established => Standing::Bound,
            Relation::Bound => Standing::Founding,
        }
    }

    /// The cluster that a blank member waits to be admitted to, and the member that named it.
    #[must_use]
    pub fn heard(&self) -> Option<(MemberId, ClusterId)> {
        self.heard
    }

    /// The ids outside the cluster that the member knows.
    #[must_use]
    pub fn known(&self) -> &KnownIds {
        self.acquaintances.known()
    }

    /// The member's role in the protocol.
    #[must_use]
    pub fn role(&self) -> Role {
        match self.state {
            State::Follower => Role::Follower,
            State::PreCandidate(_) => Role::PreCandidate,
            State::Candidate { .. } => Role::Candidate,
            State::Leader(_) => Role::Leader,
        }
    }

    /// The member's term.
    #[must_use]
    pub fn term(&self) -> u64 {
        self.bound.term
    }

    /// The candidate that the member voted for in its term.
    #[must_use]
    pub fn vote(&self) -> Option<MemberId> {
        self.bound.vote.map(|(id, _)| id)
    }

    /// The leader of the member's term, as far as it knows.
    #[must_use]
    pub fn leader(&self) -> Option<MemberId> {
        self.leader
    }

    /// The member's newest record, which may not be committed yet.
    #[must_use]
    pub fn last(&self) -> &Record {
        self.bound.last()
    }

    /// The newest record that the member knows to be committed.
    #[must_use]
    pub fn committed(&self) -> &Record {
        &self.bound.committed
    }

    /// The membership in force: that of the newest record.
    #[must_use]
    pub fn membership(&self) -> &Membership {
        &self.bound.last().membership
    }

    /// The latest time that an input had.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.now
    }

    /// How many messages the member refused.
    #[must_use]
    pub fn refused(&self) -> Refused {
        self.refused
    }

    /// Whether this member leads at `now`. False from the instant on at which trust ends, whether or not
    /// [`Input::Timeout`](super::Input::Timeout) was given; an earlier `now` than the latest seen counts as
    /// the latest seen.
    #[must_use]
    pub fn leadership(&self, now: Instant) -> Leadership {
        let now = now.max(self.now);
        let trusted_until = match &self.state {
            State::Leader(leading) if leading.trust == Trust::Elected => self.trusted_until(leading),
            _ => Instant::ZERO,
        };
        let is_leader = now < trusted_until;
        Leadership {
            is_leader,
            role: self.role(),
            token: FencingToken::new(self.bound.term).filter(|_| is_leader),
            trusted_until: if is_leader { trusted_until } else { Instant::ZERO },
            work_until: if is_leader { self.work_until(trusted_until) } else { Instant::ZERO },
            reason: self.reason,
        }
    }

    /// When trust ends by the heartbeats that were answered so far.
    pub(super) fn trusted_until(&self, leading: &Leading) -> Instant {
        if leading.is_only_voter || !self.config.protections.check_quorum {
            Instant::MAX
        } else {
            leading.contact.trusted_until()
        }
    }

    /// When new work must stop, before trust ends.
    pub(super) fn work_until(&self, trusted_until: Instant) -> Instant {
        let is_endless = trusted_until == Instant::MAX;
        if is_endless { trusted_until } else { trusted_until.saturating_sub(self.config.timing.min() / 10) }
    }

    // ---- Helpers ----

    /// What the member must not forget now.
    pub(super) fn durable(&self) -> Vec<u8> {
        let (id, incarnation) = (self.config.id, self.config.incarnation);
        if self.relation == Relation::Bound && self.bound.is_established {
            return self.bound.to_bytes(&id, incarnation);
        }
        let known = || self.acquaintances.known().clone();
        let committed = &self.bound.committed;
        let state = match self.relation {
            Relation::Blank => {
                DurableState::Blank { known: known(), heard: self.heard, term: self.bound.term }
            }
            Relation::Bound => {
                let mut bound = self.bound.clone();
                bound.known = known();
                DurableState::Bound(bound)
            }
            Relation::Left => DurableState::Left {
                cluster: committed.cluster,
                term: self.bound.term,
                membership: committed.membership.clone(),
            },
        };
        Durable { id, incarnation, state }.to_bytes()
    }

    /// Answers a proposal.
    pub(super) fn answer(&mut self, origin: Origin, result: Result<u64, Refusal>) {
        match origin {
            Origin::Host(request) => self.emit(Event::Answered { request, result }),
            Origin::Member(to, request) => {
                self.send(to, self.bound.term, Body::ProposeAnswer { request, result });
            }
        }
    }

    /// Whether a record of this term is committed. Only then does a leader know that its newest record has
    /// all that was committed before.
    pub(super) fn has_committed_in_term(&self) -> bool {
        self.bound.committed.position.term == self.bound.term || !self.config.protections.own_term
    }

    /// Whether a quorum answered this leader lately enough.
    pub(super) fn is_trustworthy(&self) -> bool {
        matches!(&self.state, State::Leader(leading) if self.now < self.trusted_until(leading))
    }

    /// This member, as others know it.
    pub(super) fn own(&self) -> Peer {
        Peer { id: self.config.id, incarnation: self.config.incarnation }
    }

    /// The member's own place in the membership in force, if that lists this incarnation of it.
    pub(super) fn own_place(&self) -> Option<usize> {
        self.place_of(self.own())
    }

    /// A member's place, if the membership in force lists this incarnation of it, or none yet.
    pub(super) fn place_of(&self, peer: Peer) -> Option<usize> {
        let place = self.membership().place(&peer.id)?;
        self.membership().members()[place].profile.is_of(peer.incarnation).then_some(place)
    }

    /// Whether a member votes in the membership in force, or in the last committed one. A voter that an
    /// uncommitted record removes may still be needed to commit that record.
    ///
    /// Source: D. Ongaro, "Consensus: bridging theory and practice", 2014, section 4.2.2.
    pub(super) fn votes(&self, peer: Peer) -> bool {
        // A founding list lists no incarnations: its first record tells who is a member.
        let has_begun = self.is_open() && self.bound.uncommitted.is_some();
        let before = if has_begun { self.membership() } else { &self.bound.committed.membership };
        [self.membership(), before].iter().any(|membership| {
            let listed = membership.get(&peer.id);
            listed.is_some_and(|member| member.votes() && member.profile.is_of(peer.incarnation))
        })
    }

    /// Whether this member may stand for election.
    pub(super) fn may_stand(&self) -> bool {
        // No number is left after the largest: hostile messages can bring a cluster there, and it stands
        // still.
        let has_numbers =
            self.bound.term < Position::LARGEST && self.last().position.index < Position::LARGEST;
        let is_bound = self.relation == Relation::Bound;
        let is_able = !self.config.is_witness && !self.durability.has_failed();
        has_numbers && is_bound && is_able && self.votes(self.own())
    }

    /// Whether this is a learner that may lead as a voter. Only witnesses may keep the record that makes it
    /// one, and the leader may be gone: it asks for votes, which it is refused, to be offered that record.
    pub(super) fn may_ask(&self) -> bool {
        let own = self.own_place().map(|place| &self.membership().members()[place]);
        let is_learner = own.is_some_and(|member| member.is_learner);
        let is_able = self.relation == Relation::Bound && self.bound.term < Position::LARGEST;
        is_learner && is_able && !self.config.is_witness && !self.durability.has_failed()
    }

    pub(super) fn is_only_voter(&self) -> bool {
        let own = self.own_place();
        self.membership().has_quorum(|place| Some(place) == own)
    }

    pub(super) fn leading(&mut self) -> Option<&mut Leading> {
        match &mut self.state {
            State::Leader(leading) => Some(leading),
            _ => None,
        }
    }

    /// For how long a leader may be trusted that is heard now, as far as this member knows.
    fn hold(&self) -> Duration {
        self.config.timing.min().max(Duration::from_millis(self.bound.hold_ms))
    }

    /// From now on the member gives no vote for as long as a leader may be trusted that it heard now.
    pub(super) fn withhold(&mut self) {
        self.withheld_until = self.withheld_until.max(self.now.saturating_add(self.hold()));
    }

    /// Whether the member gives no vote now.
    pub(super) fn withholds(&self) -> bool {
        self.config.protections.withholding && self.now < self.withheld_until
    }

    /// Draws a new time for the next election, after the time for which votes are withheld.
    pub(super) fn restart_election_time(&mut self) {
        let timing = self.config.timing;
        let drawn = self.random.below(timing.max() - timing.min());
        self.election_at = self.now.saturating_add(self.hold()).saturating_add(drawn);
    }

    pub(super) fn emit(&mut self, event: Event) {
        self.outputs.push_back(Output::Event(event));
    }

    /// Sends a message that promises nothing durable.
    pub(super) fn send(&mut self, to: Peer, term: u64, body: Body) {
        self.dispatch(self.message(self.bound.committed.cluster, to, term, body));
    }

    pub(super) fn dispatch(&mut self, message: Message) {
        self.outputs.push_back(Output::Send { to: message.to, bytes: message.to_bytes() });
    }

    /// Sends a message that promises what the member's state says: once that is durable.
    pub(super) fn send_durably(&mut self, to: Peer, body: Body) {
        self.dispatch_durably(self.message(self.bound.committed.cluster, to, self.bound.term, body));
    }

    /// Sends a message once the member's state is durable.
    pub(super) fn dispatch_durably(&mut self, message: Message) {
        if self.durability.is_durable(self.durability.current()) {
            self.dispatch(message);
        } else {
            self.durability.hold(message.to, message.body.name(), message.to_bytes());
        }
    }

    pub(super) fn message(&self, cluster: ClusterId, to: Peer, term: u64, body: Body) -> Message {
        Message {
            cluster,
            from: self.config.id,
            from_incarnation: self.config.incarnation,
            to: to.id,
            to_incarnation: to.incarnation,
            term,
            body,
        }
    }

    /// The places of the membership in force.
    pub(super) fn places(&self) -> ::core::ops::Range<usize> {
        0..self.membership().members().len()
    }

    /// The leader, if it is another member that is listed.
    pub(super) fn other_leader(&self) -> Option<Peer> {
        self.other(self.membership().place(&self.leader?)?)
    }

    /// The member at a place, unless it is this one.
    pub(super) fn other(&self, place: usize) -> Option<Peer> {
        let peer = self.membership().members()[place].profile.peer();
        (peer.id != self.config.id).then_some(peer)
    }

    /// The member at a place that is asked before an election, unless it is this one: a voter, or a witness,
    /// which may be a voter by a record that it offers.
    pub(super) fn other_asked(&self, place: usize) -> Option<Peer> {
        let member = &self.membership().members()[place];
        self.other(place).filter(|_| member.votes() || member.profile.is_witness)
    }

    /// The voter at a place, unless it is this member.
    pub(super) fn other_voter(&self, place: usize) -> Option<Peer> {
        let member = &self.membership().members()[place];
        self.other(place).filter(|_| member.votes())
    }
}
