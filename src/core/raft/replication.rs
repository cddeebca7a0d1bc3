//! Records: how a leader makes, sends and commits them, and how the others take them.

use alloc::sync::Arc;
use alloc::vec::Vec;

use super::interface::Event;
use super::membership::{Membership, Profile};
use super::message::{Body, Message};
use super::peer::Peer;
use super::proposals::Origin;
use super::record::{Position, Record};
use super::state::{Progress, Raft, State, Trust};
use crate::core::lease::DeposedReason;
use crate::core::time::nanos;
use crate::core::{FencingToken, Instant};

impl Raft {
    /// Makes the record after the newest one, in this leader's term, and sends it.
    pub(super) fn make_record(&mut self, membership: Arc<Membership>, data: Arc<[u8]>) {
        let position = Position { term: self.bound.term, index: self.last().position.index + 1 };
        let cluster = self.next_cluster();
        // Most records change the data only.
        let has_same_members = Arc::ptr_eq(&membership, &self.last().membership);
        let known = (!has_same_members).then(|| self.known_in(&membership));
        self.bound.uncommitted = Some(Record { position, cluster, membership, data });
        self.durability.changed();
        let version = self.durability.current();
        if let Some(leading) = self.leading() {
            leading.own_record = version;
        }
        if let Some((progress, removed)) = known {
            self.take_members(progress, removed);
        }
        // With a second voter, trust of an only voter becomes trust by heartbeats.
        self.update_contact();
        self.heartbeat();
    }

    /// What is known of the members of another membership, and which members it does not list any more.
    fn known_in(&self, membership: &Membership) -> (Vec<Progress>, Vec<Peer>) {
        let State::Leader(leading) = &self.state else { return (Vec::new(), Vec::new()) };
        let known = |profile: &Profile| {
            self.place_of(profile.peer()).and_then(|place| leading.progress.get(place)).copied()
        };
        let profiles = membership.members().iter().map(|member| &member.profile);
        let new = Progress::new(leading.contact.newest_round() + 1, self.now);
        let progress = profiles.map(|profile| known(profile).unwrap_or(new)).collect();
        (progress, self.removed_by(membership))
    }

    /// Leads by the membership of the newest record from now on.
    ///
    /// Those that it removes are told once it is committed. Before that they could only keep others from
    /// being elected: they would refuse candidates that lack the record, and could not lead with it.
    fn take_members(&mut self, progress: Vec<Progress>, removed: Vec<Peer>) {
        let (own_place, is_only_voter) = (self.own_place(), self.is_only_voter());
        if let Some(leading) = self.leading() {
            leading.contact.end_round();
            leading.own_place = own_place;
            leading.is_only_voter = is_only_voter;
            leading.progress = progress;
            leading.removed.extend(removed);
        }
    }

    /// Begins a round of heartbeats. Each member that lacks the newest record gets it, again if need be.
    pub(super) fn heartbeat(&mut self) {
        let (now, timing) = (self.now, self.config.timing);
        let Some(leading) = self.leading() else { return };
        leading.heartbeat_at = now.saturating_add(timing.heartbeat());
        let round = leading.contact.begin_round(now, &timing);
        for place in self.places() {
            self.send_append(place, round);
        }
    }

    fn send_append(&mut self, place: usize, round: u64) {
        let newest = self.last().position.index;
        let Some(to) = self.other(place) else { return };
        let State::Leader(leading) = &self.state else { return };
        let lacks = leading.progress[place].matched < newest;
        let record = lacks.then(|| self.last().clone());
        let body = self.append(record, round);
        self.send(to, self.bound.term, body);
    }

    pub(super) fn append(&self, record: Option<Record>, round: u64) -> Body {
        // Rounded up: a member must not withhold its vote for less than the leader trusts.
        let hold_ms = nanos(self.config.timing.min()).div_ceil(1_000_000);
        let committed = self.bound.committed.position;
        Body::Append { last: self.last().position, record, committed, round, hold_ms }
    }

