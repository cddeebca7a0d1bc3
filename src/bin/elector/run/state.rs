//! The state of the driving thread, which all parts of `elector run` share, and the messages it waits for.

use std::sync::mpsc::{Receiver, Sender};
use std::time::Duration;

use elector::core::lease::Event;
use elector::core::{FencingToken, Instant, Name};
use elector::driver::stores::url::StoreUrl;
use elector::{Change, Elector};
use nix::sys::signal::{SigSet, Signal};
use nix::unistd::Pid;

use super::channel::Report;
use super::events::Events;
use crate::options::RunOptions;
use crate::os::ended::Ended;
use crate::os::processes;
use crate::os::signals::ENDING;
use crate::os::terminal::Terminal;
use crate::output;

/// A message to the driving thread.
pub enum Message {
    Change(Change),
    Signal(Signal),
    Guardian(Option<Report>),
}

impl From<Option<Report>> for Message {
    fn from(report: Option<Report>) -> Message {
        Message::Guardian(report)
    }
}

/// The driving thread's state. This thread must not block: when it hangs for half a lease, the progress gate
/// ends the term.
pub struct Run<'a> {
    pub options: &'a RunOptions,
    pub url: StoreUrl,
    pub candidate: Name,
    pub terminal: Option<Terminal>,
    pub mask: SigSet,
    pub elector: Elector,
    pub inbox: Receiver<Message>,
    pub outbox: Sender<Message>,
    pub events: Option<Events>,
    /// The latest term whose begin was recorded, and the latest whose end was.
    pub begun: Option<FencingToken>,
    pub ended: Option<FencingToken>,
    /// The first signal that asked this program to end.
    pub interrupted: Option<Signal>,
    /// Since when the store fails, and the latest message about it.
    pub troubled_since: Option<Instant>,
    pub trouble: Option<String>,
    /// The longest wait between two calls of `Elector::alive`.
    pub max_wait: Duration,
    /// The only child whose end is awaited.
    pub keeper: Option<Pid>,
}

impl Run<'_> {
    /// Waits for the next message, at most this long; may return without one earlier. Every loop of this
    /// thread waits here, which tells the elector that the thread makes progress.
    pub fn next(&mut self, at_most: Duration) -> Option<Message> {
        self.elector.alive();
        processes::reap_except(self.keeper);
        self.inbox.recv_timeout(at_most.min(self.max_wait)).ok()
    }

    /// Handles a message while no command runs.
    pub fn absorb(&mut self, message: Message) {
        match message {
            Message::Signal(signal) if ENDING.contains(&signal) => {
                self.interrupted.get_or_insert(signal);
            }
            Message::Change(change) => self.record(&change),
            Message::Signal(_) | Message::Guardian(_) => {}
        }
    }

    pub fn record(&mut self, change: &Change) {
        match change.event {
            Event::Elected { token } => self.begun = Some(token),
            Event::Deposed { token, .. } => self.ended = Some(token),
            _ => {}
        }
        if let Some(events) = &mut self.events {
            events.write(change);
        }
    }

    pub fn say(&self, text: impl std::fmt::Display) {
        if !self.options.quiet {
            output::say(output::clean(&text.to_string()));
        }
    }

    pub fn election(&self) -> &Name {
        &self.options.election.name
    }

    /// The exit code after a signal asked us to end.
    pub fn signal_code(&self) -> u8 {
        self.interrupted.map_or(0, |signal| Ended::Signal(signal as i32).exit_code())
    }
}
