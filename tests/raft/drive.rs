//! What tests do with a cluster: voters that start together, and time that passes.

use std::time::Duration;

use elector::core::raft::{
    Body, Event, Input, Member, MemberId, Membership, Message, Profile, Raft, Refusal,
};

use crate::cluster::{CLUSTER, Cluster, INCARNATION, Node, Start};

impl Cluster {
    /// Voters with these ids, with the default settings.
    pub fn of(ids: &[&str]) -> Cluster {
        let mut cluster = Cluster::new();
        let ids: Vec<MemberId> = ids.iter().map(|id| MemberId::new(id).unwrap()).collect();
        let voter = |id: &MemberId| Member::voter(Profile { incarnation: INCARNATION, ..Profile::new(*id) });
        let membership = Membership::new(ids.iter().map(voter).collect()).unwrap();
        for id in ids {
            let start = Start::new(id, membership.clone());
            let durable = start.durable().unwrap();
            cluster.add(start.config, durable);
        }
        cluster
    }

    /// Lets time pass, and wakes whoever is due. Messages arrive at once, except those that `lose` picks.
    pub fn run(&mut self, span: Duration, lose: impl Fn(&Message) -> bool) {
        let end = self.now.saturating_add(span);
        loop {
            while let Some(message) = self.in_flight.pop_front() {
                if !lose(&message) {
                    self.deliver(&message);
                }
            }
            let Some((due, id)) = self.nodes.iter().map(|(id, node)| (node.due, *id)).min() else { return };
            if due > end {
                self.now = end;
                return;
            }
            self.now = self.now.max(due);
            self.input(id, Input::Timeout);
        }
    }

    /// A member stands for election, as soon as no vote is withheld after the start, and all messages arrive.
    pub fn elect(&mut self, name: &str) {
        self.now = self.now.saturating_add(200 * MS);
        self.input(id(name), Input::Campaign);
        self.stabilize();
    }

    pub fn raft(&self, id: &str) -> &Raft {
        &self.nodes[&MemberId::new(id).unwrap()].raft
    }

    /// Who leads now.
    pub fn leaders(&self) -> Vec<MemberId> {
        let leads = |node: &&Node| node.raft.leadership(self.now).is_leader;
        self.nodes.values().filter(leads).map(|node| node.raft.id()).collect()
    }
}

pub fn id(id: &str) -> MemberId {
    MemberId::new(id).unwrap()
}

pub const MS: Duration = Duration::from_millis(1);

/// A cluster of three in which a leads, with a record of its term committed everywhere.
pub fn led() -> Cluster {
    let mut cluster = Cluster::of(&["a", "b", "c"]);
    cluster.elect("a");
    assert_eq!(cluster.leaders(), [id("a")]);
    cluster
}

pub fn propose(cluster: &mut Cluster, to: &str, request: u64, expected: Option<u64>, data: &str) {
    cluster.input(id(to), Input::Propose { request, expected, data: data.as_bytes().into() });
}

/// A message to a member of [`led`], as another one would send it.
pub fn from_c(to: &str, term: u64, body: Body) -> Message {
    let incarnation = INCARNATION;
    let cluster = CLUSTER;
    let (from, to) = (id("c"), id(to));
    Message { cluster, from, from_incarnation: incarnation, to, to_incarnation: incarnation, term, body }
}

pub fn answers(cluster: &Cluster, of: &str) -> Vec<(u64, Result<u64, Refusal>)> {
    let answer = |event: &Event| match event {
        Event::Answered { request, result } => Some((*request, *result)),
        _ => None,
    };
    cluster.nodes[&id(of)].events.iter().filter_map(answer).collect()
}

/// Voters a, b and c with these priorities.
pub fn with_priorities(priorities: [u8; 3]) -> Cluster {
    let mut cluster = Cluster::of(&["a", "b", "c"]);
    let mut members = cluster.raft("a").membership().members().to_vec();
    for (member, priority) in members.iter_mut().zip(priorities) {
        member.profile.priority = priority;
    }
    let membership = Membership::new(members).unwrap();
    for name in ["a", "b", "c"] {
        let start = Start::new(id(name), membership.clone());
        let durable = start.durable().unwrap();
        cluster.add(start.config, durable);
    }
    cluster.in_flight.clear();
    cluster
}

/// The first message in flight of this type to a member; all others are lost.
pub fn only(cluster: &mut Cluster, to: &str, name: &str) -> Message {
    let is_wanted = |message: &Message| message.to == id(to) && message.body.name() == name;
    let found = cluster.in_flight.iter().find(|message| is_wanted(message)).cloned();
    cluster.in_flight.clear();
    found.unwrap_or_else(|| panic!("no {name} to {to}"))
}

/// Delivers the first message in flight of this type to a member; all others are lost.
pub fn pass(cluster: &mut Cluster, to: &str, name: &str) {
    let message = only(cluster, to, name);
    cluster.deliver(&message);
}
