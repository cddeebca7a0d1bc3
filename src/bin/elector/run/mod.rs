//! `elector run`: waits to be elected, runs the command under a guardian, releases the lease.

mod channel;
mod command;
mod events;
pub mod guardian;
mod keeper;
mod lead;
mod state;
mod term;

use std::process;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use elector::Change;
use elector::core::lease::Event;
use elector::core::{FencingToken, Name};
use elector::driver::clock;
use nix::unistd::{gethostname, getpgrp};

use self::command::{cannot_start, find};
use self::events::Events;
use self::lead::Outcome;
use self::state::{Message, Run};
use crate::exit::{self, Failure};
use crate::options::RunOptions;
use crate::os::ended::Ended;
use crate::os::processes;
use crate::os::signals::{self, ENDING};
use crate::os::terminal::Terminal;
use crate::output;
use crate::stores;

/// Timeout of the release at the end of a term.
const RELEASE_TIMEOUT: Duration = Duration::from_secs(2);
/// How long to wait for the store's first answer before the campaign: a store that refuses ends the program.
const FIRST_ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// A failure of the store is reported when it has lasted this long.
const REPORT_TROUBLE_AFTER: Duration = Duration::from_millis(500);
/// Timeout for the last event of a term to arrive; long, since the machine may be busy.
const LAST_EVENT_TIMEOUT: Duration = Duration::from_secs(60);
/// Length of one attempt to reach the store, during which no signal is handled.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(100);
/// With `--forever`, terms begin at most this often: a command that ends at once must not cause a busy loop.
const MIN_TERM: Duration = Duration::from_secs(1);

/// The driving thread says that it is alive at least this often, and eight times per lease.
const MAX_WAIT: Duration = Duration::from_secs(1);

/// Runs `elector run`.
pub fn run(options: &RunOptions) -> Result<u8, Failure> {
    find(&options.command[0])?;
    let url = stores::url(&options.store)?;
    options.timing.options().build().map_err(Failure::usage)?;
    if !processes::can_be_listed() {
        return Err(Failure::internal(
            "/proc does not list the children of processes, so CMD could not be ended; mount /proc",
        ));
    }
    let candidate = match &options.candidate {
        Some(candidate) => candidate.clone(),
        None => default_candidate()?,
    };
    processes::wait_for_children();
    let (outbox, inbox) = channel();
    let forward = outbox.clone();
    // Before any other thread is started: all inherit the mask.
    let mask = signals::listen(move |signal| forward.send(Message::Signal(signal)).is_ok())
        .map_err(|error| Failure::system("listen for signals", &error))?;
    let events = options.events.as_deref().map(Events::open).transpose()?;
    let elector = stores::elector(options, &url, &candidate)?;
    let mut run = Run {
        options,
        url,
        candidate,
        terminal: Terminal::of(getpgrp()),
        mask,
        elector,
        inbox,
        outbox,
        events,
        begun: None,
        ended: None,
        interrupted: None,
        troubled_since: None,
        trouble: None,
        max_wait: MAX_WAIT.min(options.timing.lease() / 8),
        keeper: None,
    };
    let result = run.run_terms();
    if let Some(events) = run.events.take() {
        events.close();
    }
    result
}

