//! How many outputs a machine may give after one input.

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
    /// For one input in a world with so many processes. The wait at the end counts as well.
    pub(super) fn new(processes: usize) -> Allowance {
        Allowance { outputs: OUTPUTS_EACH * processes + 1, answers: MAX_ANSWERS }
    }

    /// Counts an output. Returns whether it was allowed.
    pub(super) fn allows(&mut self, output: &Output) -> bool {
        let is_answer = match output {
            Output::Send { bytes, .. } => kind_of(bytes) == Some(PROPOSE_ANSWER),
            Output::Event(event) => matches!(event, Event::Answered { .. }),
            Output::Persist { .. } | Output::WaitUntil(_) => false,
        };
        let left = if is_answer { &mut self.answers } else { &mut self.outputs };
        let rest = left.checked_sub(1);
        *left = rest.unwrap_or_default();
        rest.is_some()
    }
}