    pub(super) fn receive_append(&mut self, message: &Message) {
        let Body::Append { last, record, committed, round, hold_ms } = &message.body else { return };
        if message.term < self.bound.term {
            // Tells an old leader of the later term.
            return self.send_durably(message.sender(), Body::AppendAnswer { matched: 0, round: 0 });
        }
        let is_own_term = last.term == message.term || !self.config.protections.own_term;
        let is_second_leader = message.term == self.bound.term && matches!(self.state, State::Leader(_));
        if !is_own_term || is_second_leader {
            self.refused.protocol += 1;
            return;
        }
        self.follow(message.term, Some(message.from), DeposedReason::Lost);
        if *hold_ms > self.bound.hold_ms {
            self.bound.hold_ms = *hold_ms;
            self.durability.changed();
        }
        self.withhold();
        self.restart_election_time();
        self.committed_up_to(*committed);
        if let Some(record) = record.as_ref().filter(|record| record.position > self.last().position) {
            if !self.may_keep(record.cluster) {
                self.refused.cluster += 1;
                return;
            }
            if record.position.index <= self.bound.committed.position.index {
                // A leader without a record that is committed: no correct members elect it.
                self.refused.protocol += 1;
                return;
            }
            self.bound.uncommitted = Some(record.clone());
            self.durability.changed();
            self.committed_up_to(*committed);
        }
        self.confirm();
        let own = self.last().position;
        if *round > 0 || own != *last {
            let matched = if own == *last { own.index } else { 0 };
            self.send_durably(message.sender(), Body::AppendAnswer { matched, round: *round });
        }
    }

    /// The leader says that its records are committed up to a position. The member's newest record is one of
    /// them if it has the same term: a leader's records follow each other.
    fn committed_up_to(&mut self, committed: Position) {
        let last = self.last().position;
        if last.term == committed.term && last.index <= committed.index {
            self.commit_newest();
        }
    }

    /// The newest record is committed. That needs no write: the record is durable, and what is committed is
    /// learned again from the next leader.
    fn commit_newest(&mut self) {
        if let Some(record) = self.bound.uncommitted.take() {
            let was_open = self.is_open();
            self.bound.committed = record.clone();
            self.emit(Event::Committed(record));
            if was_open {
                self.heard = None;
                self.establish();
            }
            self.leave_if_removed();
        }
    }

    pub(super) fn receive_append_answer(&mut self, message: &Message, matched: u64, round: u64) {
        if !matches!(self.state, State::Leader(_)) {
            return;
        }
        if message.term > self.bound.term {
            return self.follow(message.term, None, DeposedReason::Lost);
        }
        let Some(place) = self.place_of(message.sender()) else { return };
        let newest = self.last().position.index;
        let is_this_term = message.term == self.bound.term;
        let State::Leader(leading) = &mut self.state else { return };
        if !is_this_term {
            return;
        }
        let progress = &mut leading.progress[place];
        if round < progress.first_round {
            return;
        }
        if progress.incarnation != message.from_incarnation {
            // The first answer, or another incarnation of a member that is listed without one: it keeps
            // nothing of what the first acknowledged.
            *progress = Progress::new(progress.first_round, progress.since);
            progress.incarnation = message.from_incarnation;
        }
        if let Some(sent) = leading.contact.sent(round) {
            progress.answered = progress.answered.max(sent);
        }
        let is_news = matched > progress.matched && matched <= newest;
        if is_news {
            progress.matched = matched;
        }
        self.update_contact();
        self.elect();
        if !matches!(self.state, State::Leader(_)) {
            // It stands in the next term, which is not durable yet.
            return;
        }
        self.lift_stop();
        self.list_incarnation(place, message.from_incarnation);
        if is_news && self.bound.uncommitted.is_none() {
            self.send_commit_notice(place);
        }
        self.commit();
        self.go_on_with_transfer();
        self.prefer();
        self.promote();
    }

    /// Computes anew when a quorum was last in contact, from what each member answered.
    fn update_contact(&mut self) {
        let State::Leader(leading) = &self.state else { return };
        let answered = |place: usize| {
            let at =
                if Some(place) == leading.own_place { self.now } else { leading.progress[place].answered };
            at.as_nanos()
        };
        let sent = Instant::from_nanos(self.membership().quorum_value(answered));
        // The leader itself is one of the quorum: it, too, votes for nobody else while it may be trusted.
        self.withheld_until = self.withheld_until.max(sent.saturating_add(self.config.timing.min()));
        let (now, timing) = (self.now, self.config.timing);
        if let Some(leading) = self.leading() {
            leading.contact.quorum_answered(sent, now, &timing);
        }
    }

