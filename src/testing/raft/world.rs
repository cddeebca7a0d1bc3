//! The world of one run: its members, their network, and the queue of what happens.

use ::core::time::Duration;
use alloc::boxed::Box;
use alloc::format;
use alloc::vec::Vec;

use super::super::log::Listener;
use super::super::plan::{MS, nanos};
use super::super::random::Random;
use super::super::violation::Violation;
use super::checks::{Broken, Histories, Proposal, lineage};
use super::node::{Node, nodes};
use super::outputs::Allowance;
use super::plan::{Fault, Plan};
use super::queue::{Happening, Queue};
use crate::core::Instant;
use crate::core::raft::{Durable, DurableState, Event, Input, Message, Output, Position, Role, Ticket};

/// What a run was like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// How many things happened: timers, messages, writes, proposals, faults.
    pub happenings: u64,
    /// How many terms began.
    pub elected: u64,
    /// How many records were committed.
    pub committed: u64,
    /// How many messages were sent.
    pub messages: u64,
    /// How long the run lasted, in true time.
    pub simulated: Duration,
    /// From the end of all faults until a member led.
    pub led_after_heal: Duration,
}

/// A simulated world of Raft members. See the [module](super).
pub struct World {
    seed: u64,
    pub(super) plan: Plan,
    /// The longest minimum and maximum election time of all members.
    pub(super) longest: (u64, u64),
    /// The true time, in nanoseconds.
    pub(super) at: u64,
    pub(super) random: Random,
    pub(super) nodes: Vec<Node>,
    /// The links that lose all messages: sender, receiver, and the true time until which they do.
    pub(super) one_way: Vec<(usize, usize, u64)>,
    /// The faults that may strike, as [`Plan::fault_set`] has them; none once everything has healed.
    pub(super) striking: u32,
    pub(super) histories: Histories,
    has_one_cluster: bool,
    pub(super) figures: Figures,
    digest: u64,
    listener: Option<Box<Listener>>,
    pub(super) queue: Queue,
    /// All proposals; the request of each is its place plus one.
    proposals: Vec<Proposal>,
}

impl World {
    /// The world of this seed, with the plan that is drawn from it: [`Plan::drawn`].
    #[must_use]
    pub fn new(seed: u64) -> World {
        World::with(seed, Plan::drawn(seed))
    }

    /// A world with a plan of your own. With the drawn plan of this seed it is [`World::new`].
    #[must_use]
    pub fn with(seed: u64, plan: Plan) -> World {
        let plan = plan.within_bounds();
        let mut random = Random::new(seed);
        let _ = Plan::draw(&mut random);
        let nodes = nodes(&plan, &mut random);
        let mut world = World {
            seed,
            longest: plan.longest(),
            striking: plan.fault_set(),
            plan,
            at: 0,
            random,
            nodes,
            one_way: Vec::new(),
            histories: Histories::default(),
            has_one_cluster: false,
            figures: Figures::default(),
            digest: seed,
            listener: None,
            queue: Queue::default(),
            proposals: Vec::new(),
        };
        world.has_one_cluster = world.has_one_cluster();
        let first = world.nodes[0].disk.read().expect("a whole file");
        if let Some(Durable { state: DurableState::Bound(bound), .. }) = first {
            world.histories.begin(&bound.committed);
        }
        for node in 0..world.nodes.len() {
            let at = world.random.below(100 * MS);
            world.enqueue(at, Happening::Restart(node));
        }
        world.enqueue(MS, Happening::Propose);
        world.enqueue(MS, Happening::Fault);
        world
    }

    /// Plays a whole run: faults for as long as [`Plan::chaos`] says; then all faults end, or some voters are
    /// lost for good, and the cluster must lead and commit again.
    ///
    /// # Errors
    /// When a promise is broken.
    pub fn run(&mut self) -> Result<(), Violation> {
        let result = self.live();
        result.map_err(|what| Violation::new(self.seed, self.at, what))
    }

    /// The plan.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// What the run was like so far.
    #[must_use]
    pub fn figures(&self) -> Figures {
        let simulated = Duration::from_nanos(self.at);
        let (elected, committed) = (self.histories.elections(), self.histories.commits());
        Figures { simulated, elected, committed, ..self.figures }
    }

    /// A digest of everything that happened: equal for equal runs.
    #[must_use]
    pub fn digest(&self) -> u64 {
        self.digest
    }

    /// Calls `listener` with a line for everything that happens from now on.
    pub fn listen(&mut self, listener: impl FnMut(&str) + 'static) {
        self.listener = Some(Box::new(listener));
    }

