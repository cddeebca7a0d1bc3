//! What happens to members, their network and their disks.

use super::super::plan::nanos;
use super::checks::Broken;
use super::plan::Fault;
use super::queue::Happening;
use super::world::World;
use crate::core::raft::{Change, Input, Profile, Transition};

impl World {
    /// One random fault, of a kind that the plan allows.
    pub(super) fn blow(&mut self) -> Result<(), Broken> {
        if self.striking == 0 {
            return Ok(());
        }
        let pause = nanos(self.plan.fault_every);
        let pause = self.random.between(pause / 2, pause * 3 / 2);
        self.enqueue(self.at + pause, Happening::Fault);
        let count = self.nodes.len() as u64;
        let (index, other) = (self.random.below(count) as usize, self.random.below(count) as usize);
        // Often the leader: that is where it hurts.
        let index = if self.random.chance(40) { self.leader().unwrap_or(index) } else { index };
        let max = self.longest.1;
        let until = self.at + self.random.below(3 * max);
        let fault = self.random.pick(&self.plan.faults);
        let node = &mut self.nodes[index];
        match fault {
            Fault::Partition => node.cut_until = until,
            Fault::OneWay => {
                self.one_way.retain(|(_, _, until)| *until > self.at);
                if self.one_way.len() < 16 {
                    self.one_way.push((index, other, until));
                }
            }
            Fault::Suspend => node.stopped_until = until,
            Fault::Crash => {
                node.crash(&mut self.random);
                self.enqueue(until, Happening::Restart(index));
            }
            Fault::StuckDisk => node.disk.stuck_until = until,
            Fault::FailingDisk => node.disk.fails_until = until,
            Fault::Transfer => {
                let to = self.nodes[other].config.id;
                if self.nodes[index].stopped_until <= self.at {
                    return self.input(index, Input::Transfer { request: 0, to });
                }
            }
            Fault::Campaign => {
                if node.stopped_until <= self.at {
                    return self.input(index, Input::Campaign);
                }
            }
            Fault::Timers => {
                if node.stopped_until <= self.at {
                    return self.input(index, Input::Timeout);
                }
            }
            Fault::Churn => return self.churn(index),
            Fault::Leave => {
                if node.stopped_until <= self.at {
                    return self.input(index, Input::Leave);
                }
            }
            // These strike with every message or write.
            Fault::Loss
            | Fault::Duplicate
            | Fault::Delay
            | Fault::VeryLate
            | Fault::Damage
            | Fault::Winner
            | Fault::SlowDisk => {}
        }
        Ok(())
    }

    /// An operator changes the members, by way of one of them.
    fn churn(&mut self, index: usize) -> Result<(), Broken> {
        if self.nodes[index].stopped_until > self.at {
            return Ok(());
        }
        let count = self.random.between(1, 3);
        let changes = (0..count)
            .map(|_| {
                let other = self.random.below(self.nodes.len() as u64) as usize;
                let config = &self.nodes[other].config;
                let (incarnation, is_witness) = (config.incarnation, config.is_witness);
                let profile = Profile { incarnation, is_witness, ..Profile::new(config.id) };
                match self.random.below(10) {
                    0..4 => Change::Voter(profile),
                    4..8 => Change::Remove(config.id),
                    8 => Change::Learner(profile),
                    _ => Change::Demote(config.id),
                }
            })
            .collect();
        let transition = if self.random.chance(30) { Transition::Joint } else { Transition::Auto };
        self.input(index, Input::ChangeMembership { request: 0, changes, transition })
    }
}
