//! What happens to members, their network and their disks.

use super::super::plan::nanos;
use super::checks::Broken;
use super::node::Node;
use super::plan::{Beginning, Fault};
use super::queue::Happening;
use super::world::World;
use crate::core::raft::{Change, Incarnation, Input, Member, Profile, Raft, Standing, Transition};

impl World {
    /// One random fault, of a kind that the plan allows.
    pub(super) fn random_fault(&mut self) -> Result<(), Broken> {
        if self.striking == 0 {
            return Ok(());
        }
        let pause = nanos(self.plan.fault_every);
        let pause = self.random.between(pause / 2, pause * 3 / 2);
        self.enqueue(self.at + pause, Happening::Fault);
        let count = self.nodes.len() as u64;
        let (index, other) = (self.random.below(count) as usize, self.random.below(count) as usize);
        // Often the leader, where most faults have the largest effect.
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
                return self.host_input(index, Input::Transfer { request: 0, to });
            }
            Fault::Campaign => return self.host_input(index, Input::Campaign),
            Fault::Timers => return self.host_input(index, Input::Timeout),
            Fault::Leave => return self.host_input(index, Input::Leave),
            Fault::Churn => return self.churn(index, other),
            Fault::ClockRates => {
                let rate = self.plan.draw_rate(&mut self.random);
                self.nodes[index].set_rate(self.at, rate);
                return self.host_input(index, Input::Timeout);
            }
            Fault::Amnesia => {
                if self.may_forget(index) {
                    let node = &mut self.nodes[index];
                    node.forget(&mut self.random);
                    self.enqueue(until, Happening::Restart(index));
                }
            }
            // These strike with every message or write.
            Fault::Loss
            | Fault::Duplicate
            | Fault::Delay
            | Fault::VeryLate
            | Fault::Damage
            | Fault::Winner
            | Fault::TornWrite
            | Fault::SlowDisk => {}
        }
        Ok(())
    }

    /// An input of the host, unless the process is suspended.
    fn host_input(&mut self, index: usize, input: Input) -> Result<(), Broken> {
        let is_suspended = self.nodes[index].stopped_until > self.at;
        if is_suspended { Ok(()) } else { self.input(index, input) }
    }

    /// Whether each cluster that counts on a member has a quorum without it, so that it may lose its state.
    /// Members that lost theirs before, and members with a torn file, count as gone. False where members
    /// leave or are removed: a change of members that is in progress counts on all that answered lately.
    pub(super) fn may_forget(&self, index: usize) -> bool {
        if self.plan.has(Fault::Churn) || self.plan.has(Fault::Leave) {
            return false;
        }
        let leads = |node: &&Node| node.trusted_until > self.at;
        let leaders = self.nodes.iter().filter(leads).filter_map(|node| node.run.as_ref());
        let node = &self.nodes[index];
        let mut concerned = leaders.filter(|run| node.is_listed_in(run.raft.membership())).peekable();
        // A member of a founding list that has not heard of its cluster keeps as little of it as a member
        // that lost its state. And while a member's record lists no incarnations, it counts the votes of any.
        let knows = |node: &Node| {
            // All knew when its file was torn.
            let Some(run) = &node.run else { return node.disk.is_torn() };
            let members = run.raft.last().membership.members();
            let is_known = |member: &Member| member.profile.incarnation != Incarnation::UNKNOWN;
            run.raft.standing() != Standing::Founding && members.iter().all(is_known)
        };
        let list = &self.nodes[..self.plan.voters];
        let is_list = self.plan.beginning == Beginning::List;
        let is_known = !is_list || (list.len() > 1 && list.iter().all(knows));
        // A process of the list may lose its state again before it is a member anew: nobody counts on it.
        if is_list && index < list.len() && !self.is_counted_on(node) {
            return is_known;
        }
        is_known && concerned.peek().is_some() && concerned.all(|run| self.stands_without(&run.raft, index))
    }

    /// Whether a leader's cluster has a quorum that remembers without a member.
    fn stands_without(&self, leader: &Raft, index: usize) -> bool {
        let (committed, last) = (leader.committed(), leader.last());
        let remembers = |place: usize| {
            let profile = &committed.membership.members()[place].profile;
            let is_it = |(other, node): (usize, &Node)| {
                let listed = (profile.id, profile.incarnation);
                let keeps_state = other != index && !node.disk.is_torn();
                keeps_state && listed == (node.config.id, node.config.incarnation)
            };
            self.nodes.iter().enumerate().any(is_it)
        };
        let members = committed.membership.members();
        let may_lead = (0..members.len()).any(|place| members[place].may_lead() && remembers(place));
        // A joining learner that has been down for so long that it does not become a voter any more may lose
        // its state as well.
        let (node, max) = (&self.nodes[index], self.longest.1);
        let is_out = node.disk.torn_at().is_some_and(|at| self.at >= at + 2 * max);
        let joins = |member: &Member| {
            self.is_still_joining(member) && !(is_out && member.profile.id == node.config.id)
        };
        let changes = committed.membership.is_joint() || members.iter().any(joins);
        committed.membership == last.membership
            && !changes
            && may_lead
            && committed.membership.has_quorum(remembers)
    }

    /// An operator changes the members by way of one of them, or tells it that another one is gone.
    fn churn(&mut self, index: usize, other: usize) -> Result<(), Broken> {
        if self.nodes[index].stopped_until > self.at {
            return Ok(());
        }
        // A process outside the cluster that no other one knows any more would found a second cluster.
        let are_members = self.nodes[index].is_bound() && self.nodes[other].is_bound();
        if are_members && self.random.chance(10) {
            return self.input(index, Input::Gone(self.nodes[other].config.id));
        }
        let count = self.random.between(1, 3);
        let changes = (0..count).map(|_| self.change()).collect();
        let transition = if self.random.chance(30) { Transition::Joint } else { Transition::Auto };
        self.input(index, Input::ChangeMembership { request: 0, changes, transition })
    }

    fn change(&mut self) -> Change {
        let other = self.random.below(self.nodes.len() as u64) as usize;
        let config = &self.nodes[other].config;
        let (incarnation, priority, is_witness) = (config.incarnation, config.priority, config.is_witness);
        let profile = Profile { incarnation, priority, is_witness, ..Profile::new(config.id) };
        match self.random.below(12) {
            0..4 => Change::Voter(profile),
            4..8 => Change::Remove(config.id),
            8 => Change::Learner(profile),
            9 => Change::Join(profile),
            10 => Change::Promote(config.id),
            _ => Change::Demote(config.id),
        }
    }
}
