//! One term of `elector run`: from the election until no process of the command is left.

use std::time::Duration;

use elector::Change;
use elector::core::lease::{DeposedReason, Event};
use elector::core::{FencingToken, Instant};
use elector::driver::clock;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::getpgrp;

use super::channel::Report;
use super::state::{Message, Run};
use super::term::{Plan, Term};
use crate::exit::Failure;
use crate::os::ended::Ended;
use crate::os::signals::ENDING;
use crate::os::terminal::Terminal;
use crate::output;

/// Pause between two checks whether the keeper has ended; the first pauses are shorter.
const LOOK: Duration = Duration::from_millis(20);

/// How a term ended.
pub enum Outcome {
    /// The command ended by itself, or because of a signal that was passed on.
    Ended(Ended),
    /// Leadership ended, and the command was ended.
    Lost,
    /// The command was stopped for a lease, and was ended.
    Hung,
    /// The command could not be started, for this `errno`.
    NotStarted(i32),
}

/// What is known of the present term.
struct TermState {
    term: Term,
    token: FencingToken,
    /// The hard deadline that the guardian was last sent.
    hard: Instant,
    /// The command is being ended, because leadership ended or because it hangs.
    lost: bool,
    outcome: Option<Outcome>,
    /// The job is stopped by Ctrl-Z.
    suspended: bool,
    /// Since when the command is stopped, and by which signal.
    stopped: Option<(Instant, i32)>,
    /// The guardian reported that no process of the command is left.
    gone: bool,
}

