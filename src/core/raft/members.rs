//! Changes of the members: which the leader makes, when, and how members leave.

use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

use super::change::{Change, Transition};
use super::id::MemberId;
use super::interface::Event;
use super::membership::{Member, Membership};
use super::message::{Body, Message, Refusal};
use super::peer::Peer;
use super::proposals::Origin;
use super::record::Position;
use super::state::{Changing, Progress, Raft, State, Trust};
use crate::core::Instant;
use crate::core::lease::DeposedReason;

impl Raft {
    /// The host wants other members.
    pub(super) fn change_membership(&mut self, request: u64, changes: Vec<Change>, transition: Transition) {
        let is_ready = self.has_committed_in_term() && !self.membership().is_joint();
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

    fn want_change(&mut self, request: Option<u64>, changes: Vec<Change>, transition: Transition) {
        if let Some(leading) = self.leading() {
            leading.change = Some(Changing { request, changes, transition });
        }
        self.make_change();
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

    /// Whether a quorum of other voters answered within the minimum election time, so that the cluster goes
    /// on with them. Without that a change could leave members of whom no quorum exists any more.
    fn has_quorum_lately(&self, next: &Membership) -> bool {
        let State::Leader(leading) = &self.state else { return false };
        next.has_quorum(|place| {
            let profile = &next.members()[place].profile;
            let known = self.place_of(Peer { id: profile.id, incarnation: profile.incarnation });
            profile.id == self.config.id || known.is_some_and(|place| self.is_near(&leading.progress[place]))
        })
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
        self.want_change(None, vec![Change::Promote(id)], Transition::Auto);
    }

    /// The members that another membership does not list any more.
    pub(super) fn removed_by(&self, next: &Membership) -> Vec<Peer> {
        let is_gone = |place: &usize| {
            let profile = &self.membership().members()[*place].profile;
            next.get(&profile.id).is_none_or(|member| member.profile.incarnation != profile.incarnation)
        };
        self.places().filter(is_gone).filter_map(|place| self.other(place)).collect()
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

    /// One that is no member any more stands for election: the leader tells it so.
    pub(super) fn tell_stranger(&mut self, message: &Message) {
        let is_leader = matches!(self.state, State::Leader(_));
        if is_leader && self.place_of(message.sender()).is_none() {
            self.tell(message.sender());
        }
    }

    /// A leader that is no voter any more has committed that, and hands leadership over. Returns whether it
    /// did.
    pub(super) fn hand_over_if_removed(&mut self) -> bool {
        let is_voter =
            self.bound.committed.membership.get(&self.config.id).is_some_and(|member| member.is_voter);
        let State::Leader(leading) = &self.state else { return false };
        if is_voter || self.bound.uncommitted.is_some() {
            return false;
        }
        let members = self.membership().members();
        let may_lead = |place: &usize| members[*place].may_lead();
        let rank = |place: &usize| (leading.progress[*place].matched, members[*place].profile.priority);
        let best = self.places().filter(may_lead).max_by_key(rank).and_then(|place| self.other(place));
        self.send_commit_notices();
        if let Some(best) = best {
            self.send(best, self.bound.term, Body::TimeoutNow);
        }
        self.follow(self.bound.term, None, DeposedReason::Released);
        true
    }

    /// Tells the host once that it is no member any more.
    pub(super) fn leave_if_removed(&mut self) {
        let listed = self.bound.committed.membership.get(&self.config.id);
        let is_member = listed.is_some_and(|member| member.profile.is_of(self.config.incarnation));
        if !is_member && !self.has_left {
            self.leaves_at = None;
            self.emit(Event::Left);
        }
        self.has_left = !is_member;
    }

    // ---- Leaving ----

    /// The host wants to leave. The only member of a cluster stays: the state would be lost with it.
    pub(super) fn leave(&mut self) {
        if self.membership().members().len() > 1 && !self.has_left {
            self.leaves_at = Some(self.now);
            self.ask_to_leave();
        }
    }

    /// Asks the leader to be removed, again and again until it is; a leader removes itself.
    pub(super) fn ask_to_leave(&mut self) {
        if self.leaves_at.is_none_or(|at| self.now < at) {
            return;
        }
        self.leaves_at = Some(self.now.saturating_add(self.config.timing.heartbeat()));
        if let State::Leader(leading) = &self.state {
            if leading.change.is_none() && leading.transfer.is_none() {
                self.want_change(None, vec![Change::Remove(self.config.id)], Transition::Auto);
            }
            return;
        }
        let leader = self.leader.and_then(|leader| self.membership().place(&leader));
        if let Some(leader) = leader.and_then(|place| self.other(place)) {
            self.send(leader, self.bound.term, Body::Leave);
        }
    }

    /// A member asks to be removed.
    pub(super) fn receive_leave(&mut self, message: &Message) {
        let is_member = self.place_of(message.sender()).is_some();
        let State::Leader(leading) = &self.state else { return };
        if is_member && leading.change.is_none() && self.has_committed_in_term() {
            self.want_change(None, vec![Change::Remove(message.from)], Transition::Auto);
        }
    }

    pub(super) fn leaving_due(&self) -> Instant {
        self.leaves_at.unwrap_or(Instant::MAX)
    }
}
