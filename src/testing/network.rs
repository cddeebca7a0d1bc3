//! What lies between a candidate and the store: the driver, the network, and what they do to messages.

use crate::core::lease::{Failure, Input, Op, Outcome, Reply, Request, RequestId};

use super::checks::Broken;
use super::plan::{Fault, MS};
use super::world::{Address, Happening, World};

impl World {
    /// The driver sends a request, or says that it could not.
    pub(super) fn send(&mut self, from: Address, request: Request) {
        let refusals = [(Fault::Unsent, Failure::Unsent), (Fault::Refused, Failure::Refused)];
        for (fault, failure) in refusals {
            if self.strikes(fault, 12) {
                let reply = Reply { id: request.id, clock: None, outcome: Outcome::Failed(failure) };
                let at = self.at + self.random.below(MS);
                self.enqueue(at, Happening::Answered { to: from, reply });
                return;
            }
        }
        let deadline = self.nodes[from.node].clock.reaches(request.deadline.as_nanos());
        if self.strikes(Fault::EarlyUnknown, 15) {
            let at = self.random.between(self.at, deadline.max(self.at));
            let outcome = Outcome::Failed(Failure::Unknown);
            let reply = Reply { id: request.id, clock: None, outcome };
            self.enqueue(at, Happening::Answered { to: from, reply });
        } else if !self.strikes(Fault::Silence, 60) {
            self.enqueue(deadline, Happening::GivenUp { to: from, id: request.id });
        }
        if self.strikes(Fault::Garble, 10) {
            self.garble(from, &request);
        }
        if self.strikes(Fault::Duplicate, 20) {
            let at = self.at + self.random.below(3 * self.plan.lease());
            self.enqueue(at, Happening::Arrives { from, request: request.clone() });
        }
        if self.nodes[from.node].cut_until > self.at || self.strikes(Fault::DropRequest, 15) {
            self.log.line(self.at, format_args!("n{} ? request {} is lost", from.node, request.id.0));
            return;
        }
        let at = self.at + self.transit();
        self.enqueue(at, Happening::Arrives { from, request });
    }

    /// A request reaches the store, which executes it and answers.
    pub(super) fn arrive(&mut self, from: Address, request: Request) {
        let Address { node, .. } = from;
        if self.store.down_until > self.at || self.nodes[node].cut_until > self.at {
            self.log.line(self.at, format_args!("n{node} ? request {} finds no store", request.id.0));
            return;
        }
        let before = self.store.row().cloned();
        let outcome = self.store.execute(self.at, &request.op);
        let reading = self.store.reading(self.at);
        let era = self.store.era;
        self.eras.entry((reading.timeline, reading.now)).or_insert(era);
        self.log.line(self.at, format_args!("store does {} for n{node}: {outcome:?}", request.op.name()));
        if !self.store.answers(before.as_ref()) {
            self.log.line(self.at, format_args!("n{node} ? request {} waits for the standby", request.id.0));
            return;
        }
        let reply = Reply { id: request.id, clock: Some(reading), outcome };
        if self.strikes(Fault::Duplicate, 20) {
            let at = self.at + self.random.below(3 * self.plan.lease());
            self.enqueue(at, Happening::Answered { to: from, reply: reply.clone() });
        }
        if self.nodes[node].cut_until > self.at || self.strikes(Fault::DropReply, 15) {
            self.log.line(self.at, format_args!("n{node} ? reply {} is lost", request.id.0));
            return;
        }
        let at = self.at + self.transit();
        self.enqueue(at, Happening::Answered { to: from, reply });
    }

    /// How long one message is under way.
    fn transit(&mut self) -> u64 {
        let lease = self.plan.lease();
        if self.strikes(Fault::VeryLate, 6) {
            return self.random.below(4 * lease);
        }
        if self.strikes(Fault::Delay, 25) {
            return self.random.below(lease / 3);
        }
        if self.healed { self.plan.one_way() } else { self.random.between(1, self.plan.one_way()) }
    }

    /// The driver waited for an answer until the deadline.
    pub(super) fn give_up(&mut self, to: Address, id: RequestId) -> Result<(), Broken> {
        let node = &self.nodes[to.node];
        let waits = node.run.as_ref().is_some_and(|run| run.open.contains(&id));
        if !waits || node.incarnation != to.incarnation {
            return Ok(());
        }
        let outcome = Outcome::Failed(Failure::Unknown);
        self.deliver(to, Input::Reply(Reply { id, clock: None, outcome }))
    }

    /// A reply comes that answers no request, or another question than was asked.
    fn garble(&mut self, to: Address, request: &Request) {
        let clock = Some(self.store.reading(self.at));
        let row = self.store.show(self.at);
        let token = row.as_ref().and_then(|row| row.token);
        let seen = Outcome::Seen(row);
        let others = match &request.op {
            Op::Look => [Outcome::Renewed, Outcome::Lost, Outcome::Released],
            Op::Acquire(_) => [Outcome::Renewed, Outcome::Lost, Outcome::Released],
            Op::Renew { .. } => [seen, Outcome::Released, Outcome::Renewed],
            Op::Release { .. } => [seen, Outcome::Renewed, Outcome::Lost],
        };
        let mut outcome = others[self.random.below(3) as usize].clone();
        let mut id = request.id;
        match self.random.below(3) {
            // A request that never was, or that was answered long ago.
            0 => id = RequestId(self.random.below(id.0 * 2 + 2)),
            1 if !matches!(request.op, Op::Acquire(_)) => {
                if let Some(token) = token {
                    outcome = Outcome::Granted { token };
                }
            }
            _ => {}
        }
        if id != request.id {
            outcome = Outcome::Failed(Failure::Unknown);
        } else if matches!((&request.op, &outcome), (Op::Renew { .. }, Outcome::Renewed)) {
            // The truth by chance: that would be a lie the machine cannot see through.
            outcome = Outcome::Released;
        }
        let at = self.at + self.random.below(self.plan.lease() / 4);
        self.enqueue(at, Happening::Answered { to, reply: Reply { id, clock, outcome } });
    }
}
