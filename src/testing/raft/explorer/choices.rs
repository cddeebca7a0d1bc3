//! What can happen next in a state.

use alloc::vec::Vec;

use super::action::Action;
use super::process::{Keeps, Process};
use super::scope::Scope;
use super::state::State;

impl State {
    /// All that can happen next within the scope.
    pub(super) fn actions(&self, scope: &Scope) -> Vec<Action> {
        let mut actions = Vec::with_capacity(16 + self.network.packets().len());
        for (member, process) in self.processes().enumerate() {
            self.actions_of(member, process, scope, &mut actions);
        }
        actions.extend(self.network.packets().iter().cloned().map(Action::Deliver));
        if self.left.pauses > 0 {
            actions.push(Action::Pause);
        }
        actions
    }

    fn actions_of(&self, member: usize, process: &Process, scope: &Scope, actions: &mut Vec<Action>) {
        let left = &self.left;
        if process.is_due(self.now) {
            actions.push(Action::Timeout(member));
        }
        if process.leads() {
            if left.proposals > 0 {
                actions.push(Action::Propose(member));
            }
            let others = (0..scope.count()).filter(|other| *other != member);
            if left.transfers > 0 {
                actions.extend(others.map(|other| Action::Transfer(member, other)));
            }
            if left.changes > 0 {
                let sets = (1..1_u32 << scope.count()).filter(|set| *set != voters(process, scope));
                actions.extend(sets.map(|set| Action::Change(member, set)));
            }
        } else if process.raft.is_free_to_stand(self.now)
            && process.raft.membership().votes(&process.raft.id())
        {
            actions.push(Action::Campaign(member));
        }
        if left.leaves > 0 {
            actions.push(Action::Leave(member));
        }
        let is_writing = process.is_writing();
        if is_writing {
            actions.push(Action::Written(member));
        }
        let outcomes = if is_writing { &[Keeps::Old, Keeps::New][..] } else { &[Keeps::Old][..] };
        if left.failures > 0 && is_writing {
            actions.extend(outcomes.iter().map(|keeps| Action::WriteFails(member, *keeps)));
        }
        if left.crashes > 0 {
            actions.extend(outcomes.iter().map(|keeps| Action::Crash(member, *keeps)));
        }
    }
}

/// The voters that a member knows, as a set of bits.
fn voters(process: &Process, scope: &Scope) -> u32 {
    let is_voter = |index: &usize| {
        let listed = process.raft.membership().get(&scope.profile(*index).id);
        listed.is_some_and(|member| member.is_voter)
    };
    (0..scope.count()).filter(is_voter).map(|index| 1 << index).sum()
}
