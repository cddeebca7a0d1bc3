//! `elector run`: wait to be elected, run the command under a guardian, release.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;
use std::{env, io, process, thread};

use elector::core::lease::{DeposedReason, Event};
use elector::core::{FencingToken, Instant, Name};
use elector::driver::clock;
use elector::{Change, Elector};
use nix::sys::signal::{SigSet, Signal, killpg};
use nix::unistd::{AccessFlags, access, gethostname, getpgrp};

use crate::channel::{Ended, Report};
use crate::events::Events;
use crate::exit::{self, Failure};
use crate::options::RunOptions;
use crate::output;
use crate::processes;
use crate::signals;
use crate::stores;
use crate::term::{Plan, Term};
use crate::terminal::Terminal;

/// How long the store may take to take the release.
const RELEASE: Duration = Duration::from_secs(2);
/// How long a store may take to answer for the first time before we say what we are waiting for.
const FIRST_ANSWER: Duration = Duration::from_secs(5);
/// How long the last event of a term, which is on its way, may take to arrive on a busy machine.
const LAST_EVENT: Duration = Duration::from_secs(60);
/// How long signals may have to wait meanwhile.
const PATIENCE: Duration = Duration::from_millis(100);
/// A command that ends at once must not make a hot loop of elections out of `--forever`.
const SHORTEST_TERM: Duration = Duration::from_secs(1);

/// Everything that `elector run` waits for arrives here.
enum Message {
    Change(Change),
    Signal(Signal),
    Guardian(Option<Report>),
}

impl From<Option<Report>> for Message {
    fn from(report: Option<Report>) -> Message {
        Message::Guardian(report)
    }
}

/// How a term ended.
enum Outcome {
    /// The command ended by itself, or because of a signal that was passed on.
    Ended(Ended),
    /// Leadership ended, and the command was stopped.
    Lost,
    /// The command could not be started, for this `errno`.
    NotStarted(i32),
}

/// Runs `elector run`.
pub fn run(options: &RunOptions) -> Result<u8, Failure> {
    find(&options.command[0])?;
    let url = stores::url(&options.store)?;
    options.timing.options().build().map_err(Failure::usage)?;
    if !processes::can_be_listed() {
        return Err(Failure::internal(
            "/proc does not list processes' children; mount it, so that CMD can be ended",
        ));
    }
    let candidate = match &options.candidate {
        Some(candidate) => candidate.clone(),
        None => default_candidate()?,
    };
    processes::wait_for_children();
    let (outbox, inbox) = channel();
    let forward = outbox.clone();
    // Before any other thread: all of them inherit the mask.
    let mask = signals::hear(move |signal| forward.send(Message::Signal(signal)).is_ok())?;
    let events = options.events.as_deref().map(Events::open).transpose()?;
    let elector = stores::elector(options, &url, &candidate)?;
    let mut run = Run {
        options,
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
        trouble: None,
    };
    let result = run.stand_until_done();
    if let Some(events) = run.events.take() {
        events.close();
    }
    result
}

struct Run<'a> {
    options: &'a RunOptions,
    candidate: Name,
    terminal: Option<Terminal>,
    mask: SigSet,
    elector: Elector,
    inbox: Receiver<Message>,
    outbox: Sender<Message>,
    events: Option<Events>,
    /// The term whose beginning was recorded last, and the one whose end was.
    begun: Option<FencingToken>,
    ended: Option<FencingToken>,
    /// The first signal that asks us to end.
    interrupted: Option<Signal>,
    /// What was last said about the store.
    trouble: Option<String>,
}

