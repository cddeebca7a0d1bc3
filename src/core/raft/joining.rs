//! How a member finds a cluster, asks to be admitted, and enters it; and how a leader admits it.

use ::core::time::Duration;
use alloc::vec::Vec;

use super::acquaintances::Says;
use super::change::Change;
use super::id::{ClusterId, Incarnation, KnownIds, MAX_KNOWN, MemberId};
use super::interface::Event;
use super::membership::{Member, Profile};
use super::message::{Body, Introduction, Message, Standing};
use super::peer::Peer;
use super::state::{Progress, Raft, Relation, State};
use crate::core::Instant;

impl Raft {
    // ---- Seeking ----

    /// Asks those outside its cluster which one they belong to, when that is due.
    pub(super) fn seek(&mut self) {
        if self.now < self.seek_due() {
            return;
        }
        self.seek_at = self.now.saturating_add(self.seek_pause());
        self.joins.clear();
        self.sought().into_iter().for_each(|id| self.ask(id));
        self.tell_profile();
    }

    fn ask(&mut self, id: MemberId) {
        let to = Peer { id, incarnation: Incarnation::UNKNOWN };
        let wait = self.acquaintances.wait_number();
        self.send_durably(to, Body::Seek(self.introduction(wait)));
    }

    /// A settled member asks rarely: a blank one that hears of it asks by itself.
    fn seek_pause(&self) -> Duration {
        let timing = &self.config.timing;
        let is_hurried = !self.is_settled() || self.is_profile_news;
        if is_hurried { timing.heartbeat() } else { timing.max() }
    }

    /// Whether this is a member of no cluster, as far as it knows.
    fn is_outside(&self) -> bool {
        self.relation != Relation::Bound || self.has_left
    }

    /// Whether this is a member of an established cluster.
    fn is_established_member(&self) -> bool {
        !self.is_outside() && self.bound.is_established
    }

    /// Whether this member wants to be in a cluster, or waits to hear that its cluster has removed it.
    fn looks_for_cluster(&self) -> bool {
        self.wants_in || self.leaves_at.is_some()
    }

    /// Whether it is one that has a leader, or had one lately.
    fn is_settled(&self) -> bool {
        self.is_established_member() && self.now < self.lost_at()
    }

    /// When a member that hears no leader asks all others: it may have been removed, and those that it knows
    /// may have left.
    fn lost_at(&self) -> Instant {
        let leads = matches!(self.state, State::Leader(_));
        if leads { Instant::MAX } else { self.withheld_until.saturating_add(self.config.timing.max()) }
    }

    pub(super) fn seek_due(&self) -> Instant {
        if self.is_outside() && !self.looks_for_cluster() {
            return Instant::MAX;
        }
        let knows_nobody = self.acquaintances.known().ids().is_empty();
        let has_nothing_to_ask = self.is_established_member() && knows_nobody && !self.is_profile_news;
        if has_nothing_to_ask { self.seek_at.max(self.lost_at()) } else { self.seek_at }
    }

    /// Whom to ask: the known ids that are no members; and the members too, if this one is not among them,
    /// has lost them, or the cluster of a founding list has not begun.
    fn sought(&self) -> Vec<MemberId> {
        let members = self.membership();
        let mut sought = self.acquaintances.known().ids().to_vec();
        sought.retain(|id| members.place(id).is_none());
        if self.is_outside() || self.is_open() || self.now >= self.lost_at() {
            for member in members.members() {
                sought.push(member.profile.id);
            }
        }
        sought.retain(|id| *id != self.config.id);
        sought
    }

    fn introduction(&self, wait: u64) -> Introduction {
        let (members, others) = (self.membership().members(), self.acquaintances.known().ids());
        let mut known = KnownIds::with_room(members.len() + others.len());
        for member in members {
            known.insert(member.profile.id);
        }
        for id in others {
            known.insert(*id);
        }
        let (standing, may_found) = (self.standing(), self.may_found());
        Introduction { standing, may_found, wait, leader: self.leader, known }
    }

