//! What lies between the members, and what it does to their messages.

use alloc::vec::Vec;

use super::super::plan::nanos;
use super::plan::Fault;
use super::queue::Happening;
use super::world::World;
use crate::core::raft::MemberId;

impl World {
    /// Whether no message comes through from one member to another now.
    pub(super) fn is_cut(&self, from: usize, to: usize) -> bool {
        let until = |node: usize| self.nodes[node].cut_until;
        let one_way = || self.one_way.iter().any(|(a, b, until)| (*a, *b) == (from, to) && *until > self.at);
        until(from) > self.at || until(to) > self.at || one_way()
    }

    pub(super) fn send(&mut self, from: usize, to: MemberId, mut bytes: Vec<u8>) {
        self.figures.messages += 1;
        let Some(to) = self.nodes.iter().position(|node| node.config.id == to) else { return };
        if self.strikes(Fault::Loss, 15) {
            return;
        }
        if self.strikes(Fault::Damage, 3) {
            let at = self.random.below(bytes.len() as u64) as usize;
            bytes[at] ^= 1 << self.random.below(8);
        }
        if self.strikes(Fault::Duplicate, 10) {
            let at = self.at + self.random.below(3 * self.longest.1);
            self.enqueue(at, Happening::Arrives { from, to, bytes: bytes.clone() });
        }
        let transit = self.transit();
        self.enqueue(self.at + transit, Happening::Arrives { from, to, bytes });
    }

    /// How long one message is under way.
    fn transit(&mut self) -> u64 {
        let (min, max) = self.longest;
        if self.strikes(Fault::VeryLate, 3) {
            return self.random.below(10 * max);
        }
        if self.strikes(Fault::Delay, 30) {
            return self.random.below(min);
        }
        let latency = nanos(self.plan.latency);
        self.random.between(latency / 2, latency)
    }
}
