//! What can happen next in a state.

use alloc::vec::Vec;

use super::action::Action;
use super::process::{Keeps, Process};
use super::scope::Scope;
use super::state::State;
use crate::core::raft::Transition;

impl State {
    /// All that can happen next within the scope.
    pub(super) fn actions(&self, scope: &Scope) -> Vec<Action> {
        let mut actions = Vec::with_capacity(16 + self.network.packets().len());
        for (member, process) in self.processes().enumerate() {
            self.actions_of(member, process, scope, &mut actions);
        }
        actions.extend(self.network.packets().iter().cloned().map(Action::Deliver));
        if self.budget.pauses > 0 {
            actions.push(Action::Pause);
        }
        actions
    }

    fn actions_of(&self, member: usize, process: &Process, scope: &Scope, actions: &mut Vec<Action>) {
        let budget = &self.budget;
        if process.is_due(self.now) {
            actions.push(Action::Timeout(member));
        }
        if process.leads() {
            if budget.proposals > 0 {
                let (newest, known) = (process.raft.last(), process.raft.committed());
                // While a record is in flight, the committed one is not what a proposal would replace.
                let stale = (newest.position != known.position).then_some(Some(known.position.index));
                let expected = [None, Some(newest.position.index)].into_iter().chain(stale);
                actions.extend(expected.map(|expected| Action::Propose(member, expected)));
            }
            let others = (0..scope.count()).filter(|other| *other != member);
            if budget.transfers > 0 {
                actions.extend(others.map(|other| Action::Transfer(member, other)));
            }
            if budget.changes > 0 {
                let sets = (1..1_u32 << scope.count()).filter(|set| *set != voters(process, scope));
                let both = [Transition::Auto, Transition::Joint];
                let change = |set| both.map(|transition| Action::Change(member, set, transition));
                actions.extend(sets.flat_map(change));
            }
        } else if process.raft.is_free_to_stand(self.now)
            && process.raft.membership().votes(&process.raft.id())
        {
            actions.push(Action::Campaign(member));
        }
        if budget.leaves > 0 {
            actions.push(Action::Leave(member));
        }
        let is_writing = process.is_writing();
        if is_writing {
            actions.push(Action::Written(member));
        }
        let outcomes = if is_writing { &[Keeps::Old, Keeps::New][..] } else { &[Keeps::Old][..] };
        if budget.failures > 0 && is_writing {
            actions.extend(outcomes.iter().map(|keeps| Action::WriteFails(member, *keeps)));
        }
        if budget.crashes > 0 {
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
