//! One member of an explored state: the machine, its disk, and what it said so far.

use ::core::hash::{Hash, Hasher};
use alloc::format;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::super::checks::{Broken, Histories, Watch};
use super::super::disk::check_promise;
use super::request::check_answer;
use crate::core::raft::{
    Config, Durable, DurableState, Event, Frame, Incarnation, Input, Output, Position, Protection, Raft,
    Role, Standing, Ticket,
};
use crate::core::{FencingToken, Instant};

/// Maximum number of outputs after one input.
const MAX_OUTPUTS: usize = 64;

#[derive(Clone)]
pub(super) struct Process {
    pub(super) raft: Raft,
    /// What the disk keeps.
    kept: Option<Arc<Durable>>,
    writing: Option<(Ticket, Arc<Durable>)>,
    watch: Watch,
    /// Its newest record when it was last looked at.
    last: Position,
    /// When it wants to be woken.
    due: Instant,
    /// The largest token that this member was given.
    token: Option<FencingToken>,
    /// How many clusters it founded.
    founded: u64,
    rules: Rules,
}

/// What a scope says of all its members.
#[derive(Clone, Copy)]
pub(super) struct Rules {
    /// Whether they ask others which cluster they belong to.
    pub(super) seeks: bool,
    /// The rule of the own term, if they lack it.
    pub(super) without: Option<Protection>,
}

/// What a member gave out.
#[derive(Default)]
pub(super) struct Given {
    pub(super) sent: Vec<Vec<u8>>,
    pub(super) events: Vec<Event>,
}

/// What the disk keeps of a write that ended without success.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keeps {
    /// The state before.
    Old,
    /// The state that was written.
    New,
}

impl Process {
    pub(super) fn new(config: Config, kept: Option<Durable>, rules: Rules, now: Instant) -> Process {
        let raft = match kept.clone() {
            Some(kept) => Raft::restore(config, kept, now),
            None => Raft::new(config, now),
        };
        let raft = raft.expect("a member starts with its own state");
        Process {
            watch: Watch::new(&raft),
            last: raft.last().position,
            kept: kept.map(Arc::new),
            writing: None,
            due: now,
            token: None,
            founded: 0,
            rules,
            raft,
        }
    }

    /// Ends, and starts again with what the disk keeps: if that is nothing, as another incarnation.
    pub(super) fn restart(&mut self, now: Instant, keeps: Keeps) {
        if let (Some((_, written)), Keeps::New) = (self.writing.take(), keeps) {
            self.kept = Some(written);
        }
        let mut config = self.raft.config().clone();
        if self.kept.is_none() {
            config.incarnation = Incarnation::new(config.incarnation.get() + 1).unwrap_or_default();
        }
        let (token, founded) = (self.token, self.founded);
        let kept = self.kept.as_deref().cloned();
        *self = Process { token, founded, ..Process::new(config, kept, self.rules, now) };
    }

    /// Gives an input and takes the outputs. A write that begins stays in progress.
    pub(super) fn input(
        &mut self,
        now: Instant,
        input: Input,
        histories: &mut Arc<Histories>,
        given: &mut Given,
    ) -> Result<(), Broken> {
        // What it draws is the same whatever it drew before, but for the id of another cluster.
        self.raft.reseed(self.founded);
        self.raft.handle_input(now, input);
        self.raft.postpone_election();
        if !self.rules.seeks {
            self.raft.postpone_seeking();
        }
        for _ in 0..MAX_OUTPUTS {
            match self.raft.poll_output() {
                Output::Send { bytes, .. } => {
                    check_promise(self.kept.as_deref(), &bytes, self.rules.without)?;
                    given.sent.push(bytes);
                }
                Output::Persist { ticket, bytes } => {
                    let written = Durable::from_bytes(&bytes).map_err(|invalid| format!("{invalid}"))?;
                    self.writing = Some((ticket, Arc::new(written)));
                }
                Output::Event(event) => {
                    self.event(&event, histories)?;
                    given.events.push(event);
                }
                Output::WaitUntil(due) => {
                    self.due = due;
                    self.check(now, histories)?;
                    return self.check_answers(&given.events, histories);
                }
            }
        }
        Err(format!("more than {MAX_OUTPUTS} outputs after one input"))
    }

