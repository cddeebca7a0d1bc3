//! Elections: who stands, who votes, and what happens to the winner and to a leader that leads no more.

use alloc::boxed::Box;
use alloc::vec;

use super::contact::Contact;
use super::id::MemberId;
use super::interface::Event;
use super::membership::VoteResult;
use super::message::{Body, Message, Refusal};
use super::peer::Peer;
use super::proposals::{Origin, Proposals};
use super::record::{Position, Record};
use super::state::{Leading, Progress, Raft, State, Trust};
use crate::core::lease::DeposedReason;
use crate::core::{FencingToken, Instant};

impl Raft {
    /// Stands for election, if the member may: first with a pre-vote.
    pub(super) fn stand(&mut self) {
        self.restart_election_time();
        let is_leader = matches!(self.state, State::Leader(_));
        // Nobody was asked yet for a vote in this term, and nobody would be in a later one: the disk hangs.
        let waits_for_disk = matches!(&self.state, State::Candidate { own_vote, .. }
            if !self.durability.is_durable(*own_vote));
        if is_leader || waits_for_disk || !(self.may_stand() || self.may_ask()) {
            return;
        }
        // Even the only voter may have answered a leader that is no voter any more.
        if self.withholds() {
            return;
        }
        if !self.config.protections.pre_vote && self.may_stand() {
            return self.campaign(None);
        }
        let mut votes = vec![None; self.membership().members().len()];
        if let Some(place) = self.own_place() {
            votes[place] = Some(true);
        }
        self.state = State::PreCandidate(votes);
        self.set_leader(None);
        let last = self.last().position;
        for place in self.places() {
            if let Some(to) = self.other_asked(place) {
                self.send(to, self.bound.term + 1, Body::PreVote { last });
            }
        }
        self.count_votes();
    }

    /// Stands for election in the next term. If the leader of a term has given leadership up for this, no
    /// voter of that term withholds its vote because it heard that leader.
    pub(super) fn campaign(&mut self, given_up: Option<u64>) {
        if self.has_begun_without(self.last().position) {
            return;
        }
        self.end_term(DeposedReason::Lost);
        self.bound.term += 1;
        self.bound.vote = Some((self.config.id, self.config.incarnation));
        self.durability.changed();
        self.reclaim_at = None;
        let votes = vec![None; self.membership().members().len()];
        self.state = State::Candidate { votes, own_vote: self.durability.current() };
        self.set_leader(None);
        self.restart_election_time();
        let last = self.last().position;
        for place in self.places() {
            if let Some(to) = self.other_voter(place) {
                self.send_durably(to, Body::Vote { last, given_up });
            }
        }
    }

    /// The member's own vote counts once it is durable.
    pub(super) fn count_own_vote(&mut self) {
        let own = self.own_place();
        let State::Candidate { votes, own_vote, .. } = &mut self.state else { return };
        if !self.durability.is_durable(*own_vote) {
            return;
        }
        if let Some(place) = own {
            votes[place] = Some(true);
        }
        self.count_votes();
    }

    fn count_votes(&mut self) {
        let (State::PreCandidate(votes) | State::Candidate { votes, .. }) = &self.state else { return };
        match (self.membership().vote_result(|place| votes[place]), &self.state) {
            (VoteResult::Won, State::PreCandidate(_)) if self.may_stand() => self.campaign(None),
            // Of a learner: it knows no record that makes it a voter.
            (VoteResult::Won, State::PreCandidate(_)) => self.state = State::Follower,
            (VoteResult::Won, _) => self.lead(),
            (VoteResult::Lost, _) => self.state = State::Follower,
            (VoteResult::Pending, _) => {}
        }
    }