    fn live(&mut self) -> Result<(), Broken> {
        let end = nanos(self.plan.chaos);
        while self.step(end)? {}
        self.heal()?;
        let healed_at = self.at;
        let (min, max) = self.longest;
        // A round of elections may have no winner; ten in a row do not happen to correct members.
        let limit = self.at + 10 * (min + max) + 1_000 * MS + self.settling();
        while !self.have_all_left()
            && !self.leader().is_some_and(|leader| self.is_healed(&self.nodes[leader]))
        {
            if !self.step(limit)? {
                let after = (limit - healed_at) / MS;
                return Err(format!("nobody leads {after} ms after the heal{}", self.members()));
            }
        }
        self.figures.led_after_heal = Duration::from_nanos(self.at - healed_at);
        let goals = self.goals();
        let limit = self.at + 4 * max + 1_000 * MS + self.settling();
        while let Some(unsettled) = self.unsettled(&goals) {
            if !self.step(limit)? {
                let what = "not all members keep the newest records after the heal";
                return Err(format!("{what}: n{unsettled}{}", self.members()));
            }
        }
        Ok(())
    }

    /// Who leads now.
    #[must_use]
    pub fn leader(&self) -> Option<usize> {
        self.nodes.iter().position(|node| self.at < node.trusted_until)
    }

    pub(super) fn enqueue(&mut self, at: u64, happening: Happening) {
        self.queue.add(at.max(self.at), happening);
    }

    /// Whether a fault that is switched on strikes this time.
    pub(super) fn strikes(&mut self, fault: Fault, percent: u64) -> bool {
        self.striking >> fault as u32 & 1 == 1 && self.random.chance(percent)
    }

    /// Lets the next thing happen, if it does before `end`; otherwise moves to `end`.
    fn step(&mut self, end: u64) -> Result<bool, Broken> {
        let Some((at, happening)) = self.queue.next(end) else {
            self.at = end.max(self.at);
            return Ok(false);
        };
        self.at = at;
        self.figures.happenings += 1;
        self.happen(happening)?;
        Ok(true)
    }

    fn happen(&mut self, happening: Happening) -> Result<(), Broken> {
        if self.listener.is_some() {
            self.tell(&happening);
        }
        match happening {
            Happening::Timer(node) => self.timer(node),
            Happening::Arrives { from, to, bytes } => {
                if self.is_cut(from, to) || self.nodes[to].run.is_none() {
                    return Ok(());
                }
                let wakes = self.nodes[to].stopped_until;
                if wakes > self.at {
                    self.enqueue(wakes, Happening::Arrives { from, to, bytes });
                    return Ok(());
                }
                // A message ends with its checksum.
                let checksum = bytes.last_chunk().map_or(0, |checksum| u64::from_le_bytes(*checksum));
                self.digest = mix(self.digest, to as u64 ^ checksum);
                self.input(to, Input::Received(bytes))
            }
            Happening::Written { node, run, ticket } => self.written(node, run, ticket),
            Happening::Restart(node) => self.restart(node),
            Happening::Known { node, other } => {
                let wakes = self.nodes[node].stopped_until;
                if wakes > self.at {
                    self.enqueue(wakes, Happening::Known { node, other });
                    return Ok(());
                }
                let id = self.nodes[other].config.id;
                self.input(node, Input::Known(id))
            }
            Happening::Propose => self.propose(),
            Happening::Fault => self.random_fault(),
        }
    }

    /// The host starts a process, unless it runs. A torn file is given up as lost once the other voters are
    /// a quorum: the member comes back as another incarnation.
    fn restart(&mut self, index: usize) -> Result<(), Broken> {
        if self.nodes[index].run.is_some() {
            return Ok(());
        }
        if self.nodes[index].disk.is_torn() && self.may_forget(index) {
            self.nodes[index].forget(&mut self.random);
        }
        let started = self.nodes[index].start(self.at, &mut self.random);
        started.map_err(|broken| format!("n{index}: {broken}"))?;
        if self.nodes[index].run.is_none() {
            self.enqueue(self.at + self.longest.1, Happening::Restart(index));
            return Ok(());
        }
        self.input(index, Input::Timeout)?;
        self.introduce(index);
        Ok(())
    }

    /// A line about what happens now.
    fn tell(&mut self, happening: &Happening) {
        let text = match happening {
            Happening::Arrives { from, to, bytes } => match Message::from_bytes(bytes) {
                Ok(message) => format!("n{from} -> n{to} term {} {:?}", message.term, message.body),
                Err(invalid) => format!("n{from} -> n{to} {invalid}"),
            },
            other => format!("{other:?}"),
        };
        self.line(&text);
    }

