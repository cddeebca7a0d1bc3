//! How many outputs a machine may give after one input.

use super::checks::Broken;
use super::disk::{PROPOSE_ANSWER, kind_of};
use crate::core::raft::{Event, Output};

/// Maximum number of outputs after one input for each process, besides answers to proposals.
const OUTPUTS_EACH: usize = 6;

/// Maximum number of answers after one input: all proposals that wait at a leader, and all that it forwarded.
const MAX_ANSWERS: usize = 1_024 + 256;

/// How many more outputs a machine may give after one input.
pub(super) struct Allowance {
    outputs: usize,
    answers: usize,
}

impl Allowance {
    /// For one input in a world with so many processes.
    pub(super) fn new(processes: usize) -> Allowance {
        Allowance { outputs: OUTPUTS_EACH * processes, answers: MAX_ANSWERS }
    }

    pub(super) fn count(&mut self, output: &Output) -> Result<(), Broken> {
        let left = match output {
            Output::WaitUntil(_) => return Ok(()),
            Output::Event(Event::Answered { .. }) => &mut self.answers,
            Output::Send { bytes, .. } if kind_of(bytes) == Some(PROPOSE_ANSWER) => &mut self.answers,
            _ => &mut self.outputs,
        };
        *left = left.checked_sub(1).ok_or("more outputs after one input than are promised")?;
        Ok(())
    }
}