    /// A member says which cluster it belongs to.
    pub(super) fn meet(&mut self, message: &Message, introduction: &Introduction) {
        let from = message.from;
        self.learn_of(from, introduction.known.ids());
        let says = match (introduction.standing, introduction.may_found) {
            (Standing::Blank, true) => Says::MayFound,
            (Standing::Blank, false) => Says::Blank,
            _ => Says::Cluster,
        };
        let wait = matches!(message.body, Body::Here(_)).then_some(introduction.wait);
        let is_news = self.acquaintances.answered(from, says, wait, self.now);
        let (own, theirs) = (self.bound.committed.cluster, message.cluster);
        let leader = introduction.leader.filter(|leader| *leader != self.config.id).unwrap_or(from);
        match self.relation {
            Relation::Blank => self.hear(from, theirs, leader, is_news),
            _ if self.is_outside() => self.join_if(theirs == own, leader, theirs),
            Relation::Bound if self.is_open() => {
                // The list has begun its cluster without this member, or before the member lost its state.
                if !theirs.is_open() && own.may_become(theirs) {
                    self.heard = Some((from, theirs));
                    self.join_if(true, leader, theirs);
                }
            }
            Relation::Bound if own.may_be(theirs) => self.tell_stranger(message),
            Relation::Bound if theirs == ClusterId::NONE => {}
            Relation::Bound if !self.bound.is_established => {
                let is_first = (from, theirs) < (self.config.id, own);
                if introduction.standing != Standing::Founding || theirs.is_open() || is_first {
                    self.yield_to(from, theirs);
                }
            }
            _ => self.tell_of_stranger(from, theirs, introduction.standing),
        }
    }

    /// Answers [`Body::Seek`]. A member of no cluster that its host has stopped is silent: its answer would
    /// let the other one found a cluster, and it may start again and found one too, without knowing of that.
    pub(super) fn answer_seek(&mut self, message: &Message, wait: u64) {
        if self.relation == Relation::Blank && !self.wants_in {
            return;
        }
        self.send_durably(message.sender(), Body::Here(self.introduction(wait)));
    }

    /// Remembers ids that another member knows, for as long as this one looks for a cluster, founds or leaves
    /// one.
    pub(super) fn learn_of(&mut self, from: MemberId, known: &[MemberId]) {
        if self.is_settled() || !self.looks_for_cluster() {
            return;
        }
        self.learn(from);
        for id in known {
            self.learn(*id);
        }
    }

    /// Remembers an id, and asks a new one at once. The others are asked at the next heartbeat: if each new
    /// id had all asked, n members would send n³ messages when they start together.
    pub(super) fn learn(&mut self, id: MemberId) {
        let is_member = self.relation == Relation::Bound && self.membership().place(&id).is_some();
        if id != self.config.id && !is_member && self.acquaintances.add(id, self.now) {
            if !self.is_outside() || self.looks_for_cluster() {
                self.ask(id);
            }
            if !self.bound.is_established {
                self.durability.changed();
            }
        }
    }

    /// The host counts on a member no more.
    pub(super) fn forget(&mut self, id: MemberId) {
        let was_known = self.acquaintances.remove(&id);
        let was_heard = self.heard.is_some_and(|(by, _)| by == id);
        if was_heard {
            self.heard = None;
            self.acquaintances.wait_anew(self.now);
        }
        if (was_known || was_heard) && !self.bound.is_established {
            self.durability.changed();
        }
        let is_other_member = id != self.config.id && self.membership().place(&id).is_some();
        if is_other_member && self.is_ready_for_change() {
            self.want_own_change(Change::Remove(id));
        }
    }