    /// Tells the host that it may start new work again.
    fn lift_stop(&mut self) {
        let State::Leader(leading) = &self.state else { return };
        let is_elected = leading.trust == Trust::Elected;
        let goes_on =
            is_elected && leading.is_stop_reported && self.now < self.work_until(self.trusted_until(leading));
        if let (true, Some(token)) = (goes_on, FencingToken::new(self.bound.term)) {
            if let Some(leading) = self.leading() {
                leading.is_stop_reported = false;
            }
            self.emit(Event::Renewed { token });
        }
    }

    /// Tells the host to start no new work, shortly before trust ends.
    pub(super) fn stop_new_work(&mut self) {
        let State::Leader(leading) = &self.state else { return };
        if leading.trust != Trust::Elected || leading.is_stop_reported {
            return;
        }
        let is_due = self.now >= self.work_until(self.trusted_until(leading));
        if let (true, Some(token)) = (is_due, FencingToken::new(self.bound.term)) {
            if let Some(leading) = self.leading() {
                leading.is_stop_reported = true;
            }
            self.emit(Event::StopNewWork { token });
        }
    }

    /// Commits the newest record if a quorum keeps it.
    pub(super) fn commit(&mut self) {
        let Some(record) = &self.bound.uncommitted else { return };
        let index = record.position.index;
        let State::Leader(leading) = &self.state else { return };
        let is_kept = |place: usize| {
            if Some(place) == leading.own_place {
                self.durability.is_durable(leading.own_record)
            } else {
                leading.progress[place].matched >= index
            }
        };
        if !record.membership.has_quorum(is_kept) {
            return;
        }
        self.confirm();
        self.commit_newest();
        self.answer_proposals(index);
        self.elect();
        self.tell_removed();
        self.send_to_newcomers();
        if self.leave_joint() || self.hand_over_if_removed() || self.make_change() || self.propose_next() {
            return;
        }
        self.send_commit_notices();
        self.go_on_with_transfer();
    }

    fn answer_proposals(&mut self, index: u64) {
        let answered = self.leading().map(|leading| leading.proposals.committed(index)).unwrap_or_default();
        for (origin, index) in answered {
            self.answer(origin, Ok(index));
        }
        let change = self.leading().and_then(|leading| leading.change_in_flight.take());
        if let Some(request) = change {
            self.answer(Origin::Host(request), Ok(index));
        }
    }

    /// Makes the record that proposals wait for, if no other is in flight. Returns whether it made one.
    pub(super) fn propose_next(&mut self) -> bool {
        let next = self.last().position.index + 1;
        let is_busy = self.leading().is_none_or(|leading| leading.transfer.is_some());
        if is_busy || self.bound.uncommitted.is_some() {
            return false;
        }
        let Some(data) = self.leading().and_then(|leading| leading.proposals.take(next)) else {
            return false;
        };
        let membership = self.bound.committed.membership.clone();
        self.make_record(membership, data);
        true
    }

    /// Tells those that keep the record that it is committed, without waiting for the next heartbeat.
    pub(super) fn send_commit_notices(&mut self) {
        let newest = self.last().position.index;
        for place in self.places() {
            let State::Leader(leading) = &self.state else { return };
            if leading.progress[place].matched == newest {
                self.send_commit_notice(place);
            }
        }
    }

    /// Sends the committed record to learners that keep none yet: a member enters a cluster only with a
    /// record that is known to be committed, and the next one may be under way at once.
    fn send_to_newcomers(&mut self) {
        for place in self.places() {
            let State::Leader(leading) = &self.state else { return };
            let is_newcomer =
                self.membership().members()[place].is_learner && leading.progress[place].matched == 0;
            let round = leading.contact.newest_round();
            if let (true, Some(to)) = (is_newcomer, self.other(place)) {
                let body = self.append(Some(self.last().clone()), round);
                self.send(to, self.bound.term, body);
            }
        }
    }

    fn send_commit_notice(&mut self, place: usize) {
        let Some(to) = self.other(place) else { return };
        let body = self.append(None, 0);
        self.send(to, self.bound.term, body);
    }
}