impl Run<'_> {
    /// Runs the command for one term. Returns when no process of it is left.
    pub fn lead(&mut self, token: FencingToken) -> Result<Outcome, Failure> {
        let plan = Plan {
            command: &self.options.command,
            environment: vec![
                ("ELECTOR_ELECTION", self.election().to_string()),
                ("ELECTOR_CANDIDATE", self.candidate.to_string()),
                ("ELECTOR_TOKEN", token.to_string()),
            ],
            grace: self.options.timing.grace(),
            slack: self.options.timing.slack(),
            mask: self.mask,
            lock: self.elector.lock_fd(),
            database: self.url.sqlite_path(),
        };
        let term = Term::start(&plan, self.outbox.clone())
            .map_err(|error| Failure::system("start the guardian", &error))?;
        self.keeper = Some(term.keeper());
        let mut state = TermState {
            term,
            token,
            hard: Instant::MAX,
            lost: false,
            outcome: None,
            suspended: false,
            stopped: None,
            gone: false,
        };
        self.extend(&mut state);
        let outcome = self.keep(&mut state);
        self.finish(state.term);
        if let Some(terminal) = self.terminal {
            // A guardian that was killed could not give it back.
            terminal.reclaim();
        }
        Ok(outcome)
    }

    fn keep(&mut self, state: &mut TermState) -> Outcome {
        loop {
            // A guardian that is stopped by a signal misses its deadline. Then this thread kills the command,
            // in the second half of the slack.
            let overdue = state.hard.saturating_sub(self.options.timing.slack() / 2);
            let wait = overdue.saturating_since(clock::now());
            if wait.is_zero() {
                state.lost = true;
                state.term.kill();
            }
            self.resume_in_the_foreground(state);
            self.end_if_hung(state);
            match self.next(wait.max(Duration::from_millis(20))) {
                Some(Message::Change(change)) => {
                    self.record(&change);
                    self.handle_change(state, &change);
                }
                Some(Message::Signal(signal)) => self.handle_signal(state, signal),
                Some(Message::Guardian(Some(report))) => self.handle_report(state, report),
                Some(Message::Guardian(None)) => return self.conclude(state),
                None => {}
            }
        }
    }

    /// Waits until no process of the command is left, after the guardian has ended or was killed. That may
    /// take long; the lease is renewed meanwhile.
    fn finish(&mut self, mut term: Term) {
        term.kill();
        let mut pause = Duration::from_millis(1);
        while !term.is_gone() {
            if let Some(message) = self.next(pause) {
                self.absorb(message);
            }
            pause = (pause * 2).min(LOOK);
        }
        self.keeper = None;
    }

    /// Sends the guardian the present deadlines, or ends the command if this term is over.
    fn extend(&self, state: &mut TermState) {
        let leadership = self.elector.leadership();
        if leadership.is_leader && leadership.token == Some(state.token) {
            state.hard = leadership.trusted_until;
            state.term.extend(leadership.work_until, leadership.trusted_until);
        } else if !state.lost {
            state.lost = true;
            state.term.stop();
        }
    }

    fn handle_change(&self, state: &mut TermState, change: &Change) {
        match change.event {
            Event::Deposed { token, reason } if token == state.token => {
                state.lost = true;
                self.say(format!("leadership ended ({}); stopping CMD", reason.name()));
                if reason == DeposedReason::Revoked {
                    // The lease protects nothing any more, so there is no time for a grace.
                    state.hard = Instant::ZERO;
                    state.term.extend(Instant::ZERO, Instant::ZERO);
                }
                state.term.stop();
            }
            _ => self.extend(state),
        }
    }

    /// Continues a command that was stopped because it used the terminal while the job was in the background.
    /// This is polled: when only the command was stopped, `fg` sends the job no signal.
    fn resume_in_the_foreground(&self, state: &mut TermState) {
        let wants = matches!(state.stopped, Some((_, libc::SIGTTIN | libc::SIGTTOU)));
        if wants && self.terminal.is_some_and(Terminal::is_ours) {
            state.stopped = None;
            state.term.resume();
        }
    }

    /// Ends a command that has been stopped for a lease: it does no work, and would keep the lease for ever.
    fn end_if_hung(&self, state: &mut TermState) {
        let Some((since, signal)) = state.stopped.filter(|_| !state.lost && !self.options.keep_stopped)
        else {
            return;
        };
        let lease = self.options.timing.lease();
        if clock::now() >= since.saturating_add(lease) {
            let signal = Signal::try_from(signal).map_or("a signal", Signal::as_str);
            output::error(format!(
                "CMD has been stopped by {signal} for one lease ({} ms); ending CMD and releasing the lease. \
                 Use --keep-stopped to keep a stopped CMD",
                lease.as_millis()
            ));
            state.lost = true;
            state.outcome = Some(Outcome::Hung);
            state.term.stop();
        }
    }

    fn handle_signal(&mut self, state: &mut TermState, signal: Signal) {
        if signal == Signal::SIGCONT {
            if std::mem::take(&mut state.suspended) || state.stopped.is_some() {
                state.term.resume();
            }
            return;
        }
        if ENDING.contains(&signal) {
            self.interrupted.get_or_insert(signal);
        }
        state.term.signal(signal);
    }

    fn handle_report(&self, state: &mut TermState, report: Report) {
        match report {
            Report::Failed(errno) => state.outcome = Some(Outcome::NotStarted(errno)),
            Report::Expired => {
                state.lost = true;
                let why = self.elector.last_error().map(|error| format!(" ({error})")).unwrap_or_default();
                self.say(format!("the lease could not be renewed in time{why}; stopping CMD"));
            }
            Report::Unkept => {
                state.lost = true;
                output::error(
                    "the keeper process, which ends CMD if the guardian is killed, was killed; stopping CMD",
                );
            }
            Report::Displaced => {
                state.lost = true;
                output::error(format!(
                    "{} is no longer the file of this lease (moved, deleted or mounted over); killing CMD",
                    self.url
                ));
            }
            Report::Exited(ended) if !state.lost => state.outcome = Some(Outcome::Ended(ended)),
            Report::Exited(ended) if self.interrupted.is_some() => {
                state.outcome = Some(Outcome::Ended(ended))
            }
            Report::Suspended => {
                state.suspended = true;
                // What Ctrl-Z would have done had the job itself been in the foreground.
                let _ = killpg(getpgrp(), Signal::SIGSTOP);
            }
            Report::Stopped(signal) => state.stopped = Some((clock::now(), signal)),
            Report::Continued => state.stopped = None,
            Report::Started(_) | Report::Exited(_) => {}
            Report::Gone => state.gone = true,
        }
    }

    /// The outcome, after the guardian has ended.
    fn conclude(&self, state: &mut TermState) -> Outcome {
        if let Some(outcome) = state.outcome.take() {
            return outcome;
        }
        if !state.gone && !state.lost {
            output::error("the guardian process was killed, so CMD was killed too");
        }
        Outcome::Lost
    }
}
