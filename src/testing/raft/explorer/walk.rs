//! Random walks: long, and without the memory of what was seen.

use ::core::fmt;
use alloc::vec::Vec;

use super::super::super::random::Random;
use super::action::Action;
use super::counterexample::Counterexample;
use super::search::Explorer;
use super::state::{Setting, State};

/// What walks found: no promise was broken in them. What a walk begins with does not count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Walked {
    /// How many walks there were.
    pub walks: u64,
    /// How many things happened in all of them.
    pub steps: u64,
    /// How many terms began in which a member was trusted.
    pub elected: u64,
    /// How many records were committed.
    pub committed: u64,
    /// The largest number of voters in a record that a member knew to be committed.
    pub most_voters: usize,
}

impl fmt::Display for Walked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Walked { walks, steps, elected, committed, most_voters } = self;
        write!(
            f,
            "{walks} walks: {steps} steps, {elected} elections, {committed} commits, up to {most_voters} \
             voters"
        )
    }
}

impl Explorer {
    /// Draws walks of at most `steps` steps from a seed.
    ///
    /// # Errors
    /// When a promise is broken: the trace to that, without what it does not need.
    pub fn walk(&self, seed: u64, walks: u64, steps: usize) -> Result<Walked, Counterexample> {
        let orders = self.scope.orders().into_iter().take(1).collect();
        let setting = Setting::new(self.scope.clone(), orders);
        let start = State::start(&setting).map_err(Counterexample::at_start)?;
        let mut random = Random::new(seed);
        let mut walked = Walked { walks, ..Walked::default() };
        for _ in 0..walks {
            self.one_walk(&start, &setting, &mut random, steps, &mut walked)?;
        }
        Ok(walked)
    }

    fn one_walk(
        &self,
        start: &State,
        setting: &Setting,
        random: &mut Random,
        steps: usize,
        walked: &mut Walked,
    ) -> Result<(), Counterexample> {
        let (mut state, mut trace) = (start.clone(), Vec::new());
        let (mut cut, mut leaders) = (None, 0);
        for _ in 0..steps {
            let actions = state.actions(&self.scope);
            let Some(action) = draw(&actions, cut, random) else { break };
            trace.push(action.clone());
            match &action {
                Action::Deliver(packet) if random.chance(80) => state.network.remove(packet),
                _ => {}
            }
            if let Err(what) = state.apply(&action, setting, &mut Vec::new()) {
                let shortened = Counterexample::shortened(setting, trace.clone());
                return Err(shortened.unwrap_or_else(|| Counterexample::of(what, setting, &trace)));
            }
            walked.steps += 1;
            walked.most_voters = walked.most_voters.max(state.committed_voters().1);
            if state.term() > self.scope.terms {
                break;
            }
            cut = self.draw_cut(cut, state.leaders() & !leaders, random);
            leaders = state.leaders();
        }
        walked.elected += state.histories.elections() - start.histories.elections();
        walked.committed += state.histories.commits() - start.histories.commits();
        Ok(())
    }

    /// Draws the member that is cut off for a while: often one that has just won an election, whose records
    /// then reach nobody.
    fn draw_cut(&self, cut: Option<usize>, winner: u32, random: &mut Random) -> Option<usize> {
        if winner != 0 && random.chance(50) {
            return Some(winner.trailing_zeros() as usize);
        }
        if random.chance(5) {
            return Some(random.below(2 * self.scope.count() as u64) as usize);
        }
        cut
    }
}

/// Draws a kind of action first: most often a message arrives, mostly one of the newest, and none from or to
/// the member that is cut off.
fn draw(actions: &[Action], cut: Option<usize>, random: &mut Random) -> Option<Action> {
    let (mut deliveries, mut prompt, mut others) = (Vec::new(), Vec::new(), Vec::new());
    for action in actions {
        match action {
            Action::Deliver(packet) if cut == Some(packet.from) || cut == Some(packet.to) => {}
            Action::Deliver(_) => deliveries.push(action),
            Action::Written(_) | Action::Timeout(_) => prompt.push(action),
            _ => others.push(action),
        }
    }
    let roll = random.below(100);
    let from = if roll < 70 && !deliveries.is_empty() {
        if random.chance(80) {
            deliveries.drain(..deliveries.len().saturating_sub(6));
        }
        deliveries
    } else if roll < 85 && !prompt.is_empty() {
        prompt
    } else {
        others
    };
    (!from.is_empty()).then(|| from[random.below(from.len() as u64) as usize].clone())
}
