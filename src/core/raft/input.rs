//! Handles inputs and the passing of time, and hands outputs out.

use alloc::sync::Arc;

use super::durability::Ticket;
use super::id::{ClusterId, Incarnation};
use super::interface::{Event, Input, Output};
use super::message::{Body, Message, Refusal};
use super::proposals::Origin;
use super::record::{MAX_DATA_BYTES, Position};
use super::state::{Raft, Relation, State, Trust};
use crate::core::Instant;
use crate::core::lease::DeposedReason;

/// How much later than the member's own a term may be. No cluster has that many elections, and a few messages
/// with larger steps would reach the last term, in which nobody can be elected any more.
const MAX_TERM_LEAP: u64 = 1 << 32;

impl Raft {
    /// Handles an input that happened at `now`. Never panics. Afterwards poll [`Raft::poll_output`].
    pub fn handle_input(&mut self, now: Instant, input: Input) {
        self.now = self.now.max(now);
        self.pass_time();
        match input {
            Input::Timeout => {}
            Input::Received(bytes) => self.receive(&bytes),
            Input::Campaign => self.stand(),
            Input::Propose { request, expected, data } => self.propose(request, expected, data),
            Input::Transfer { request, to } => self.begin_transfer(request, to),
            Input::ChangeMembership { request, changes, transition } => {
                self.change_membership(request, changes, transition);
            }
            Input::Known(id) => self.learn(id),
            Input::Gone(id) => self.forget(id),
            Input::Leave => self.leave(),
            Input::Persisted(ticket) => self.persisted(ticket),
            Input::PersistFailed(ticket) => self.persist_failed(ticket),
        }
        // A term may begin with little time left, and a change of the members may end trust.
        self.stop_new_work();
        self.expire();
        self.finish_leaving();
        self.seek();
    }

    /// The next thing for the driver to do.
    pub fn poll_output(&mut self) -> Output {
        if let Some(output) = self.outputs.pop_front() {
            return output;
        }
        if let Some(ticket) = self.durability.begin_write() {
            return Output::Persist { ticket, bytes: self.durable() };
        }
        Output::WaitUntil(self.due())
    }

    fn due(&self) -> Instant {
        let due = match &self.state {
            State::Leader(leading) => {
                let trusted_until = self.trusted_until(leading);
                let mut due = leading.heartbeat_at;
                if trusted_until < Instant::MAX {
                    due = due.min(leading.contact.gives_up_at(&self.config.timing));
                }
                if leading.trust == Trust::Elected {
                    let stop = self.work_until(trusted_until);
                    due = due.min(if leading.is_stop_reported { trusted_until } else { stop });
                }
                due.min(leading.transfer.map_or(Instant::MAX, |transfer| transfer.until))
            }
            _ => self.election_due(),
        };
        let due = due.min(self.retry_at).min(self.forwarded.due()).min(self.leaving_due());
        due.min(self.seek_due()).min(self.founding_due())
    }

    /// Handles every deadline that has passed, before the input itself.
    fn pass_time(&mut self) {
        if self.now >= self.retry_at {
            self.retry_at = Instant::MAX;
            self.durability.retry();
        }
        while let Some(request) = self.forwarded.expired(self.now) {
            self.emit(Event::Answered { request, result: Err(Refusal::Unknown) });
        }
        self.stop_new_work();
        self.end_late_transfer();
        self.ask_to_leave();
        self.wait_anew_if_suspended();
        self.found_alone();
        if let State::Leader(leading) = &self.state {
            let gives_up = self.now >= leading.contact.gives_up_at(&self.config.timing);
            let is_heartbeat_due = self.now >= leading.heartbeat_at;
            self.expire();
            if gives_up && !self.is_trustworthy() {
                self.follow(self.bound.term, None, DeposedReason::Expired);
            } else if is_heartbeat_due {
                self.heartbeat();
            }
            return;
        }
        if self.reclaim_at.is_some_and(|at| self.now >= at) {
            self.reclaim_at = None;
            if self.may_stand() {
                self.campaign(Some(self.bound.term));
            }
        }
        if self.now >= self.election_at {
            self.stand();
        }
    }

    /// Tells the host that trust has ended.
    fn expire(&mut self) {
        let State::Leader(leading) = &self.state else { return };
        if leading.trust == Trust::Elected && !self.is_trustworthy() {
            self.depose(DeposedReason::Expired);
        }
    }

