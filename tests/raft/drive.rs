//! What tests do with a cluster: voters that start together, and time that passes.

use std::time::Duration;

use elector::core::raft::{Input, Member, MemberId, Membership, Message, Profile, Raft};

use crate::cluster::{Cluster, INCARNATION, Node, Start};

impl Cluster {
    /// Voters with these ids, with the default settings.
    pub fn of(ids: &[&str]) -> Cluster {
        let mut cluster = Cluster::new();
        let ids: Vec<MemberId> = ids.iter().map(|id| MemberId::new(id).unwrap()).collect();
        let voter = |id: &MemberId| Member {
            profile: Profile { incarnation: INCARNATION, ..Profile::new(*id) },
            is_voter: true,
            is_outgoing: false,
            is_learner: false,
        };
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

    pub fn raft(&self, id: &str) -> &Raft {
        &self.nodes[&MemberId::new(id).unwrap()].raft
    }

    /// Who leads now.
    pub fn leaders(&self) -> Vec<MemberId> {
        let leads = |node: &&Node| node.raft.leadership(self.now).is_leader;
        self.nodes.values().filter(leads).map(|node| node.raft.id()).collect()
    }
}
