//! The world of one run: the queue of what happens, and how a candidate is told something.

use std::collections::BTreeMap;

use elector::core::lease::{Event, Input, Output, Reply, Request, RequestId};
use elector::core::{Instant, StoreTime};

use crate::checks::{self, Broken, Tokens};
use crate::clock::Clock;
use crate::log::Log;
use crate::node::{Node, Run};
use crate::plan::{Fault, MS, Plan};
use crate::random::Random;
use crate::store::Store;

/// One run of a candidate, as the network knows it.
#[derive(Clone, Copy, Debug)]
pub struct Address {
    pub node: usize,
    pub incarnation: u64,
}

/// What happens at some true time.
#[derive(Debug)]
pub enum Happening {
    Timer {
        to: Address,
        timer: u64,
    },
    /// A request reaches the store.
    Arrives {
        from: Address,
        request: Request,
    },
    /// A reply reaches the candidate.
    Answered {
        to: Address,
        reply: Reply,
    },
    /// The driver waited until the deadline.
    GivenUp {
        to: Address,
        id: RequestId,
    },
    /// An input that no request led to.
    Told {
        to: Address,
        input: Input,
    },
    Host {
        node: usize,
    },
    Alive {
        node: usize,
    },
    Restart {
        node: usize,
    },
    /// The synchronous standby is back, or is promoted.
    Reunited {
        promote: bool,
    },
    Blow,
}

/// What a run was like.
#[derive(Clone, Copy, Debug, Default)]
pub struct Figures {
    pub happenings: u64,
    pub elected: u64,
    pub simulated_ns: u64,
    /// The longest time without a leader beyond the remaining lease: after the heal, a crash and a release.
    pub slowest: [u64; 3],
}

pub struct World {
    pub plan: Plan,
    pub at: u64,
    pub random: Random,
    pub store: Store,
    pub nodes: Vec<Node>,
    pub log: Log,
    pub healed: bool,
    pub figures: Figures,
    /// How far small steps put the store's clock ahead.
    pub store_ahead: i64,
    /// In which era of the store's clock and history (see [`Store::era`]) each reading was taken.
    pub eras: BTreeMap<(u64, StoreTime), u64>,
    tokens: Tokens,
    queue: BTreeMap<(u64, u64), Happening>,
    queued: u64,
}

impl World {
    pub fn new(seed: u64) -> World {
        let mut random = Random::new(seed);
        let plan = Plan::draw(&mut random);
        let rate = plan.rate(&mut random);
        let store = Store::new(Clock::new(1_700_000_000_000_000_000, rate), plan.shows_lease);
        let nodes = (0..plan.nodes)
            .map(|_| Node::new(Clock::new(random.below(3_600_000 * MS), plan.rate(&mut random))))
            .collect();
        World {
            plan,
            at: 0,
            random,
            store,
            nodes,
            log: Log::default(),
            healed: false,
            figures: Figures::default(),
            store_ahead: 0,
            eras: BTreeMap::new(),
            tokens: Tokens::default(),
            queue: BTreeMap::new(),
            queued: 0,
        }
    }

    pub fn begin(&mut self) {
        self.log.line(0, format_args!("{:?}", self.plan));
        for node in 0..self.nodes.len() {
            self.nodes[node].start(node, 0, &self.plan, &mut self.random);
            let at = self.random.below(self.plan.lease());
            self.enqueue(at, Happening::Host { node });
            self.enqueue(0, Happening::Alive { node });
        }
        self.enqueue(self.plan.every, Happening::Blow);
    }

    pub fn enqueue(&mut self, at: u64, happening: Happening) {
        self.queued += 1;
        self.queue.insert((at.max(self.at), self.queued), happening);
    }

    /// Lets go of every message that is on its way.
    pub fn forget_messages(&mut self) {
        self.queue.retain(|_, happening| {
            !matches!(
                happening,
                Happening::Arrives { .. } | Happening::Answered { .. } | Happening::Told { .. }
            )
        });
    }

    /// Whether a fault that is switched on strikes this time.
    pub fn strikes(&mut self, fault: Fault, percent: u64) -> bool {
        !self.healed && self.plan.has(fault) && self.random.chance(percent)
    }

    pub fn address(&self, node: usize) -> Address {
        Address { node, incarnation: self.nodes[node].incarnation }
    }

