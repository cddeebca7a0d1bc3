//! Changes of the members: which the leader makes, when, and how members leave.

use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

use super::change::{Change, Transition};
use super::durable::Bound;
use super::id::MemberId;
use super::interface::Event;
use super::membership::{Member, Membership};
use super::message::{Body, Message, Refusal};
use super::peer::Peer;
use super::proposals::Origin;
use super::record::Position;
use super::state::{Changing, Progress, Raft, Relation, State, Trust};
use crate::core::Instant;
use crate::core::lease::DeposedReason;

impl Raft {
    /// The host wants other members.
    pub(super) fn change_membership(&mut self, request: u64, changes: Vec<Change>, transition: Transition) {
        let is_free = !self.membership().is_joint() && self.has_next_index();
        let is_ready = self.has_committed_in_term() && is_free && self.may_be_established(None);
        let leader = self.leader;
        let refusal = match self.leading() {
            None => Some(Refusal::NotLeader(leader)),
            Some(leading) if leading.change.is_some() || leading.transfer.is_some() => Some(Refusal::Busy),
            Some(_) if !is_ready => Some(Refusal::NotReady),
            Some(_) => None,
        };
        if let Some(refusal) = refusal {
            return self.answer(Origin::Host(request), Err(refusal));
        }
        self.want_change(Some(request), changes, transition);
    }

    /// Whether this leader may begin a change now that no host waits for.
    pub(super) fn is_ready_for_change(&self) -> bool {
        let State::Leader(leading) = &self.state else { return false };
        let is_idle = leading.change.is_none() && leading.transfer.is_none();
        is_idle && self.has_committed_in_term() && !self.membership().is_joint()
    }

    fn want_change(&mut self, request: Option<u64>, changes: Vec<Change>, transition: Transition) {
        if let Some(leading) = self.leading() {
            leading.change = Some(Changing { request, changes, transition });
        }
        self.make_change();
    }

    /// The leader wants a change that no host waits for.
    pub(super) fn want_own_change(&mut self, change: Change) {
        self.want_change(None, vec![change], Transition::Auto);
    }

    /// Makes the record of the change that waits, if no other is in flight. Returns whether it made one.
    ///
    /// Only after a record of this leader's term is committed: before that the leader may not know a change
    /// that its predecessor committed, and two changes from one configuration can have disjoint quorums.
    pub(super) fn make_change(&mut self) -> bool {
        let is_ready = self.has_committed_in_term() && self.bound.uncommitted.is_none();
        if !is_ready || !self.has_next_index() || self.membership().is_joint() {
            return false;
        }
        let Some(change) = self.leading().and_then(|leading| leading.change.take()) else { return false };
        let changes: Vec<Change> = change.changes.into_iter().map(|change| self.gradually(change)).collect();
        let refuse = |raft: &mut Raft, event| {
            if let Some(event) = event {
                raft.emit(event);
            }
            false
        };
        let next = match self.membership().apply(&changes, change.transition) {
            Ok(next) => next,
            Err(refused) => {
                let event = change.request.map(|request| Event::ChangeRefused { request, refused });
                return refuse(self, event);
            }
        };
        if !self.has_quorum_lately(&next) {
            let result = Err(Refusal::NoQuorum);
            let event = change.request.map(|request| Event::Answered { request, result });
            return refuse(self, event);
        }
        if let Some(leading) = self.leading() {
            leading.change_in_flight = change.request;
        }
        self.establish();
        self.make_next_record(Arc::new(next));
        true
    }

    /// A new voter joins as a learner first: as a voter without the record it would count for no quorum, and
    /// the cluster could stand still until it has caught up.
    fn gradually(&self, change: Change) -> Change {
        match change {
            Change::Voter(profile) if !self.is_caught_up(&profile.id) => Change::Join(profile),
            change => change,
        }
    }

    /// Whether a member answered lately and keeps a record of this term: a record is the whole state, so it
    /// has the newest one after one more message.
    fn is_caught_up(&self, id: &MemberId) -> bool {
        let State::Leader(leading) = &self.state else { return false };
        let Some(place) = self.membership().place(id) else { return false };
        let member = &self.membership().members()[place];
        let progress = &leading.progress[place];
        member.is_voter || *id == self.config.id || (progress.matched > 0 && self.is_near(progress))
    }

    /// Whether a member answered a heartbeat that was sent within the minimum election time.
    pub(super) fn is_near(&self, progress: &Progress) -> bool {
        self.now < progress.answered.saturating_add(self.config.timing.min())
    }

    /// Whether a quorum of other voters answered within the minimum election time, and one among them that
    /// may lead, so that the cluster goes on with them. Without that a change could leave members of whom no
    /// quorum exists any more, or only witnesses.
    fn has_quorum_lately(&self, next: &Membership) -> bool {
        let State::Leader(leading) = &self.state else { return false };
        let members = next.members();
        let answers = |place: usize| {
            let profile = &members[place].profile;
            let known = self.place_of(profile.peer());
            profile.id == self.config.id || known.is_some_and(|place| self.is_near(&leading.progress[place]))
        };
        let may_lead = |place: usize| members[place].may_lead() && answers(place);
        next.has_quorum(answers) && (0..members.len()).any(may_lead)
    }