    fn lead(&mut self) {
        self.state = State::Leader(Box::new(Leading {
            own_place: self.own_place(),
            is_only_voter: self.is_only_voter(),
            progress: vec![Progress::new(0, self.now); self.membership().members().len()],
            contact: Contact::new(self.now),
            own_record: self.durability.current(),
            heartbeat_at: self.now,
            trust: Trust::Pending,
            is_stop_reported: false,
            proposals: Proposals::default(),
            transfer: None,
            change: None,
            change_in_flight: None,
            removed: vec![],
            prefers_from: self.now.saturating_add(self.patience()),
        }));
        self.set_leader(Some(self.config.id));
        // Whatever the newest record is, committed or not: it is committed as part of one of this term. A
        // record of an earlier term that only a quorum keeps could still be replaced.
        if self.config.protections.own_term || self.bound.uncommitted.is_none() {
            let (membership, data) = (self.membership_with_own_incarnation(), self.last().data.clone());
            self.make_record(membership, data);
        } else {
            self.heartbeat();
            self.commit();
        }
    }

    /// Follows a leader of `term`, or nobody. The term is not below the member's.
    pub(super) fn follow(&mut self, term: u64, leader: Option<MemberId>, reason: DeposedReason) {
        self.end_term(reason);
        if term > self.bound.term {
            self.bound.term = term;
            self.bound.vote = None;
            self.durability.changed();
            self.reclaim_at = None;
        }
        if !matches!(self.state, State::Follower) {
            self.state = State::Follower;
            self.restart_election_time();
        }
        self.set_leader(leader);
    }

    /// Ends the term of a leader: it trusts itself no more, and its proposals are answered.
    pub(super) fn end_term(&mut self, reason: DeposedReason) {
        self.depose(reason);
        let Some(leading) = self.leading() else { return };
        let (without_effect, unknown) = leading.proposals.give_up();
        let requests = [
            (leading.change_in_flight.take(), Refusal::Unknown),
            (leading.change.take().and_then(|change| change.request), Refusal::NotLeader(None)),
            (leading.transfer.take().and_then(|transfer| transfer.request), Refusal::NotLeader(None)),
        ];
        for (origin, _) in unknown {
            self.answer(origin, Err(Refusal::Unknown));
        }
        for origin in without_effect {
            self.answer(origin, Err(Refusal::NotLeader(None)));
        }
        for (request, refusal) in requests {
            if let Some(request) = request {
                self.answer(Origin::Host(request), Err(refusal));
            }
        }
    }

    /// Ends the trust of a leader.
    pub(super) fn depose(&mut self, reason: DeposedReason) {
        let token = FencingToken::new(self.bound.term);
        let Some(leading) = self.leading() else { return };
        let was_elected = leading.trust == Trust::Elected;
        leading.trust = Trust::Ended;
        if let (true, Some(token)) = (was_elected, token) {
            self.reason = Some(reason);
            self.emit(Event::Deposed { token, reason });
        }
    }

    /// Tells the host that it leads, once it does. A term whose trust ended never comes back: if a quorum
    /// answers again, the leader stands in the next one, which has a larger token.
    pub(super) fn elect(&mut self) {
        let State::Leader(leading) = &self.state else { return };
        let trust = leading.trust;
        if !self.is_trustworthy() || trust == Trust::Elected {
            return;
        }
        if trust == Trust::Ended {
            if self.may_stand() {
                self.campaign(Some(self.bound.term));
            }
        } else if let (true, Some(token)) = (self.has_committed_in_term(), FencingToken::new(self.bound.term))
        {
            if let Some(leading) = self.leading() {
                leading.trust = Trust::Elected;
            }
            self.emit(Event::Elected { token });
        }
    }

    pub(super) fn set_leader(&mut self, leader: Option<MemberId>) {
        if self.leader != leader {
            if leader.is_some_and(|leader| leader != self.config.id) {
                self.vain_hand_overs = 0;
            }
            self.leader = leader;
            self.emit(Event::LeaderChanged { leader, term: self.bound.term });
        }
    }

    pub(super) fn receive_pre_vote(&mut self, message: &Message, last: Position) {
        self.tell_stranger(message);
        if self.withholds() || self.durability.has_failed() {
            return;
        }
        let is_newest = last >= self.last().position && !self.has_begun_without(last);
        let granted = message.term > self.bound.term && is_newest;
        if granted {
            self.give_way(message.sender(), last);
        }
        let term = if granted { message.term } else { self.bound.term };
        let is_current = message.term > self.bound.term;
        let offer = if is_current { self.offer(message.from, last) } else { None };
        self.send(message.sender(), term, Body::PreVoteAnswer { granted, offer });
    }

