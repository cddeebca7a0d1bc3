//! A trace to a promise that is broken.

use ::core::fmt;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::super::checks::Broken;
use super::action::Action;
use super::state::{Setting, State};

/// A promise that was broken, and what happened until then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counterexample {
    what: Broken,
    steps: usize,
    lines: Vec<String>,
}

impl Counterexample {
    pub(super) fn at_start(what: Broken) -> Counterexample {
        Counterexample { what, steps: 0, lines: Vec::new() }
    }

    /// Plays the trace again, with a line for everything that happens.
    pub(super) fn of(what: Broken, setting: &Setting, trace: &[Action]) -> Counterexample {
        let mut lines = Vec::new();
        if let Ok(mut state) = State::start(setting) {
            for (number, action) in trace.iter().enumerate() {
                lines.push(format!("{:>4}  {action}", number + 1));
                let mut events = Vec::new();
                let result = state.apply(action, setting, &mut events);
                lines.extend(events.iter().map(|event| format!("        {event}")));
                if result.is_err() {
                    break;
                }
            }
        }
        Counterexample { what, steps: trace.len(), lines }
    }

    /// The shortest trace that is left of a longer one when all is taken out that what is broken does not
    /// need.
    pub(super) fn shortened(setting: &Setting, mut trace: Vec<Action>) -> Option<Counterexample> {
        let mut what = None;
        let mut span = trace.len();
        while span > 0 {
            let mut at = 0;
            while at < trace.len() {
                let end = (at + span).min(trace.len());
                let without: Vec<Action> = trace[..at].iter().chain(&trace[end..]).cloned().collect();
                match replay(setting, &without) {
                    Some((broken, played)) => (what, trace) = (Some(broken), played),
                    None => at += span,
                }
            }
            span /= 2;
        }
        let what = what.or_else(|| replay(setting, &trace).map(|(broken, _)| broken))?;
        Some(Counterexample::of(what, setting, &trace))
    }
}

/// Plays those actions of a trace that are possible. Returns what they break, and those that were played.
fn replay(setting: &Setting, trace: &[Action]) -> Option<(Broken, Vec<Action>)> {
    let mut state = State::start(setting).ok()?;
    let mut played = Vec::new();
    for action in trace {
        let Some(action) = state.possible(action, setting) else { continue };
        let result = state.apply(&action, setting, &mut Vec::new());
        played.push(action);
        if let Err(broken) = result {
            return Some((broken, played));
        }
    }
    None
}

impl State {
    /// The action that this state has in place of one of another state.
    fn possible(&self, action: &Action, setting: &Setting) -> Option<Action> {
        let is_same = |other: &Action| match (action, other) {
            (Action::Deliver(one), Action::Deliver(other)) => {
                Arc::ptr_eq(one, other) || one.prints == other.prints
            }
            _ => format!("{action}") == format!("{other}"),
        };
        self.actions(&setting.scope).into_iter().rev().find(is_same)
    }
}

impl fmt::Display for Counterexample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}, after {} steps:", self.what, self.steps)?;
        self.lines.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}

impl ::core::error::Error for Counterexample {}