    pub(super) fn line(&mut self, text: &str) {
        if let Some(listener) = &mut self.listener {
            let line = format!("{:>6}.{:09} {text}", self.at / 1_000_000_000, self.at % 1_000_000_000);
            listener(&line);
        }
    }

    fn timer(&mut self, node: usize) -> Result<(), Broken> {
        if self.nodes[node].timer_at != self.at {
            return Ok(());
        }
        self.nodes[node].timer_at = u64::MAX;
        if self.nodes[node].run.is_none() {
            return Ok(());
        }
        let wakes = self.nodes[node].stopped_until;
        if wakes > self.at {
            self.set_timer(node, wakes);
            return Ok(());
        }
        self.input(node, Input::Timeout)
    }

    fn set_timer(&mut self, node: usize, at: u64) {
        let at = at.max(self.at);
        if at < self.nodes[node].timer_at {
            self.nodes[node].timer_at = at;
            self.enqueue(at, Happening::Timer(node));
        }
    }

    fn written(&mut self, index: usize, run: u64, ticket: Ticket) -> Result<(), Broken> {
        let node = &mut self.nodes[index];
        if node.runs != run || node.run.is_none() {
            return Ok(());
        }
        let waits_until = node.disk.stuck_until.max(node.stopped_until);
        if waits_until > self.at {
            self.enqueue(waits_until, Happening::Written { node: index, run, ticket });
            return Ok(());
        }
        if self.strikes(Fault::TornWrite, 1) && self.may_forget(index) {
            self.line(&format!("n{index} crashes and tears its file"));
            self.nodes[index].tear(self.at, &mut self.random);
            let at = self.at + self.random.below(3 * self.longest.1);
            self.enqueue(at, Happening::Restart(index));
            return Ok(());
        }
        let node = &mut self.nodes[index];
        let succeeds = node.disk.fails_until <= self.at;
        if !node.disk.end_write(ticket, succeeds, &mut self.random) {
            return Ok(());
        }
        let input = if succeeds { Input::Persisted(ticket) } else { Input::PersistFailed(ticket) };
        self.input(index, input)
    }

    fn propose(&mut self) -> Result<(), Broken> {
        let pause = nanos(self.plan.propose_every);
        let pause = self.random.between(pause / 2, pause * 3 / 2);
        self.enqueue(self.at + pause, Happening::Propose);
        let node = self.random.below(self.nodes.len() as u64) as usize;
        let leads = |node: &usize| self.at < self.nodes[*node].trusted_until;
        let node = Some(node).filter(leads).or_else(|| self.leader()).unwrap_or(node);
        if self.nodes[node].run.is_none() || self.nodes[node].stopped_until > self.at {
            return Ok(());
        }
        let request = self.proposals.len() as u64 + 1;
        let expected = self.random.chance(30).then(|| self.expected(node));
        let proposal = Proposal::new(request, expected);
        let data = proposal.data.clone();
        self.proposals.push(proposal);
        self.input(node, Input::Propose { request, expected, data })
    }

    /// The index that a proposal at a member expects: mostly that of the member's newest record.
    fn expected(&mut self, node: usize) -> u64 {
        let newest = self.nodes[node].run.as_ref().map_or(0, |run| run.raft.last().position.index);
        if self.random.chance(70) { newest } else { newest + self.random.below(3) }
    }

    /// Gives an input to a running member, carries its outputs out and checks what must hold.
    pub(super) fn input(&mut self, index: usize, input: Input) -> Result<(), Broken> {
        let node = &mut self.nodes[index];
        let now = node.now(self.at);
        let Some(run) = &mut node.run else { return Ok(()) };
        run.raft.handle_input(now, input);
        let mut left = Allowance::new(self.nodes.len());
        let mut is_read_news = false;
        let due = loop {
            let Some(run) = &mut self.nodes[index].run else { return Ok(()) };
            let output = run.raft.poll_output();
            if !left.allows(&output) {
                return Err(format!("n{index} gave more outputs after one input than are promised"));
            }
            match output {
                Output::Send { to, bytes } => {
                    let node = &self.nodes[index];
                    let promise = node.disk.check_promise(&bytes, self.plan.without);
                    promise.map_err(|broken| format!("n{index}: {broken}"))?;
                    self.send(index, to, bytes);
                }
                Output::Persist { ticket, bytes } => self.write(index, ticket, bytes),
                Output::Event(event) => {
                    is_read_news |= matches!(event, Event::Committed(_) | Event::Elected { .. });
                    self.event(index, &event).map_err(|broken| format!("n{index}: {broken}"))?;
                }
                Output::WaitUntil(due) => break due,
            }
        };
        self.check(index, now)?;
        if is_read_news {
            self.check_reads()?;
        }
        if due <= now {
            return Err(format!("n{index} wants to be woken at {due:?}, which has passed at {now:?}"));
        }
        let due = self.nodes[index].clock.reaches(due.as_nanos());
        let due = if self.strikes(Fault::Timers, 20) { due + self.random.below(50 * MS) } else { due };
        if due < u64::MAX / 2 {
            self.set_timer(index, due);
        }
        Ok(())
    }