    fn tell_of_stranger(&mut self, member: MemberId, cluster: ClusterId, standing: Standing) {
        let is_news = standing == Standing::Bound && !self.strangers.contains(&(member, cluster));
        if is_news && self.strangers.len() < MAX_KNOWN {
            self.strangers.push((member, cluster));
            self.emit(Event::OtherCluster { member, cluster });
        }
    }

    // ---- Joining ----

    /// A blank member hears which cluster another one belongs to. It joins the first that it hears of, and
    /// changes its mind only if the same member names another, or none, in answer to a question of the
    /// present wait: two clusters could otherwise admit it, and what is late may be from before the member
    /// joined that cluster.
    fn hear(&mut self, from: MemberId, theirs: ClusterId, leader: MemberId, is_news: bool) {
        let before = self.heard;
        let may_change = before.is_none_or(|(by, _)| by == from && is_news);
        if !self.wants_in {
            return;
        }
        if may_change {
            // The cluster of a list has no id before its first record.
            let is_cluster = theirs != ClusterId::NONE && !theirs.is_open();
            self.heard = is_cluster.then_some((from, theirs));
        }
        if self.heard != before {
            self.durability.changed();
            self.acquaintances.wait_anew(self.now);
        }
        let is_wanted = self.heard.is_some_and(|(_, wanted)| wanted == theirs);
        self.join_if(is_wanted, leader, theirs);
    }

    /// Asks the leader of a cluster to be admitted, once for each time that this member asks around: those
    /// that answer may name several leaders, not all of which lead.
    fn join_if(&mut self, is_wanted: bool, leader: MemberId, cluster: ClusterId) {
        if !is_wanted || !self.wants_in || self.joins.contains(&leader) || self.joins.len() > MAX_KNOWN {
            return;
        }
        self.joins.push(leader);
        let profile = self.profile();
        let body = Body::Join {
            address: profile.address,
            priority: profile.priority,
            is_witness: profile.is_witness,
            known: self.acquaintances.known().clone(),
        };
        let to = Peer { id: leader, incarnation: Incarnation::UNKNOWN };
        // The incarnation that is admitted must be durable.
        self.dispatch_durably(self.message(cluster, to, self.bound.term, body));
    }

    /// The leader's record lists this member, which is in no cluster: from now on it is in that one. It takes
    /// only a record that is known to be committed, for it has none before. Returns whether it entered.
    pub(super) fn enter(&mut self, message: &Message) -> bool {
        let Body::Append { record: Some(record), committed, .. } = &message.body else { return false };
        if !record.membership.lists(self.own()) || record.cluster != message.cluster {
            return false;
        }
        if self.leaves {
            // An old message asked for it; the host has left.
            self.decline(message);
            return false;
        }
        // A leader's newest record is of its own term.
        let is_of_leader = message.term > 0 && record.position.term == message.term;
        if !is_of_leader || message.term < self.bound.term || record.position > *committed {
            return false;
        }
        self.bound.term = message.term;
        // Whatever it voted in this term before it left is forgotten. The leader of the term is known.
        self.bound.vote = Some((message.from, message.from_incarnation));
        self.bound.committed = record.clone();
        self.bound.is_established = true;
        self.relation = Relation::Bound;
        self.heard = None;
        self.has_left = false;
        self.durability.changed();
        self.announce_standing();
        self.emit(Event::Committed(record.clone()));
        true
    }

    /// Another cluster lists this member. A founder whose cluster is not established yields to that one: an
    /// operator added it there. Any other has asked for that once and has chosen its own since: it asks to be
    /// removed there.
    pub(super) fn decline_other(&mut self, message: &Message) {
        let Body::Append { record: Some(record), .. } = &message.body else { return };
        if !record.membership.lists(self.own()) {
            return;
        }
        if self.standing() == Standing::Founding && !self.is_open() && self.wants_in {
            // It asks that one, and tells it of its term.
            self.learn(message.from);
            return self.yield_to(message.from, message.cluster);
        }
        self.decline(message);
    }

