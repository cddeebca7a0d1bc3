//! What must follow once all faults have ended: every member belongs to a cluster that leads and commits.

use ::core::time::Duration;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::super::plan::MS;
use super::checks::{Broken, lineage};
use super::node::{Node, Run};
use super::plan::{Beginning, Fault};
use super::queue::Happening;
use super::world::World;
use crate::core::raft::{Input, Member, MemberId, Membership, Profile, Protection, Raft, Standing};

/// The index that all members of each cluster must reach.
pub(super) type Goals = BTreeMap<[u8; 16], u64>;

impl World {
    /// A started process is told of the members that its host names.
    pub(super) fn introduce(&mut self, node: usize) {
        for other in self.nodes[node].knows.clone() {
            let at = self.at + self.random.below(200 * MS);
            self.enqueue(at, Happening::Known { node, other });
        }
    }

    /// Whether everything that happens leaves one cluster at most that yields to no other. Members found a
    /// second one only if they are silent to each other for long, or lose their state.
    pub(super) fn has_one_cluster(&self) -> bool {
        let can_be_silent = [
            Fault::Partition,
            Fault::OneWay,
            Fault::Suspend,
            Fault::Crash,
            // A process says nothing before its first state is written, and others may have founded by then.
            Fault::SlowDisk,
            Fault::StuckDisk,
            Fault::FailingDisk,
            Fault::Winner,
        ];
        let is_listed = match self.plan.beginning {
            // The processes that are no members have the state of one that was removed: they found none.
            Beginning::Members => true,
            Beginning::List => self.nodes.len() == self.plan.voters,
            Beginning::Blank => false,
        };
        // A member that leaves before it is in a cluster tells none of those that only it knows.
        let speaks = !can_be_silent.into_iter().chain([Fault::Leave]).any(|fault| self.plan.has(fault));
        let forgets = self.plan.has(Fault::Amnesia) || self.plan.has(Fault::TornWrite);
        !forgets && (is_listed || speaks)
    }

    /// All faults end. Only lost voters stay cut off, and messages that are on their way arrive, however old
    /// they are by then.
    pub(super) fn heal(&mut self) -> Result<(), Broken> {
        self.striking = 0;
        self.line("everything heals");
        self.plan.propose_every = self.plan.propose_every.min(Duration::from_millis(300));
        self.enqueue(self.at, Happening::Propose);
        self.queue.end_writes(self.at);
        self.one_way.clear();
        for node in &mut self.nodes {
            (node.cut_until, node.stopped_until) = (0, 0);
            (node.disk.stuck_until, node.disk.fails_until) = (0, 0);
        }
        self.lose_voters();
        for index in 0..self.nodes.len() {
            if self.nodes[index].run.is_none() {
                self.enqueue(self.at, Happening::Restart(index));
            } else {
                self.input(index, Input::Timeout)?;
            }
        }
        Ok(())
    }

    /// Cuts some voters off for good. A quorum is left, and a voter in it that may lead.
    fn lose_voters(&mut self) {
        let may_lead = (self.plan.voters - self.plan.witnesses) as u64;
        let is_left = self.plan.witnesses + self.random.below(may_lead) as usize;
        let mut others: Vec<usize> = (0..self.plan.voters).filter(|voter| *voter != is_left).collect();
        for _ in 0..self.plan.lost_voters {
            let lost = others.swap_remove(self.random.below(others.len() as u64) as usize);
            self.nodes[lost].cut_until = u64::MAX;
        }
    }

    /// Whether a member is not cut off from all others.
    pub(super) fn is_healed(&self, node: &Node) -> bool {
        node.cut_until <= self.at
    }

    /// Whether all members that may lead have left.
    pub(super) fn have_all_left(&self) -> bool {
        let has_left = |node: &Node| node.run.as_ref().is_some_and(|run| run.watch.has_left());
        self.nodes.iter().all(|node| node.config.is_witness || has_left(node))
    }

    /// How long founding, joining and leaving may take besides elections, where members do that.
    pub(super) fn settling(&self) -> u64 {
        if self.plan.has_fixed_members() {
            return 0;
        }
        let (min, max) = self.longest;
        20 * (min + max) + self.nodes.len() as u64 * 1_000 * MS
    }

    /// A few records more than now, in each cluster.
    pub(super) fn goals(&self) -> Goals {
        let mut goals = Goals::new();
        for run in self.nodes.iter().filter_map(|node| node.run.as_ref()) {
            let committed = run.raft.committed();
            let goal = goals.entry(lineage(committed.cluster)).or_default();
            *goal = committed.position.index.max(*goal);
        }
        goals.values_mut().for_each(|goal| *goal += 3);
        goals
    }