    fn receive(&mut self, bytes: &[u8]) {
        let read = Message::read(bytes, Some(&self.last().membership));
        let Ok(message) = &read else {
            self.refused.invalid += 1;
            return;
        };
        let is_for_me = message.to == self.config.id
            && [Incarnation::UNKNOWN, self.config.incarnation].contains(&message.to_incarnation);
        if !is_for_me || message.from == self.config.id {
            self.refused.address += 1;
            if message.to == self.config.id {
                // Meant for the member before it lost its state: its cluster may be known by nobody else.
                self.learn_of(message.from, &[]);
            }
            return;
        }
        if let Body::Seek(introduction) | Body::Here(introduction) = &message.body {
            self.meet(message, introduction);
            if matches!(message.body, Body::Seek(_)) {
                self.answer_seek(message, introduction.wait);
            }
            return;
        }
        if !self.is_of_my_cluster(message.cluster) {
            self.refused.cluster += 1;
            return self.decline_other(message);
        }
        if message.term > self.bound.term.saturating_add(MAX_TERM_LEAP) {
            self.refused.protocol += 1;
            return;
        }
        let is_outside = self.relation != Relation::Bound;
        if is_outside && !self.enter(message) {
            return;
        }
        match &message.body {
            Body::PreVote { last } => self.receive_pre_vote(message, *last),
            Body::PreVoteAnswer { granted, offer } => {
                self.receive_pre_vote_answer(message, *granted, offer.as_ref());
            }
            Body::Vote { last, given_up } => self.receive_vote(message, *last, *given_up),
            Body::VoteAnswer { granted, offer } => {
                self.receive_vote_answer(message, *granted, offer.as_ref());
            }
            Body::Append { .. } => self.receive_append(message),
            Body::AppendAnswer { matched, round } => self.receive_append_answer(message, *matched, *round),
            Body::TimeoutNow => self.receive_timeout_now(message),
            Body::Propose { request, expected, data } => {
                self.receive_proposal(message, *request, *expected, data.clone());
            }
            Body::ProposeAnswer { request, result } => {
                if let Some(request) = self.forwarded.answered(*request) {
                    self.emit(Event::Answered { request, result: *result });
                }
            }
            Body::Join { .. } => self.receive_join(message),
            Body::Seek(_) | Body::Here(_) => {}
            Body::Leave => self.receive_leave(message),
        }
    }

    /// Whether a message of this cluster is for this member. A blank one takes those of the cluster that it
    /// will join, or of any.
    fn is_of_my_cluster(&self, cluster: ClusterId) -> bool {
        let is_blank = self.relation == Relation::Blank;
        let is_heard =
            self.heard.is_none_or(|(_, heard)| heard == cluster) || (!is_blank && cluster.is_open());
        let is_own = is_blank || self.bound.committed.cluster.may_be(cluster);
        is_heard && is_own && cluster != ClusterId::NONE
    }

    fn propose(&mut self, request: u64, expected: Option<u64>, data: Arc<[u8]>) {
        // No record that could be replaced has the largest index.
        let expected = expected.map(|index| index.min(Position::LARGEST));
        let is_leader = matches!(self.state, State::Leader(_));
        if is_leader || data.len() > self.max_data() {
            return self.add_proposal(Origin::Host(request), expected, data);
        }
        let Some(leader) = self.other_leader() else {
            return self.answer(Origin::Host(request), Err(Refusal::NotLeader(self.leader)));
        };
        // Not sent again by itself: the leader takes no copy, and may have answered without being heard.
        let deadline = self.now.saturating_add(self.config.timing.max() * 2);
        match self.forwarded.add(request, deadline) {
            Some(number) => {
                self.send(leader, self.bound.term, Body::Propose { request: number, expected, data });
            }
            None => self.answer(Origin::Host(request), Err(Refusal::Busy)),
        }
    }

    /// A member forwards a proposal. Only members of the cluster propose.
    ///
    /// A copy of a proposal that this leader has had takes no effect and gets no answer: the first one gets
    /// it. The leader of another term may have had it too: a refusal could deny an effect.
    fn receive_proposal(&mut self, message: &Message, request: u64, expected: Option<u64>, data: Arc<[u8]>) {
        let sender = message.sender();
        if self.place_of(sender).is_none() {
            return;
        }
        let is_this_term = message.term == self.bound.term;
        let origin = Origin::Member(sender, request);
        match self.leading().filter(|_| is_this_term) {
            None => self.answer(origin, Err(Refusal::Unknown)),
            Some(leading) => {
                if leading.proposals.is_first(sender, request) {
                    self.add_proposal(origin, expected, data);
                }
            }
        }
    }

    fn max_data(&self) -> usize {
        self.config.max_data.min(MAX_DATA_BYTES)
    }

    fn add_proposal(&mut self, origin: Origin, expected: Option<u64>, data: Arc<[u8]>) {
        let (limit, newest) = (self.max_data(), self.last().position.index);
        let is_ready = self.has_committed_in_term() && self.may_be_established(None);
        let result = match self.leading() {
            _ if data.len() > limit => Err(Refusal::TooLarge(limit as u64)),
            None => Err(Refusal::NotLeader(None)),
            Some(_) if newest + 2 > Position::LARGEST => Err(Refusal::NotReady),
            Some(leading) if !is_ready || leading.transfer.is_some() => Err(Refusal::NotReady),
            Some(leading) => leading.proposals.add(origin, expected, data, newest),
        };
        match result {
            Ok(()) => {
                self.establish();
                self.propose_next();
            }
            Err(refusal) => self.answer(origin, Err(refusal)),
        }
    }

    fn persisted(&mut self, ticket: Ticket) {
        if !self.durability.written(ticket) {
            return;
        }
        while let Some((to, bytes)) = self.durability.release() {
            self.outputs.push_back(Output::Send { to, bytes });
        }
        self.count_own_vote();
        self.commit();
    }

    /// What the disk holds now is not known: the member promises nothing until a whole write has succeeded.
    fn persist_failed(&mut self, ticket: Ticket) {
        if !self.durability.write_failed(ticket) {
            return;
        }
        self.follow(self.bound.term, None, DeposedReason::Revoked);
        self.retry_at = self.now.saturating_add(self.config.timing.min());
    }
}