impl Run<'_> {
    fn stand_until_done(&mut self) -> Result<u8, Failure> {
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
            if clock::now().saturating_since(began) < SHORTEST_TERM && !self.pause(SHORTEST_TERM) {
                return Ok(self.signal_code());
            }
        }
    }

    /// The exit code, if there is to be no other term.
    fn done(&self, outcome: &Outcome) -> Result<Option<u8>, Failure> {
        match *outcome {
            Outcome::NotStarted(errno) => Err(cannot_start(&self.options.command[0], errno)),
            Outcome::Ended(ended) => {
                // As in a shell's loop: a command that Ctrl-C killed ends the loop too.
                let typed =
                    matches!(ended, Ended::Signal(libc::SIGINT | libc::SIGQUIT)) && self.terminal.is_some();
                let again = self.options.forever && self.interrupted.is_none() && !typed;
                Ok((!again).then(|| ended.exit_code()))
            }
            Outcome::Lost if self.interrupted.is_some() => Ok(Some(self.signal_code())),
            Outcome::Lost if self.options.once => {
                self.say("leadership was lost; CMD was stopped");
                Ok(Some(exit::LOST))
            }
            Outcome::Lost => Ok(None),
        }
    }

    /// Changes arrive from a thread of their own, so that one inbox holds all there is to wait for.
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
        thread.map(|_| ()).map_err(|error| Failure::internal(format!("cannot start a thread: {error}")))
    }

    /// Waits for the store's first answer; false if a signal came first. A store that is out of reach may
    /// come back; one that refuses will not.
    fn reach_the_store(&mut self) -> Result<bool, Failure> {
        let end = clock::now().saturating_add(FIRST_ANSWER);
        loop {
            let began = clock::now();
            match self.elector.connect(PATIENCE) {
                Ok(()) => return Ok(true),
                Err(error) if error.is_permanent() => return Err(stores::refusal(error)),
                Err(_) if clock::now() >= end => return Ok(true),
                Err(_) => {}
            }
            let rest = began.saturating_add(PATIENCE).saturating_since(clock::now());
            if !self.pause(rest) {
                return Ok(false);
            }
        }
    }

    /// The token, or nothing if a signal came first.
    fn wait_to_be_elected(&mut self) -> Option<FencingToken> {
        self.elector.campaign();
        loop {
            let leadership = self.elector.leadership();
            if let (true, Some(token)) = (leadership.is_leader, leadership.token) {
                return Some(token);
            }
            match self.inbox.recv_timeout(Duration::from_secs(1)) {
                Ok(Message::Change(change)) => {
                    self.record(&change);
                    self.explain(&change);
                }
                Ok(Message::Signal(signal)) if signals::ends(signal) => {
                    self.interrupted = Some(signal);
                    let _ = self.elector.release_and_wait(Duration::from_millis(250));
                    return None;
                }
                Ok(Message::Signal(_) | Message::Guardian(_)) => {}
                Err(RecvTimeoutError::Timeout) => self.explain_trouble(),
                Err(RecvTimeoutError::Disconnected) => return None,
            }
        }
    }

    /// One term: from the election until nothing of the command is left.
    fn lead(&mut self, token: FencingToken) -> Result<Outcome, Failure> {
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
        };
        let term = Term::start(&plan, self.outbox.clone())
            .map_err(|error| Failure::internal(format!("cannot start the guardian: {error}")))?;
        let mut state = TermState {
            term,
            token,
            hard: Instant::MAX,
            lost: false,
            outcome: None,
            suspended: false,
            gone: false,
        };
        self.extend(&mut state);
        let outcome = self.keep(&mut state);
        state.term.finish();
        if let Some(terminal) = self.terminal {
            // A guardian that was killed cannot have done it.
            terminal.reclaim();
        }
        Ok(outcome)
    }

    fn keep(&mut self, state: &mut TermState) -> Outcome {
        loop {
            // A guardian that was stopped by somebody misses its deadline: half of the slack is left for us
            // then.
            let overdue = state.hard.saturating_sub(self.options.timing.slack() / 2);
            let wait = overdue.saturating_since(clock::now());
            if wait.is_zero() {
                state.lost = true;
                state.term.kill();
            }
            let wait = wait.clamp(Duration::from_millis(20), Duration::from_secs(3600));
            match self.inbox.recv_timeout(wait) {
                Ok(Message::Change(change)) => {
                    self.record(&change);
                    self.follow(state, &change);
                }
                Ok(Message::Signal(signal)) => self.pass_on(state, signal),
                Ok(Message::Guardian(Some(report))) => self.note(state, report),
                Ok(Message::Guardian(None)) => return self.conclude(state),
                Err(_) => {}
            }
        }
    }

    /// Tells the guardian how long trust lasts now.
    fn extend(&self, state: &mut TermState) {
        let leadership = self.elector.leadership();
        if leadership.is_leader && leadership.token == Some(state.token) {
            state.hard = leadership.trusted_until;
            state.term.extend(leadership.stop_new_work_at, leadership.trusted_until);
        } else if !state.lost {
            state.lost = true;
            state.term.stop();
        }
    }

    fn follow(&self, state: &mut TermState, change: &Change) {
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

    fn pass_on(&mut self, state: &mut TermState, signal: Signal) {
        if signal == Signal::SIGCONT {
            if std::mem::take(&mut state.suspended) {
                state.term.resume();
            }
            return;
        }
        if signals::ends(signal) {
            self.interrupted.get_or_insert(signal);
        }
        state.term.signal(signal);
    }

    fn note(&self, state: &mut TermState, report: Report) {
        match report {
            Report::Failed(errno) => state.outcome = Some(Outcome::NotStarted(errno)),
            Report::Expired => {
                state.lost = true;
                let why = self.elector.last_error().map(|error| format!(" ({error})")).unwrap_or_default();
                self.say(format!("leadership could not be extended in time{why}; stopping CMD"));
            }
            Report::Unkept => {
                state.lost = true;
                output::complain("the keeper of CMD's processes was killed; stopping CMD");
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
            Report::Started(_) | Report::Exited(_) => {}
            Report::Gone => state.gone = true,
        }
    }

    /// The guardian ended.
    fn conclude(&self, state: &mut TermState) -> Outcome {
        if let Some(outcome) = state.outcome.take() {
            return outcome;
        }
        if !state.gone && !state.lost {
            output::complain("the guardian was killed, so CMD was killed too");
        }
        Outcome::Lost
    }

    /// Gives the lease up, now that nothing of the command is left.
    fn release(&mut self, token: FencingToken) {
        if let Err(error) = self.elector.release_and_wait(RELEASE) {
            output::complain(format!("the lease could not be released and will end by itself: {error}"));
        }
        while self.events.is_some() && self.ended < self.begun.max(Some(token)) {
            match self.inbox.recv_timeout(LAST_EVENT) {
                Ok(Message::Change(change)) => self.record(&change),
                Ok(Message::Signal(signal)) if signals::ends(signal) => {
                    self.interrupted.get_or_insert(signal);
                }
                Ok(_) => {}
                Err(_) => return,
            }
        }
    }

    /// Waits, and says whether no signal came.
    fn pause(&mut self, pause: Duration) -> bool {
        let end = clock::now().saturating_add(pause);
        while self.interrupted.is_none() {
            let left = end.saturating_since(clock::now());
            if left.is_zero() {
                return true;
            }
            match self.inbox.recv_timeout(left) {
                Ok(Message::Signal(signal)) if signals::ends(signal) => self.interrupted = Some(signal),
                Ok(Message::Change(change)) => self.record(&change),
                _ => {}
            }
        }
        false
    }

    fn record(&mut self, change: &Change) {
        match change.event {
            Event::Elected { token } => self.begun = Some(token),
            Event::Deposed { token, .. } => self.ended = Some(token),
            _ => {}
        }
        if let Some(events) = &mut self.events {
            events.write(change);
        }
    }

    fn explain(&self, change: &Change) {
        let election = self.election();
        match &change.event {
            Event::LeaderChanged { leader: Some(leader) } => {
                let token = leader.token.map(|token| format!(" (token {token})")).unwrap_or_default();
                self.say(format!("waiting: {} leads '{election}'{token}", leader.id.candidate()));
            }
            Event::PoisonedRow { remaining_ms } => self.say(format!(
                "waiting: '{election}' is held for {remaining_ms} ms more, longer than its holder's lease; \
                 `elector break` clears that"
            )),
            Event::StoreClockStepped { by_us } => {
                let ms = by_us / 1_000;
                self.say(format!("the store's clock was stepped by {ms} ms; waiting a full lease"));
            }
            _ => {}
        }
    }

    fn explain_trouble(&mut self) {
        let trouble = self.elector.last_error().map(|error| error.to_string());
        // One that counts down is the same trouble.
        let without_numbers = |text: &String| text.replace(|c: char| c.is_ascii_digit(), "");
        if trouble.as_ref().map(without_numbers) != self.trouble.as_ref().map(without_numbers) {
            if let Some(trouble) = &trouble {
                output::complain(format!("waiting for the store: {trouble}"));
            }
            self.trouble = trouble;
        }
    }

    fn say(&self, text: impl std::fmt::Display) {
        if !self.options.quiet {
            output::say(output::clean(&text.to_string()));
        }
    }

    fn election(&self) -> &Name {
        &self.options.election.name
    }

    fn signal_code(&self) -> u8 {
        self.interrupted.map_or(0, |signal| Ended::Signal(signal as i32).exit_code())
    }
}

/// What is known of the present term.
struct TermState {
    term: Term,
    token: FencingToken,
    /// The last end of trust that the guardian was told.
    hard: Instant,
    /// Leadership ended before the command did.
    lost: bool,
    outcome: Option<Outcome>,
    /// The job is stopped by Ctrl-Z.
    suspended: bool,
    /// The guardian said that nothing is left.
    gone: bool,
}

/// `hostname-pid`, cut to what a name may hold.
fn default_candidate() -> Result<Name, Failure> {
    let host = gethostname().unwrap_or_else(|_| "host".into());
    let name = format!("{}-{}", host.to_string_lossy(), process::id());
    Name::new("candidate", &name)
        .map_err(|error| Failure::usage(format!("{error}; give one with --candidate")))
}

/// Refuses a command that cannot run before anything is elected for it.
fn find(command: &OsStr) -> Result<(), Failure> {
    let executable = |path: &Path| access(path, AccessFlags::X_OK).is_ok() && path.is_file();
    if command.as_bytes().contains(&b'/') {
        let path = Path::new(command);
        return match path.metadata() {
            Ok(_) if executable(path) => Ok(()),
            Ok(_) => Err(cannot_start(command, libc::EACCES)),
            Err(error) => Err(cannot_start(command, error.raw_os_error().unwrap_or(libc::ENOENT))),
        };
    }
    let path = env::var_os("PATH").unwrap_or_else(|| "/bin:/usr/bin".into());
    let found: Vec<_> =
        env::split_paths(&path).map(|folder| folder.join(command)).filter(|p| p.is_file()).collect();
    match found.iter().any(|path| executable(path)) {
        true => Ok(()),
        false if found.is_empty() || command.is_empty() => Err(cannot_start(command, libc::ENOENT)),
        false => Err(cannot_start(command, libc::EACCES)),
    }
}

fn cannot_start(command: &OsStr, errno: i32) -> Failure {
    let name = command.to_string_lossy();
    let missing = matches!(errno, libc::ENOENT | libc::ENOTDIR);
    let message = match errno {
        libc::ENOENT if !name.contains('/') => {
            format!("CMD '{name}' was not found in PATH; give its path or install it")
        }
        libc::ENOENT if Path::new(command).exists() => {
            format!("CMD '{name}' cannot be started: the interpreter in its first line (#!) was not found")
        }
        libc::EACCES => format!("CMD '{name}' is not executable; give a program, or its interpreter first"),
        _ => {
            let reason = io::Error::from_raw_os_error(errno);
            format!("CMD '{name}' cannot be started: {reason}; give the path of a program")
        }
    };
    Failure { code: if missing { exit::NOT_FOUND } else { exit::NOT_EXECUTABLE }, message }
}