    /// Who leads on a lease that the store still keeps for it, and that has time for another renewal. A
    /// leader whose row was just revoked or lost does not know yet that it must go.
    pub fn leader(&self) -> Option<usize> {
        let row = self.store.row()?;
        let free = self.store.free_from(self.at);
        (0..self.nodes.len()).find(|&index| {
            let node = &self.nodes[index];
            let Some(run) = &node.run else { return false };
            let says = run.lease.leadership(node.now(self.at));
            let kept = row.holder.as_ref() == Some(&run.id) && Some(row.token) == says.token;
            let trusted = node.clock.reaches(says.trusted_until.as_nanos());
            says.is_leader && kept && trusted <= free && trusted > self.at + self.plan.lease() / 4
        })
    }

    /// Lets things happen until `end`.
    pub fn run_until(&mut self, end: u64) -> Result<(), Broken> {
        while self.step(end)? {}
        Ok(())
    }

    /// Lets things happen until somebody leads; says when, or fails after `limit`.
    pub fn run_until_led(&mut self, limit: u64, when: &str) -> Result<u64, Broken> {
        while self.leader().is_none() {
            if !self.step(limit)? {
                return Err(format!("nobody leads {when}"));
            }
        }
        Ok(self.at)
    }

    /// Lets the next thing happen, if it does before `end`; otherwise moves to `end`.
    pub fn step(&mut self, end: u64) -> Result<bool, Broken> {
        let Some(entry) = self.queue.first_entry().filter(|entry| entry.key().0 <= end) else {
            self.at = end;
            checks::everybody(self.at, &mut self.nodes, &self.store, &self.plan)?;
            return Ok(false);
        };
        let ((at, _), happening) = entry.remove_entry();
        self.at = at;
        self.figures.happenings += 1;
        self.happen(happening)?;
        checks::everybody(self.at, &mut self.nodes, &self.store, &self.plan)?;
        Ok(true)
    }

    fn happen(&mut self, happening: Happening) -> Result<(), Broken> {
        match happening {
            Happening::Timer { to, timer } => {
                if self.nodes[to.node].run.as_ref().is_some_and(|run| run.timer == timer) {
                    return self.tell(to, Input::Timeout);
                }
                Ok(())
            }
            Happening::Arrives { from, request } => {
                self.arrive(from, request);
                Ok(())
            }
            Happening::Answered { to, reply } => self.tell(to, Input::Reply(reply)),
            Happening::GivenUp { to, id } => self.give_up(to, id),
            Happening::Told { to, input } => self.tell(to, input),
            Happening::Host { node } => self.host(node),
            Happening::Alive { node } => {
                self.enqueue(self.at + self.plan.lease() / 8, Happening::Alive { node });
                if self.plan.gate && self.nodes[node].stalled_until <= self.at {
                    return self.tell(self.address(node), Input::Alive);
                }
                Ok(())
            }
            Happening::Restart { node } => {
                if self.nodes[node].run.is_none() {
                    self.nodes[node].start(node, self.at, &self.plan, &mut self.random);
                    self.log.line(
                        self.at,
                        format_args!("n{node} starts as {:016x}", self.nodes[node].incarnation),
                    );
                    return self.tell(self.address(node), Input::Campaign);
                }
                Ok(())
            }
            Happening::Reunited { promote } => {
                self.store.reunite(self.at, promote);
                self.log.line(self.at, format_args!("the standby is back: {:?}", self.store.row()));
                Ok(())
            }
            Happening::Blow => {
                let pause = self.random.below(2 * self.plan.every);
                self.enqueue(self.at + pause, Happening::Blow);
                self.blow()
            }
        }
    }