    fn event(&mut self, index: usize, event: &Event) -> Result<(), Broken> {
        if self.listener.is_some() {
            self.line(&format!("n{index} ! {event:?}"));
        }
        let node = &mut self.nodes[index];
        let Some(run) = &mut node.run else { return Ok(()) };
        run.watch.event(event, &mut self.histories)?;
        match event {
            Event::Elected { token } => {
                let before = node.token.replace(*token);
                if before.is_some_and(|before| before >= *token) {
                    return Err(format!("elected to {token} after {before:?}"));
                }
                Ok(())
            }
            // Request 0 is a hand-over, or a change of members.
            Event::Answered { request, result: Ok(committed) } if *request > 0 => {
                let proposal = &self.proposals[*request as usize - 1];
                run.watch.answered(*committed, proposal, &mut self.histories)
            }
            _ => Ok(()),
        }
    }

    /// A record was committed, or a member was elected: each leader knows the newest committed record.
    fn check_reads(&mut self) -> Result<(), Broken> {
        for (index, node) in self.nodes.iter().enumerate() {
            if let Some(run) = node.run.as_ref().filter(|_| self.at < node.trusted_until) {
                let read = self.histories.read(run.raft.committed());
                read.map_err(|broken| format!("n{index}: {broken}"))?;
            }
        }
        Ok(())
    }

    /// Cuts off a member that has just won an election, if that fault strikes.
    fn strike_winner(&mut self, index: usize) {
        let Some(run) = &mut self.nodes[index].run else { return };
        let leads = run.raft.role() == Role::Leader;
        let has_won = leads && !run.led;
        run.led = leads;
        if has_won && self.strikes(Fault::Winner, 50) {
            self.nodes[index].cut_until = self.at + self.random.below(3 * self.longest.1);
        }
    }

    fn check(&mut self, index: usize, now: Instant) -> Result<(), Broken> {
        let at = self.at;
        if self.has_one_cluster && self.histories.established() > 1 {
            return Err("two clusters of one start are established".into());
        }
        self.strike_winner(index);
        let node = &mut self.nodes[index];
        let Some(run) = &mut node.run else { return Ok(()) };
        let leadership = run.raft.leadership(now);
        run.watch.machine(&run.raft, leadership.is_leader).map_err(|broken| format!("n{index}: {broken}"))?;
        if !leadership.is_leader && run.watch.is_elected() {
            return Err(format!("n{index} does not lead, and has not said that its term is over"));
        }
        let last = run.raft.last();
        if last.position != run.last {
            let is_record = last.position > Position::ZERO;
            let history = self.histories.of(last.cluster);
            let result = if is_record { history.kept(last, run.last) } else { Ok(()) };
            run.last = last.position;
            result.map_err(|broken| format!("n{index}: {broken}"))?;
        }
        node.trusted_until =
            if leadership.is_leader { node.clock.reaches(leadership.trusted_until.as_nanos()) } else { 0 };
        self.digest = mix(self.digest, at ^ node.trusted_until ^ last.position.index << 40);
        if !leadership.is_leader {
            return Ok(());
        }
        let cluster = lineage(run.raft.committed().cluster);
        let leads_too = |(other, node): (usize, &Node)| {
            let is_leader = other != index && at < node.trusted_until;
            is_leader && node.run.as_ref().is_some_and(|run| lineage(run.raft.committed().cluster) == cluster)
        };
        match self.nodes.iter().enumerate().position(leads_too) {
            Some(other) => Err(format!("n{index} and n{other} lead at once")),
            None => Ok(()),
        }
    }

    fn write(&mut self, index: usize, ticket: Ticket, bytes: Vec<u8>) {
        self.nodes[index].disk.write(ticket, bytes);
        let delay = if self.strikes(Fault::SlowDisk, 40) {
            self.random.below(self.longest.0)
        } else {
            self.random.below(MS / 2)
        };
        let run = self.nodes[index].runs;
        self.enqueue(self.at + delay, Happening::Written { node: index, run, ticket });
    }
}

fn mix(digest: u64, value: u64) -> u64 {
    (digest ^ value).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(29)
}