impl Run<'_> {
    fn run_terms(&mut self) -> Result<u8, Failure> {
        self.forward_changes()?;
        if !self.reach_the_store()? {
            return Ok(self.signal_code());
        }
        loop {
            let Some(token) = self.wait_to_be_elected() else {
                return Ok(self.signal_code());
            };
            self.say(format!("elected: leads '{}' with token {token}", self.election()));
            let began = clock::now();
            let outcome = self.lead(token);
            self.release(token);
            let outcome = outcome?;
            if let Some(code) = self.done(&outcome)? {
                return Ok(code);
            }
            if clock::now().saturating_since(began) < MIN_TERM && !self.pause(MIN_TERM) {
                return Ok(self.signal_code());
            }
        }
    }

    /// The exit code, or `None` if there is to be another term.
    fn done(&self, outcome: &Outcome) -> Result<Option<u8>, Failure> {
        match *outcome {
            Outcome::NotStarted(errno) => Err(cannot_start(&self.options.command[0], errno)),
            Outcome::Ended(ended) => {
                // As in a loop of a shell: Ctrl-C that kills the command also ends the loop.
                let typed =
                    matches!(ended, Ended::Signal(libc::SIGINT | libc::SIGQUIT)) && self.terminal.is_some();
                let again = self.options.forever && self.interrupted.is_none() && !typed;
                Ok((!again).then(|| ended.exit_code()))
            }
            Outcome::Lost | Outcome::Hung if self.interrupted.is_some() => Ok(Some(self.signal_code())),
            Outcome::Lost if self.options.once => {
                self.say("leadership was lost; CMD was stopped");
                Ok(Some(exit::LOST))
            }
            Outcome::Hung if self.options.once => Ok(Some(exit::LOST)),
            Outcome::Lost | Outcome::Hung => Ok(None),
        }
    }

    /// Starts a thread that forwards the changes, so that the driving thread waits at one inbox only.
    fn forward_changes(&self) -> Result<(), Failure> {
        let mut changes = self.elector.changes();
        let outbox = self.outbox.clone();
        let forward = move || loop {
            let change = changes.next_timeout(Duration::from_secs(3600));
            if change.is_some_and(|change| outbox.send(Message::Change(change)).is_err()) {
                return;
            }
        };
        let thread = thread::Builder::new().name("changes".into()).spawn(forward);
        thread.map(|_| ()).map_err(|error| Failure::system("start a thread", &error))
    }

    /// Waits for the store's first answer; false if a signal came first. Fails if the store refuses; an
    /// unreachable store is retried.
    fn reach_the_store(&mut self) -> Result<bool, Failure> {
        let end = clock::now().saturating_add(FIRST_ANSWER_TIMEOUT);
        loop {
            let began = clock::now();
            match self.elector.connect(CONNECT_TIMEOUT) {
                Ok(()) => return Ok(true),
                Err(error) if error.is_permanent() => return Err(stores::refusal(error)),
                Err(_) => {}
            }
            let trouble = match self.elector.last_error() {
                // A store that takes longer to refuse than one attempt lasts.
                Some(error) if error.is_permanent() => return Err(stores::refusal(error.into())),
                Some(error) => error.to_string(),
                None => format!("{} has not answered yet", self.url),
            };
            if clock::now() >= end {
                return Ok(true);
            }
            self.explain_trouble(Some(trouble));
            let rest = began.saturating_add(CONNECT_TIMEOUT).saturating_since(clock::now());
            if !self.pause(rest) {
                return Ok(false);
            }
        }
    }

    /// Campaigns. Returns the token of the new term, or `None` if a signal came first.
    fn wait_to_be_elected(&mut self) -> Option<FencingToken> {
        self.elector.campaign();
        loop {
            let leadership = self.elector.leadership();
            if let (true, Some(token)) = (leadership.is_leader, leadership.token) {
                return Some(token);
            }
            match self.next(REPORT_TROUBLE_AFTER / 2) {
                Some(Message::Change(change)) => {
                    self.record(&change);
                    self.explain(&change);
                }
                Some(Message::Signal(signal)) if ENDING.contains(&signal) => {
                    self.interrupted = Some(signal);
                    let _ = self.elector.release_and_wait(Duration::from_millis(250));
                    return None;
                }
                Some(Message::Signal(_) | Message::Guardian(_)) | None => {}
            }
            self.explain_trouble(self.elector.last_error().map(|error| error.to_string()));
        }
    }

    /// Releases the lease, when no process of the command is left, and waits until the end of the term was
    /// written to the events.
    fn release(&mut self, token: FencingToken) {
        if let Err(error) = self.elector.release_and_wait(RELEASE_TIMEOUT) {
            output::error(format!(
                "cannot release the lease, so it blocks the next leader until it expires: {error}"
            ));
        }
        let end = clock::now().saturating_add(LAST_EVENT_TIMEOUT);
        while self.events.is_some() && self.ended < self.begun.max(Some(token)) && clock::now() < end {
            if let Some(message) = self.next(LAST_EVENT_TIMEOUT) {
                self.absorb(message);
            }
        }
    }

    /// Waits for this time. False if a signal came first.
    fn pause(&mut self, pause: Duration) -> bool {
        let end = clock::now().saturating_add(pause);
        while self.interrupted.is_none() {
            let left = end.saturating_since(clock::now());
            if left.is_zero() {
                return true;
            }
            if let Some(message) = self.next(left) {
                self.absorb(message);
            }
        }
        false
    }

    fn explain(&self, change: &Change) {
        let election = self.election();
        match &change.event {
            Event::LeaderChanged { leader: Some(leader) } => {
                let token = leader.token.map(|token| format!(" (token {token})")).unwrap_or_default();
                self.say(format!("waiting: {} leads '{election}'{token}", leader.id.candidate()));
            }
            Event::PoisonedRow { remaining_ms } => self.say(format!(
                "waiting: the row of '{election}' expires in {remaining_ms} ms, which is longer than its \
                 holder's lease; `elector break` corrects it"
            )),
            Event::StoreClockStepped { by_us } => {
                let ms = by_us / 1_000;
                self.say(format!("waiting one full lease: the store's clock was stepped by {ms} ms"));
            }
            _ => {}
        }
    }

    /// Reports a failure of the store that lasts, once.
    fn explain_trouble(&mut self, trouble: Option<String>) {
        let now = clock::now();
        let Some(trouble) = trouble else {
            self.troubled_since = None;
            self.trouble = None;
            return;
        };
        let since = *self.troubled_since.get_or_insert(now);
        // Messages that differ only in a number, such as a remaining time, are the same failure.
        let without_numbers = |text: &str| text.replace(|c: char| c.is_ascii_digit(), "");
        let is_new = self.trouble.as_deref().map(without_numbers) != Some(without_numbers(&trouble));
        if is_new && now.saturating_since(since) >= REPORT_TROUBLE_AFTER {
            output::error(format!("waiting for the store: {trouble}"));
            self.trouble = Some(trouble);
        }
    }
}

/// The default name: `hostname-pid`.
fn default_candidate() -> Result<Name, Failure> {
    let host = gethostname().unwrap_or_else(|_| "host".into());
    let name = format!("{}-{}", host.to_string_lossy(), process::id());
    Name::new("candidate", &name)
        .map_err(|error| Failure::usage(format!("{error}; set a name with --candidate")))
}