    /// Gives a candidate an input, once it runs; whatever is meant for an earlier run is lost.
    pub fn tell(&mut self, to: Address, input: Input) -> Result<(), Broken> {
        let Address { node: index, incarnation } = to;
        let node = &self.nodes[index];
        if node.run.is_none() || node.incarnation != incarnation {
            return Ok(());
        }
        if node.stopped_until > self.at {
            let late = node.stopped_until + self.random.below(MS);
            let again = match input {
                Input::Timeout => {
                    Happening::Timer { to, timer: node.run.as_ref().map_or(0, |run| run.timer) }
                }
                input => Happening::Told { to, input },
            };
            self.enqueue(late, again);
            return Ok(());
        }
        let stale = if self.strikes(Fault::StaleNow, 30) { self.random.below(5 * MS) } else { 0 };
        let now = Instant::from_nanos(self.nodes[index].clock.read(self.at).saturating_sub(stale));
        self.log.line(self.at, format_args!("n{index} < {input:?}"));
        let Some(run) = &mut self.nodes[index].run else { return Ok(()) };
        run.latest = run.latest.max(now);
        run.watch.input(run.latest, &input, &run.lease.leadership(now));
        if let Input::Reply(reply) = &input {
            run.open.remove(&reply.id);
            let era = reply.clock.and_then(|clock| self.eras.get(&(clock.timeline, clock.now)));
            run.era = era.copied().unwrap_or(0);
        }
        run.lease.handle_input(now, input);
        self.drain(index).map_err(|broken| format!("node {index}: {broken}"))
    }

    fn drain(&mut self, index: usize) -> Result<(), Broken> {
        for _ in 0..32 {
            let Some(run) = &mut self.nodes[index].run else { return Ok(()) };
            match run.lease.poll_output() {
                Output::Send(request) => {
                    self.log.line(self.at, format_args!("n{index} > {} {request:?}", request.op.name()));
                    run.watch.request(run.latest, &request, &self.plan)?;
                    run.open.insert(request.id);
                    if run.last_id.replace(request.id) >= Some(request.id) {
                        return Err(format!("{:?} is used again", request.id));
                    }
                    self.send(self.address(index), request);
                }
                Output::Event(event) => {
                    self.log.line(self.at, format_args!("n{index} ! {event:?}"));
                    run.watch.event(&event, &self.store.grants, &run.id)?;
                    match event {
                        Event::StoreClockStepped { .. } | Event::TimelineChanged => run.informed = run.era,
                        Event::Elected { token } => {
                            self.figures.elected += 1;
                            self.tokens.elected(token, &self.plan)?;
                            let informed = run.informed == self.store.era;
                            if informed && !self.plan.has(Fault::WildRates) {
                                self.nobody_else(index)?;
                            }
                        }
                        _ => {}
                    }
                }
                Output::WaitUntil(wait) => {
                    let says = run.lease.leadership(run.latest);
                    run.watch.drained(run.latest, &says, wait, &self.plan)?;
                    run.wait = wait;
                    self.set_timer(index);
                    return Ok(());
                }
            }
        }
        Err("its outputs do not end in a wait".into())
    }

    /// A candidate that saw the last step of the store's clock, or its last promotion, waits until every
    /// trust from before has ended: it keeps Promise L even in runs where others cannot.
    fn nobody_else(&self, index: usize) -> Result<(), Broken> {
        for (other, node) in self.nodes.iter().enumerate().filter(|(other, _)| *other != index) {
            let trusts = |run: &Run| run.lease.leadership(node.now(self.at)).token;
            if let Some(token) = node.run.as_ref().and_then(trusts) {
                return Err(format!("elected though it saw the step, while node {other} trusts {token}"));
            }
        }
        Ok(())
    }

    pub fn set_timer(&mut self, index: usize) {
        let late = self.strikes(Fault::LateTimers, 15);
        let early = self.strikes(Fault::SpuriousTimers, 15);
        let Some(run) = &mut self.nodes[index].run else { return };
        run.timer += 1;
        let (wait, timer, latest) = (run.wait, run.timer, run.latest);
        let to = self.address(index);
        if wait.latest == Instant::MAX {
            return;
        }
        let slack = wait.latest.saturating_since(wait.earliest).as_nanos() as u64;
        let fires = wait.earliest.as_nanos() + self.random.below(slack + 1);
        let mut at = self.nodes[index].clock.reaches(fires);
        if late {
            at += self.random.below(self.plan.lease());
        }
        self.enqueue(at, Happening::Timer { to, timer });
        if early {
            let ahead = fires.saturating_sub(latest.as_nanos());
            for _ in 0..2 {
                let at = self.at + self.random.below(ahead + 1);
                self.enqueue(at, Happening::Told { to, input: Input::Timeout });
            }
        }
    }
}
