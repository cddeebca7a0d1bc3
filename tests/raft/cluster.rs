//! Members side by side: their messages wait until they are delivered, and writes succeed at once unless a
//! test keeps them back.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use elector::core::Instant;
use elector::core::raft::{
    Bound, ClusterId, Config, Durable, DurableState, Event, Incarnation, Input, InvalidBytes, KnownIds,
    MemberId, Membership, Message, Output, Position, Profile, Raft, Record, Ticket,
};

/// The cluster that all members belong to.
pub const CLUSTER: ClusterId = ClusterId(*b"a test's cluster");

/// The incarnation of every member.
pub const INCARNATION: Incarnation = Incarnation::new(1).unwrap();

/// One member with what its driver keeps.
pub struct Node {
    pub raft: Raft,
    pub events: Vec<Event>,
    /// Writes stay unanswered, and are completed by [`Cluster::persisted`].
    pub keeps_writes: bool,
    /// The write that is not answered yet.
    pub write: Option<Ticket>,
    /// When it wants to be woken.
    pub due: Instant,
    /// What its disk keeps.
    pub durable: Option<Vec<u8>>,
}

/// Members and the messages between them.
pub struct Cluster {
    pub now: Instant,
    pub nodes: BTreeMap<MemberId, Node>,
    /// Messages in the order in which they were sent.
    pub in_flight: VecDeque<Message>,
}

/// What a member starts with.
pub struct Start {
    pub config: Config,
    pub membership: Membership,
    pub term: u64,
    pub vote: Option<MemberId>,
    pub committed: Position,
    pub last: Position,
}

impl Start {
    /// A voter of a cluster that has done nothing yet.
    pub fn new(id: MemberId, membership: Membership) -> Start {
        let profile = membership.get(&id).map(|member| member.profile.clone());
        let profile = profile.unwrap_or_else(|| Profile::new(id));
        let mut config = Config::new(id, INCARNATION, 7);
        (config.address, config.priority) = (profile.address, profile.priority);
        config.is_witness = profile.is_witness;
        Start { config, membership, term: 0, vote: None, committed: Position::ZERO, last: Position::ZERO }
    }

    /// The state that the member reads at its start.
    pub fn durable(&self) -> Result<Durable, InvalidBytes> {
        let membership = Arc::new(self.membership.clone());
        let record = |position| Record {
            position,
            cluster: CLUSTER,
            membership: membership.clone(),
            data: Arc::from(&b""[..]),
        };
        let bound = Bound {
            term: self.term,
            vote: self.vote.map(|id| (id, self.config.incarnation)),
            hold_ms: 0,
            is_established: true,
            known: KnownIds::default(),
            committed: record(self.committed),
            uncommitted: (self.last > self.committed).then(|| record(self.last)),
        };
        let (id, incarnation) = (self.config.id, self.config.incarnation);
        let durable = Durable { id, incarnation, state: DurableState::Bound(bound) };
        durable.check()?;
        Ok(durable)
    }
}

impl Cluster {
    pub fn new() -> Cluster {
        Cluster { now: Instant::from_millis(1_000), nodes: BTreeMap::new(), in_flight: VecDeque::new() }
    }

    pub fn add(&mut self, config: Config, durable: Durable) {
        let bytes = durable.to_bytes();
        self.start(Raft::restore(config, durable, self.now).unwrap(), Some(bytes));
    }

    /// Adds a member without durable state.
    pub fn add_blank(&mut self, config: Config) {
        self.start(Raft::new(config, self.now).unwrap(), None);
    }

    fn start(&mut self, raft: Raft, durable: Option<Vec<u8>>) {
        let id = raft.id();
        let due = self.now;
        let node = Node { raft, events: vec![], keeps_writes: false, write: None, due, durable };
        self.nodes.insert(id, node);
        self.input(id, Input::Timeout);
    }

    /// Gives an input and carries the outputs out. Returns the messages that were sent.
    pub fn input(&mut self, id: MemberId, input: Input) -> Vec<Message> {
        let Some(node) = self.nodes.get_mut(&id) else { return vec![] };
        let mut sent = vec![];
        node.raft.handle_input(self.now, input);
        loop {
            match node.raft.poll_output() {
                Output::Persist { ticket, bytes } => {
                    Durable::from_bytes(&bytes).unwrap();
                    if node.keeps_writes {
                        node.write = Some(ticket);
                    } else {
                        node.durable = Some(bytes);
                        node.raft.handle_input(self.now, Input::Persisted(ticket));
                    }
                }
                Output::Send { bytes, .. } => sent.push(Message::from_bytes(&bytes).unwrap()),
                Output::Event(event) => node.events.push(event),
                Output::WaitUntil(due) => {
                    assert!(due > self.now, "{id} would be woken again and again");
                    node.due = due;
                    break;
                }
            }
        }
        self.in_flight.extend(sent.iter().cloned());
        sent
    }

    /// Completes the write that a member waits for.
    pub fn persisted(&mut self, id: MemberId) -> Vec<Message> {
        let ticket = self.nodes.get_mut(&id).and_then(|node| node.write.take());
        ticket.map(|ticket| self.input(id, Input::Persisted(ticket))).unwrap_or_default()
    }

    pub fn deliver(&mut self, message: &Message) -> Vec<Message> {
        self.input(message.to, Input::Received(message.to_bytes()))
    }

    /// Delivers everything until no message is in flight; at most 10 000.
    pub fn stabilize(&mut self) {
        for _ in 0..10_000 {
            let Some(message) = self.in_flight.pop_front() else { return };
            self.deliver(&message);
        }
    }
}