    /// Whether a number is left for another record. Only hostile messages or a hostile file bring a cluster
    /// to the largest; it keeps the members that it has then.
    fn has_next_index(&self) -> bool {
        self.last().position.index < Position::LARGEST
    }

    /// The record of a change takes the data with it that proposals wait to replace.
    fn make_next_record(&mut self, membership: Arc<Membership>) {
        let next = self.last().position.index + 1;
        let proposed = self.leading().and_then(|leading| leading.proposals.take(next));
        let data = proposed.unwrap_or_else(|| self.last().data.clone());
        self.make_record(membership, data);
    }

    /// Completes a joint change, once the joint configuration is committed. Returns whether it made a record.
    pub(super) fn leave_joint(&mut self) -> bool {
        let joint = &self.bound.committed.membership;
        let is_idle = self.bound.uncommitted.is_none() && self.has_next_index();
        let is_due = is_idle && matches!(self.state, State::Leader(_));
        match joint.leave_joint() {
            Ok(next) if is_due => {
                self.make_next_record(Arc::new(next));
                true
            }
            _ => false,
        }
    }

    /// Makes a learner that has caught up a voter, if it is one that joins.
    pub(super) fn promote(&mut self) {
        let State::Leader(leading) = &self.state else { return };
        let is_idle =
            leading.trust == Trust::Elected && leading.change.is_none() && leading.transfer.is_none();
        if !is_idle || self.membership().is_joint() {
            return;
        }
        let members = self.membership().members();
        let joins = |member: &&Member| member.is_joining && self.is_caught_up(&member.profile.id);
        let Some(id) = members.iter().find(joins).map(|member| member.profile.id) else { return };
        self.want_own_change(Change::Promote(id));
    }

    /// The members that another membership does not list any more.
    pub(super) fn removed_by(&self, next: &Membership) -> Vec<Peer> {
        let mut removed = Vec::new();
        for Member { profile, .. } in self.membership().members() {
            let stays = next.get(&profile.id).is_some_and(|next| profile.is_of(next.profile.incarnation));
            if !stays && profile.id != self.config.id {
                removed.push(profile.peer());
            }
        }
        removed
    }

    /// Tells those that were removed, once. A message that is lost is made good when they stand for election.
    pub(super) fn tell_removed(&mut self) {
        let removed =
            self.leading().map(|leading| ::core::mem::take(&mut leading.removed)).unwrap_or_default();
        for peer in removed {
            self.tell(peer);
        }
    }

    /// Sends the newest record to one that is no member.
    pub(super) fn tell(&mut self, peer: Peer) {
        let body = self.append(Some(self.last().clone()), 0);
        self.send(peer, self.bound.term, body);
    }

    /// One that is no member any more stands for election, or asks for its cluster: the leader tells it so,
    /// once that is committed.
    pub(super) fn tell_stranger(&mut self, message: &Message) {
        let is_leader = matches!(self.state, State::Leader(_));
        let is_member = self.bound.committed.membership.lists(message.sender());
        if is_leader && !is_member && self.place_of(message.sender()).is_none() {
            self.tell(message.sender());
        }
    }

    /// A leader that is no voter any more has committed that, and hands leadership over. Returns whether it
    /// did.
    pub(super) fn hand_over_if_removed(&mut self) -> bool {
        let own = self.own_place().map(|place| &self.membership().members()[place]);
        let is_voter = own.is_some_and(|member| member.is_voter);
        let is_leader = matches!(self.state, State::Leader(_));
        if !is_leader || is_voter || self.bound.uncommitted.is_some() {
            return false;
        }
        let best = self.best_successor();
        self.send_commit_notices();
        if let Some(best) = best {
            self.send(best, self.bound.term, Body::TimeoutNow);
        }
        self.follow(self.bound.term, None, DeposedReason::Released);
        true
    }

    /// The other voter to lead next: one that answers, that has the newest record or the one nearest to it,
    /// of the highest priority.
    fn best_successor(&self) -> Option<Peer> {
        let State::Leader(leading) = &self.state else { return None };
        let members = self.membership().members();
        let best = self.best_place(&|place| {
            let (member, progress) = (&members[place], &leading.progress[place]);
            let may_lead = member.may_lead() && member.profile.id != self.config.id;
            may_lead.then_some((self.is_near(progress), progress.matched, member.profile.priority))
        });
        best.and_then(|place| self.other(place))
    }

    /// The voter that a host best hands leadership to ([`Input::Transfer`](super::Input::Transfer)): by the
    /// newest record, then by priority. None unless this member leads, and another voter that may lead
    /// answered a heartbeat that was sent within the minimum election time.
    #[must_use]
    pub fn successor(&self) -> Option<MemberId> {
        let State::Leader(leading) = &self.state else { return None };
        let best = self.best_successor()?;
        let place = self.membership().place(&best.id)?;
        self.is_near(&leading.progress[place]).then_some(best.id)
    }

