//! Three members in one thread and the queue of messages between them: the same for both libraries.

use std::collections::VecDeque;

pub const MEMBERS: usize = 3;

/// Messages in flight, as bytes, each with the place of its receiver.
pub type Queue = VecDeque<(usize, Vec<u8>)>;

/// One member of a cluster of [`MEMBERS`]. Whatever it writes is durable at once, in memory. Every message is
/// encoded by its sender and decoded by its receiver.
pub trait Member {
    /// The member at this place, as it starts: nobody leads yet.
    fn start(place: usize) -> Self;

    /// Stands for election, with a pre-vote.
    fn campaign(&mut self, sent: &mut Queue);

    /// Proposes data at the leader.
    fn propose(&mut self, data: &[u8], sent: &mut Queue);

    /// Handles a message.
    fn receive(&mut self, bytes: Vec<u8>, sent: &mut Queue);

    /// Whether this member leads, and has committed a record of its term.
    fn is_leader(&self) -> bool;

    /// The newest data that the member knows to be committed.
    fn committed(&self) -> &[u8];
}

pub struct Cluster<M> {
    members: [M; MEMBERS],
    in_flight: Queue,
}

impl<M: Member> Cluster<M> {
    pub fn start() -> Cluster<M> {
        let members = std::array::from_fn(M::start);
        Cluster { members, in_flight: Queue::new() }
    }

    /// Elects the first member.
    pub fn elect(&mut self) {
        self.members[0].campaign(&mut self.in_flight);
        self.deliver();
        assert!(self.members[0].is_leader());
    }

    /// Commits data at all members.
    pub fn commit(&mut self, data: &[u8]) {
        self.members[0].propose(data, &mut self.in_flight);
        self.deliver();
        assert!(self.members.iter().all(|member| member.committed() == data));
    }

    /// Delivers messages in order until none is in flight.
    fn deliver(&mut self) {
        while let Some((to, bytes)) = self.in_flight.pop_front() {
            self.members[to].receive(bytes, &mut self.in_flight);
        }
    }
}
