//! Breadth-first search over the states.

use ::core::fmt;
use alloc::collections::VecDeque;
use alloc::vec;
use alloc::vec::Vec;

use super::action::Action;
use super::counterexample::Counterexample;
use super::scope::Scope;
use super::seen::Seen;
use super::state::{Setting, State};

/// Explores what members can do within a scope. See the [module](super).
pub struct Explorer {
    pub(super) scope: Scope,
}

/// What a search found: no promise is broken in any of these states.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Explored {
    /// How many different states were reached.
    pub states: u64,
    /// How many things happened in them.
    pub transitions: u64,
    /// How many of these led beyond the largest term.
    pub beyond: u64,
    /// The length of the longest of the shortest ways to a state.
    pub depth: u64,
    /// Whether no state is left that was not looked at.
    pub is_exhausted: bool,
    /// Whether states counted as one that differ only by which member is which: see [`Explorer::search`].
    pub is_up_to_symmetry: bool,
    /// The largest term in which a member was trusted.
    pub elected: u64,
    /// The largest index that was committed.
    pub committed: u64,
    /// The smallest and the largest number of voters in a record that a member knew to be committed; 0 of a
    /// member without a cluster.
    pub voters: (usize, usize),
}

impl fmt::Display for Explored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Explored { states, transitions, beyond, depth, elected, committed, .. } = self;
        let (fewest, most) = self.voters;
        let what = if self.is_exhausted { "exhausted" } else { "bounded" };
        let symmetry = if self.is_up_to_symmetry { " up to symmetry" } else { "" };
        write!(
            f,
            "{what}{symmetry}: {states} states, {transitions} transitions ({beyond} beyond the largest \
             term), depth {depth}, elected up to term {elected}, committed up to index {committed}, {fewest} \
             to {most} voters"
        )
    }
}

/// How a state was reached: from which, and by which of its actions.
type Origin = (u32, u16);

impl Explorer {
    /// An explorer of this scope.
    #[must_use]
    pub fn new(mut scope: Scope) -> Explorer {
        scope.voters = scope.voters.clamp(1, 5);
        scope.witnesses = scope.witnesses.min(scope.voters - 1);
        scope.spares = scope.spares.min(3);
        Explorer { scope }
    }

    /// Visits every state within the scope, nearest first, until none is left or `most` were found.
    ///
    /// From three members on, states that differ only by which member is which count as one, unless the
    /// members found a cluster. That misses something, because the machine breaks ties by ids: of two members
    /// that ask each other for a pre-vote the larger one gives way, a leader that is removed prefers the
    /// largest of equal successors, and of two new members the smaller one becomes a voter first. Of two
    /// mirrored states one is followed, so of each such tie the search may see one outcome only.
    ///
    /// # Errors
    /// When a promise is broken: a shortest trace to that.
    pub fn search(&self, most: usize) -> Result<Explored, Counterexample> {
        let setting = Setting::new(self.scope.clone(), self.scope.orders());
        let start = State::start(&setting).map_err(Counterexample::at_start)?;
        let (mut seen, mut origins) = (Seen::new(), vec![Origin::default()]);
        seen.insert(start.key(&setting));
        let voters = start.committed_voters();
        let is_up_to_symmetry = setting.orders.len() > 1;
        let mut explored = Explored { states: 1, is_up_to_symmetry, voters, ..Explored::default() };
        let mut queue = VecDeque::from([(0_u32, 0_u64, start)]);
        while let Some((number, depth, state)) = queue.pop_front() {
            explored.depth = depth;
            for (choice, action) in state.actions(&self.scope).into_iter().enumerate() {
                explored.transitions += 1;
                let mut next = state.clone();
                if let Err(what) = next.apply(&action, &setting, &mut Vec::new()) {
                    let trace = trace(&setting, &origins, (number, choice as u16));
                    return Err(Counterexample::of(what, &setting, &trace));
                }
                if next.term() > self.scope.terms {
                    explored.beyond += 1;
                    continue;
                }
                if !seen.insert(next.key(&setting)) {
                    continue;
                }
                explored.states += 1;
                explored.elected = explored.elected.max(next.histories.newest_token());
                explored.committed = explored.committed.max(next.histories.newest_committed());
                let (smallest, largest) = next.committed_voters();
                explored.voters = (smallest.min(explored.voters.0), largest.max(explored.voters.1));
                queue.push_back((origins.len() as u32, depth + 1, next));
                origins.push((number, choice as u16));
                if origins.len() >= most {
                    return Ok(explored);
                }
            }
        }
        Ok(Explored { is_exhausted: true, ..explored })
    }
}

/// The actions from the start to the last choice.
fn trace(setting: &Setting, origins: &[Origin], last: Origin) -> Vec<Action> {
    let mut choices = vec![last];
    while let Some((from, _)) = choices.last().filter(|(from, _)| *from > 0) {
        choices.push(origins[*from as usize]);
    }
    let Ok(mut state) = State::start(setting) else { return Vec::new() };
    let mut actions = Vec::new();
    for (_, choice) in choices.into_iter().rev() {
        let Some(action) = state.actions(&setting.scope).into_iter().nth(choice.into()) else { break };
        let _ = state.apply(&action, setting, &mut Vec::new());
        actions.push(action);
    }
    actions
}
