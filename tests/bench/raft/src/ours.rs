//! A member with Elector's machine.

use std::time::Duration;

use elector::core::Instant;
use elector::core::raft::{
    Bound, ClusterId, Config, Durable, DurableState, Incarnation, Input, KnownIds, Member as Listed,
    MemberId, Membership, Output, Position, Profile, Raft, Record,
};

use crate::harness::{MEMBERS, Member, Queue};

pub struct Ours {
    raft: Raft,
    /// All members, by place.
    ids: [MemberId; MEMBERS],
    now: Instant,
    requests: u64,
    /// The newest durable state.
    disk: Vec<u8>,
}

fn id(place: usize) -> MemberId {
    MemberId::new(["0", "1", "2"][place]).expect("a digit is a valid id")
}

fn incarnation(place: usize) -> Incarnation {
    Incarnation::new(place as u64 + 1).expect("a small number is a valid incarnation")
}

impl Ours {
    fn input(&mut self, input: Input, sent: &mut Queue) {
        self.raft.handle_input(self.now, input);
        loop {
            match self.raft.poll_output() {
                Output::Send { to, bytes } => {
                    if let Some(place) = self.ids.iter().position(|id| *id == to) {
                        sent.push_back((place, bytes));
                    }
                }
                Output::Persist { ticket, bytes } => {
                    self.disk = bytes;
                    self.raft.handle_input(self.now, Input::Persisted(ticket));
                }
                Output::Event(_) => {}
                Output::WaitUntil(_) => break,
            }
        }
    }
}

impl Member for Ours {
    fn start(place: usize) -> Ours {
        let voter =
            |place| Listed::voter(Profile { incarnation: incarnation(place), ..Profile::new(id(place)) });
        let membership = Membership::new((0..MEMBERS).map(voter).collect()).expect("three voters");
        let committed = Record {
            position: Position::ZERO,
            cluster: ClusterId([7; 16]),
            membership: membership.into(),
            data: [].into(),
        };
        let state = DurableState::Bound(Bound {
            term: 0,
            vote: None,
            hold_ms: 0,
            is_established: true,
            known: KnownIds::default(),
            committed,
            uncommitted: None,
        });
        let (id, incarnation) = (id(place), incarnation(place));
        let config = Config::new(id, incarnation, 1);
        let min = config.timing.min();
        let durable = Durable { id, incarnation, state };
        let raft = Raft::restore(config, durable, Instant::ZERO).expect("sound state of this member");
        // A member that has just started gives no vote for the minimum election time.
        let now = Instant::ZERO.saturating_add(min);
        Ours { raft, ids: std::array::from_fn(self::id), now, requests: 0, disk: Vec::new() }
    }

    fn campaign(&mut self, sent: &mut Queue) {
        self.input(Input::Campaign, sent);
    }

    fn propose(&mut self, data: &[u8], sent: &mut Queue) {
        self.requests += 1;
        self.now = self.now.saturating_add(Duration::from_micros(1));
        let proposal = Input::Propose { request: self.requests, expected: None, data: data.into() };
        self.input(proposal, sent);
    }

    fn receive(&mut self, bytes: Vec<u8>, sent: &mut Queue) {
        self.input(Input::Received(bytes), sent);
    }

    fn is_leader(&self) -> bool {
        self.raft.leadership(self.now).is_leader
    }

    fn committed(&self) -> &[u8] {
        &self.raft.committed().data
    }
}