    /// A member that does not follow a leader up to the goal, if there is one.
    pub(super) fn unsettled(&self, goals: &Goals) -> Option<usize> {
        // Without the pre-vote, a member that does not know of its removal may raise the term for ever.
        let comes_and_goes = self.plan.has(Fault::Churn) || self.plan.has(Fault::Leave);
        let is_disturbed = comes_and_goes && self.plan.without == Some(Protection::PreVote);
        if is_disturbed || self.have_all_left() {
            return None;
        }
        self.nodes.iter().position(|node| !self.is_settled(node, goals))
    }

    /// A line for each member: what became of it.
    pub(super) fn members(&self) -> String {
        let mut lines = String::new();
        for (index, node) in self.nodes.iter().enumerate() {
            let Some(run) = &node.run else {
                lines += &format!("\n  n{index} is down");
                continue;
            };
            let raft = &run.raft;
            let (committed, last) = (raft.committed(), raft.last());
            lines += &format!(
                "\n  n{index} {} {:?}{}{}, term {}, in {} at {} (last {}): {}heard {:?}, knows {:?}",
                node.config.incarnation.get(),
                raft.standing(),
                if run.watch.has_left() { ", has left" } else { "" },
                if node.trusted_until > self.at { ", leads" } else { "" },
                raft.term(),
                committed.cluster,
                committed.position,
                last.position,
                parts(&last.membership),
                raft.heard(),
                raft.known().ids(),
            );
        }
        lines
    }

    fn is_settled(&self, node: &Node, goals: &Goals) -> bool {
        // With a torn file, and nobody who counts on it, it stays down until its operator gives it up.
        let Some(run) = &node.run else { return node.disk.is_torn() && !self.is_counted_on(node) };
        if run.watch.has_left() || !self.is_healed(node) {
            return true;
        }
        let raft = &run.raft;
        // It founds no cluster, and all that it knows are as blank as it is.
        let is_blank = |id: &MemberId| {
            let known = self.nodes.iter().find(|node| node.config.id == *id);
            let run = known.and_then(|node| node.run.as_ref());
            run.is_some_and(|run| run.raft.standing() == Standing::Blank)
        };
        let is_isolated = node.config.is_witness && raft.known().ids().iter().all(is_blank);
        // It waits for what the member says that named a cluster, which has left: until its host is told so.
        let has_left = |by: &MemberId| {
            let run = self.nodes.iter().find(|node| node.config.id == *by).and_then(|node| node.run.as_ref());
            run.is_some_and(|run| run.watch.has_left())
        };
        let is_misled = raft.heard().is_some_and(|(by, _)| has_left(&by));
        if raft.standing() == Standing::Blank && (is_isolated || is_misled) {
            return true;
        }
        let is_bound = matches!(raft.standing(), Standing::Bound | Standing::Founding);
        let own = lineage(raft.committed().cluster);
        let goal = goals.get(&own).copied().unwrap_or_default();
        is_bound
            && raft.committed().position.index >= goal
            && self.nodes.iter().any(|leader| self.is_led_by(raft, leader))
    }

    /// Whether a running member lists this incarnation of a process, in its newest or its committed record.
    pub(super) fn is_counted_on(&self, node: &Node) -> bool {
        let lists = |run: &Run| {
            let committed = &run.raft.committed().membership;
            node.is_listed_in(run.raft.membership()) || node.is_listed_in(committed)
        };
        self.nodes.iter().filter_map(|node| node.run.as_ref()).any(lists)
    }

    /// Whether a member is on its way to become a voter. One that lost its state since never will.
    pub(super) fn is_still_joining(&self, member: &Member) -> bool {
        let profile = &member.profile;
        let is_alive = |node: &Node| node.config.id == profile.id && profile.is_of(node.config.incarnation);
        member.is_joining && self.nodes.iter().any(is_alive)
    }

    /// Whether a trusted leader counts this member, and has no change of members to complete.
    fn is_led_by(&self, raft: &Raft, leader: &Node) -> bool {
        let Some(run) = leader.run.as_ref().filter(|_| self.at < leader.trusted_until) else { return false };
        let committed = run.raft.committed();
        let is_settled = !committed.membership.is_joint()
            && committed.membership.members().iter().all(|member| !self.is_still_joining(member));
        let listed = committed.membership.get(&raft.id()).map(|member| &member.profile);
        let counts = listed.is_some_and(|own: &Profile| own.is_of(raft.config().incarnation));
        let is_same = lineage(committed.cluster) == lineage(raft.committed().cluster);
        is_settled && counts && is_same
    }
}

/// The members and their parts, in short.
fn parts(membership: &Membership) -> String {
    let mut parts = String::new();
    for member in membership.members() {
        let all = [
            (member.is_voter, " voter"),
            (member.is_outgoing, " outgoing"),
            (member.is_learner, " learner"),
            (member.is_joining, " joining"),
        ];
        let id = &member.profile.id;
        parts += &format!("{id} {}", member.profile.incarnation.get());
        all.iter().filter(|(part, _)| *part).for_each(|(_, part)| parts += part);
        parts += ", ";
    }
    parts
}