    /// Two that ask each other at the same time would next each vote for itself, and nobody would win before
    /// another election time. So one of them stands no more this time: the one with the older record, or with
    /// the larger id. It grants its pre-vote in any case, so this delays an election at worst.
    fn give_way(&mut self, to: Peer, last: Position) {
        let own = self.last().position;
        let is_behind = last > own || (last == own && to.id < self.config.id);
        if is_behind && matches!(self.state, State::PreCandidate(_)) && self.votes(to) {
            self.state = State::Follower;
        }
    }

    pub(super) fn receive_pre_vote_answer(
        &mut self,
        message: &Message,
        granted: bool,
        offer: Option<&Record>,
    ) {
        if let Some(offer) = offer {
            return self.take_offer(message, offer);
        }
        // What nobody asks for any more says nothing: it is late.
        if !matches!(self.state, State::PreCandidate(_)) {
            return;
        }
        if !granted && message.term > self.bound.term {
            return self.follow(message.term, None, DeposedReason::Lost);
        }
        let term = self.bound.term + u64::from(granted);
        let place = self.place_of(message.sender());
        if let (State::PreCandidate(votes), Some(place), true) =
            (&mut self.state, place, message.term == term)
        {
            votes[place] = Some(granted);
            self.count_votes();
        }
    }

    /// Leads on in a term above another one, so that tokens grow for a member that had that term elsewhere.
    pub(super) fn lead_above(&mut self, term: u64) {
        if self.may_stand() && term < Position::LARGEST {
            self.end_term(DeposedReason::Lost);
            let given_up = self.bound.term;
            self.bound.term = term;
            self.campaign(Some(given_up));
        }
    }

    pub(super) fn receive_vote(&mut self, message: &Message, last: Position, given_up: Option<u64>) {
        if self.durability.has_failed() {
            return;
        }
        let is_forced = given_up == Some(self.bound.term) && self.votes(message.sender());
        let is_withheld = self.withholds() && !is_forced;
        if message.term > self.bound.term {
            if is_withheld {
                return;
            }
            self.follow(message.term, None, DeposedReason::Lost);
        }
        let is_this_term = message.term == self.bound.term;
        let candidate = (message.from, message.from_incarnation);
        // Withheld in the member's own term too: a message may have brought it that term after it heard a
        // leader of an earlier one.
        let is_free = self.bound.vote.map_or(!is_withheld, |vote| vote == candidate) && self.leader.is_none();
        let is_newest = last >= self.last().position && !self.has_begun_without(last);
        let granted = is_this_term && is_free && is_newest;
        if granted {
            if self.bound.vote.is_none() {
                self.bound.vote = Some(candidate);
                self.durability.changed();
            }
            self.restart_election_time();
        }
        let offer = if is_this_term { self.offer(message.from, last) } else { None };
        self.send_durably(message.sender(), Body::VoteAnswer { granted, offer });
    }

    pub(super) fn receive_vote_answer(&mut self, message: &Message, granted: bool, offer: Option<&Record>) {
        if let Some(offer) = offer {
            return self.take_offer(message, offer);
        }
        if !matches!(self.state, State::Candidate { .. }) {
            return;
        }
        if message.term > self.bound.term {
            return self.follow(message.term, None, DeposedReason::Lost);
        }
        let place = self.place_of(message.sender());
        let is_this_term = message.term == self.bound.term;
        if let (State::Candidate { votes, .. }, Some(place), true) = (&mut self.state, place, is_this_term) {
            votes[place] = Some(granted);
            self.count_votes();
        }
    }

    /// The leader gave leadership up and asks this member to stand. It must be the leader that the member
    /// knows, in the member's own term: an old message must not end the term of a later leader.
    pub(super) fn receive_timeout_now(&mut self, message: &Message) {
        let is_from_leader = self.leader == Some(message.from) && message.term == self.bound.term;
        if is_from_leader && matches!(self.state, State::Follower) && self.may_stand() {
            self.campaign(Some(self.bound.term));
        }
    }

    /// When a member that does not lead has to do something next.
    pub(super) fn election_due(&self) -> Instant {
        self.election_at.min(self.reclaim_at.unwrap_or(Instant::MAX))
    }
}