    fn decline(&mut self, message: &Message) {
        self.dispatch(self.message(message.cluster, message.sender(), self.bound.term, Body::Leave));
    }

    // ---- Admitting ----

    /// A member asks to be admitted, or to be listed with another address or priority.
    pub(super) fn receive_join(&mut self, message: &Message) {
        let Body::Join { address, priority, is_witness, known } = &message.body else { return };
        let is_asked = message.cluster == self.bound.committed.cluster && !self.is_open();
        if !is_asked || !matches!(self.state, State::Leader(_)) {
            return;
        }
        self.learn_of(message.from, known.ids());
        if !self.may_be_established(Some(message.from)) {
            return;
        }
        if message.term > self.bound.term {
            return self.lead_above(message.term);
        }
        if !self.is_ready_for_change() {
            return;
        }
        let profile = Profile {
            id: message.from,
            incarnation: message.from_incarnation,
            address: address.clone(),
            priority: *priority,
            is_witness: *is_witness,
        };
        if let Some(change) = self.admission(profile) {
            self.want_own_change(change);
        }
    }

    /// The change that a member with this profile asks for, if any.
    fn admission(&self, profile: Profile) -> Option<Change> {
        let Some(place) = self.membership().place(&profile.id) else { return Some(Change::Join(profile)) };
        let member = &self.membership().members()[place];
        if member.profile.is_of(profile.incarnation) {
            return listed_as(member, profile);
        }
        // It lost its state: the voter that it was is gone. It is admitted when it asks again. If the one
        // that is listed answers, this is an old message. A new leader and a new member have time to hear of
        // each other.
        let State::Leader(leading) = &self.state else { return None };
        let Progress { answered, since, .. } = leading.progress[place];
        let heard = answered.max(since);
        let is_gone = self.now >= heard.saturating_add(self.config.timing.min());
        (is_gone && profile.id != self.config.id).then_some(Change::Remove(profile.id))
    }

    /// Lists this member with the address and the priority of its settings, if the start changed them.
    fn tell_profile(&mut self) {
        if !self.is_profile_news || self.relation != Relation::Bound {
            return;
        }
        // A record that is not committed may still be lost.
        let own = self.bound.committed.membership.get(&self.config.id);
        let Some(own) = own.filter(|own| own.profile.is_of(self.config.incarnation)) else { return };
        let Some(change) = listed_as(own, self.profile()) else {
            self.is_profile_news = false;
            return;
        };
        let is_idle = self.bound.uncommitted.is_none();
        if is_idle && self.is_ready_for_change() && self.may_be_established(None) {
            self.want_own_change(change);
        } else if let Some(leader) = self.leader.filter(|leader| *leader != self.config.id) {
            self.join_if(!self.is_open(), leader, self.bound.committed.cluster);
        }
    }

    /// Lists the incarnation of a member that is listed without one, now that it has answered.
    pub(super) fn list_incarnation(&mut self, place: usize, incarnation: Incarnation) {
        let Some(member) = self.membership().members().get(place) else { return };
        let is_unknown = member.profile.incarnation == Incarnation::UNKNOWN;
        if is_unknown && self.is_ready_for_change() {
            let profile = Profile { incarnation, ..member.profile.clone() };
            if let Some(change) = listed_as(member, profile) {
                self.want_own_change(change);
            }
        }
    }
}

/// The change that lists a member with another profile, in the part that it has. It stays a witness, or none.
/// An empty address is no news.
fn listed_as(member: &Member, mut profile: Profile) -> Option<Change> {
    profile.is_witness = member.profile.is_witness;
    if profile.address.is_empty() {
        profile.address = member.profile.address.clone();
    }
    if profile == member.profile {
        return None;
    }
    Some(match (member.is_voter, member.is_joining) {
        (true, _) => Change::Voter(profile),
        (false, true) => Change::Join(profile),
        (false, false) => Change::Learner(profile),
    })
}