    /// The place of the highest rank, of those that have one.
    pub(super) fn best_place(&self, rank: &dyn Fn(usize) -> Option<(bool, u64, u8)>) -> Option<usize> {
        let ranked = self.places().filter_map(|place| Some((rank(place)?, place)));
        ranked.max().map(|(_, place)| place)
    }

    /// A record is committed: this member is one of the cluster by that, or is none any more. Then it tells
    /// the host, and waits until others admit it again; but one that was removed before it started asks for
    /// that itself.
    pub(super) fn leave_if_removed(&mut self) {
        let is_member = self.is_listed();
        if is_member {
            self.wants_in = !self.leaves;
        } else if !self.has_left && (self.is_confirmed || self.leaves) {
            self.leaves_at = None;
            self.wants_in = false;
            self.emit(Event::Left);
        }
        if self.has_left == is_member {
            self.has_left = !is_member;
            self.durability.changed();
        }
    }

    /// A leader counts this member, or it leads itself.
    pub(super) fn confirm(&mut self) {
        self.is_confirmed = self.is_confirmed || (!self.is_open() && self.own_place().is_some());
    }

    /// Whether the last committed record lists this incarnation of the member.
    pub(super) fn is_listed(&self) -> bool {
        self.bound.committed.membership.lists(self.own())
    }

    /// Whether that record lists it, or the newest one, which it may have acknowledged.
    fn may_be_listed(&self) -> bool {
        !self.has_left || self.own_place().is_some()
    }

    // ---- Leaving ----

    /// The host wants to leave. The only member of a cluster stays: the state would be lost with it.
    pub(super) fn leave(&mut self) {
        let is_only_member = self.relation == Relation::Bound && self.membership().members().len() == 1;
        if is_only_member && self.may_be_listed() {
            return;
        }
        let was_leaving = ::core::mem::replace(&mut self.leaves, true);
        let was_in = self.relation == Relation::Bound && self.may_be_listed();
        self.wants_in = false;
        if !was_in && !was_leaving {
            self.emit(Event::Left);
        }
        if was_in && self.leaves_at.is_none() {
            self.leaves_at = Some(self.now);
            self.hands_over_at = self.now.saturating_add(self.config.timing.min());
            self.ask_to_leave();
        }
    }

    /// A member that was removed as its host wished keeps only which cluster it left.
    pub(super) fn finish_leaving(&mut self) {
        let is_over = !self.may_be_listed() && self.leaves && !matches!(self.state, State::Leader(_));
        if !is_over || self.relation != Relation::Bound {
            return;
        }
        self.follow(self.bound.term, None, DeposedReason::Lost);
        let committed = self.bound.committed.clone();
        self.bound = Bound::outside(self.bound.term);
        self.bound.committed.cluster = committed.cluster;
        self.bound.committed.membership = committed.membership;
        self.relation = Relation::Left;
        self.durability.drop_held();
        self.durability.changed();
        self.announce_standing();
        if self.leaves_at.take().is_some() {
            // A record that listed it anew was never committed.
            self.emit(Event::Left);
        }
    }

    /// Asks the leader to be removed, again and again until it is; a leader removes itself.
    pub(super) fn ask_to_leave(&mut self) {
        if self.leaves_at.is_none_or(|at| self.now < at) {
            return;
        }
        self.leaves_at = Some(self.now.saturating_add(self.config.timing.heartbeat()));
        if matches!(self.state, State::Leader(_)) {
            return self.leave_as_leader();
        }
        if let Some(leader) = self.other_leader() {
            self.send(leader, self.bound.term, Body::Leave);
        }
    }

    /// Removes itself, and hands leadership over once that is committed. If it cannot be for a minimum
    /// election time, leadership is handed over before, and the next leader is asked.
    fn leave_as_leader(&mut self) {
        if self.membership().members().len() == 1 {
            // The others were removed meanwhile: it stays.
            (self.leaves_at, self.leaves, self.wants_in) = (None, false, true);
            return;
        }
        if self.now >= self.hands_over_at {
            self.hands_over_at = self.now.saturating_add(self.config.timing.max());
            if let Some(best) = self.best_successor() {
                return self.hand_over(best.id, None);
            }
        }
        if self.is_ready_for_change() {
            self.want_own_change(Change::Remove(self.config.id));
        }
    }

    /// A member asks to be removed.
    pub(super) fn receive_leave(&mut self, message: &Message) {
        self.tell_stranger(message);
        let is_member = self.place_of(message.sender()).is_some();
        if is_member && self.is_ready_for_change() {
            self.want_own_change(Change::Remove(message.from));
        }
    }

    pub(super) fn leaving_due(&self) -> Instant {
        self.leaves_at.unwrap_or(Instant::MAX)
    }
}