    fn event(&mut self, event: &Event, histories: &mut Arc<Histories>) -> Result<(), Broken> {
        match event {
            Event::LeaderChanged { .. }
            | Event::Answered { .. }
            | Event::ChangeRefused { .. }
            | Event::OtherCluster { .. } => return Ok(()),
            Event::StandingChanged { standing: Standing::Founding, .. } => self.founded += 1,
            Event::Elected { token } => {
                let before = self.token.replace(*token);
                if before.is_some_and(|before| before >= *token) {
                    return Err(format!("it was elected to {token} after {before:?}"));
                }
            }
            _ => {}
        }
        self.watch.event(event, Arc::make_mut(histories))
    }

    fn check(&mut self, now: Instant, histories: &mut Arc<Histories>) -> Result<(), Broken> {
        let is_leader = self.raft.leadership(now).is_leader;
        self.watch.machine(&self.raft, is_leader)?;
        if !is_leader && self.watch.is_elected() {
            return Err("it does not lead, and has not said that its term is over".into());
        }
        if self.due <= now {
            return Err(format!("it wants to be woken at {:?}, which has passed", self.due));
        }
        let last = self.raft.last();
        if last.position != self.last {
            if last.position > Position::ZERO {
                Arc::make_mut(histories).of(last.cluster).kept(last, self.last)?;
            }
            self.last = last.position;
        }
        Ok(())
    }

    fn check_answers(&self, events: &[Event], histories: &Histories) -> Result<(), Broken> {
        let history = histories.get(self.raft.committed().cluster);
        events.iter().try_for_each(|event| match event {
            Event::Answered { request, result: Ok(index) } => check_answer(*request, *index, history),
            _ => Ok(()),
        })
    }

    /// Ends the write in progress. Returns what to tell the machine.
    pub(super) fn end_write(&mut self) -> Option<Input> {
        let (ticket, written) = self.writing.take()?;
        self.kept = Some(written);
        Some(Input::Persisted(ticket))
    }

    /// The write in progress fails. Returns what to tell the machine.
    pub(super) fn fail_write(&mut self, keeps: Keeps) -> Option<Input> {
        let (ticket, written) = self.writing.take()?;
        if keeps == Keeps::New {
            self.kept = Some(written);
        }
        Some(Input::PersistFailed(ticket))
    }

    pub(super) fn is_writing(&self) -> bool {
        self.writing.is_some()
    }

    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.due <= now
    }

    pub(super) fn leads(&self) -> bool {
        self.raft.role() == Role::Leader
    }

    /// The term that it will not fall below.
    pub(super) fn durable_term(&self) -> u64 {
        match self.kept.as_ref().map(|kept| &kept.state) {
            Some(DurableState::Bound(bound)) => bound.term,
            Some(DurableState::Blank { term, .. } | DurableState::Left { term, .. }) => *term,
            None => 0,
        }
    }

    /// Hashes all that decides what it does from now on.
    pub(super) fn fingerprint<H: Hasher + Default>(&self, frame: &Frame<'_>, hasher: &mut H) {
        self.raft.fingerprint(frame, hasher);
        // The next term is larger than the durable one: only a token beyond that can be followed by a
        // smaller one.
        let token = self.token.filter(|token| token.get() > self.durable_term());
        (token, self.founded).hash(hasher);
        let writing = self.writing.as_ref().map(|(_, written)| written);
        for durable in [self.kept.as_ref(), writing] {
            durable.is_some().hash(hasher);
            if let Some(durable) = durable {
                frame.durable(durable, hasher);
            }
        }
    }
}
