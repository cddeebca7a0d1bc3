//! The world of one run: its candidates, its store, and the queue of what happens.

use ::core::time::Duration;
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::checks::{Broken, Tokens};
use super::clock::Clock;
use super::exclusion;
use super::log::Log;
use super::node::{Machine, Node, Start};
use super::plan::{Fault, InvalidPlan, MS, Plan, nanos};
use super::random::Random;
use super::store::Store;
use super::violation::Violation;
use crate::core::lease::{Config, Input, Leadership, Lease, Reply, Request, RequestId};
use crate::core::{Instant, StoreTime};

/// One run of a candidate, as the network knows it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Address {
    pub(super) node: usize,
    pub(super) incarnation: u64,
}

/// What happens at some true time.
#[derive(Debug)]
pub(super) enum Happening {
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
    /// An input that is not the reply to a request.
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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// How many things happened: timers, messages, inputs of hosts, faults.
    pub happenings: u64,
    /// How many terms began.
    pub elected: u64,
    /// How long the run lasted, in true time.
    pub simulated: Duration,
    /// The time without a leader after all faults ended, beyond the rest of the lease that stood. Zero where
    /// the candidates are strict, as in the next two: these wait longer on purpose.
    pub gap_after_heal: Duration,
    /// The time without a leader after the leader crashed, beyond the rest of its lease.
    pub gap_after_crash: Duration,
    /// The time without a leader after a release.
    pub gap_after_release: Duration,
}

/// A simulated world: candidates, each with its own clock, one store with another, and a network that loses,
/// delays, doubles and reorders messages between them.
///
/// All chance is drawn from a seed: the same seed and plan give the same world, on every machine. After each
/// thing that happens the promises are checked: one leader at a time, growing tokens, events in order,
/// bounded operations.
///
/// The hosts campaign within the first lease, and now and then again. [`World::run`] plays a whole run; the
/// other methods play a scenario of your own:
///
/// ```
/// use elector::testing::{Plan, World};
/// use std::time::Duration;
///
/// let plan = Plan { candidates: 3, faults: vec![], ..Plan::drawn(1) };
/// let lease = plan.timing.lease();
/// let mut world = World::with(1, plan)?;
///
/// world.run_for(lease * 2)?;
/// let first = world.leader().expect("a candidate leads");
/// world.crash(first, lease * 10);
/// world.run_for(lease * 2)?;
/// assert!(world.leader().is_some_and(|second| second != first));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct World {
    seed: u64,
    pub(super) plan: Plan,
    /// The true time, in nanoseconds.
    pub(super) at: u64,
    pub(super) random: Random,
    pub(super) store: Store,
    pub(super) nodes: Vec<Node>,
    pub(super) log: Log,
    pub(super) healed: bool,
    pub(super) figures: Figures,
    /// How far small steps put the store's clock ahead.
    pub(super) store_ahead: i64,
    /// In which era of the store's clock and history (see [`Store::era`]) each reading was taken.
    pub(super) eras: BTreeMap<(u64, StoreTime), u64>,
    pub(super) tokens: Tokens,
    begin: Box<Start>,
    queue: BTreeMap<(u64, u64), Happening>,
    queued: u64,
}

impl World {
    /// The world of this seed, with the plan that is drawn from it: [`Plan::drawn`].
    #[must_use]
    pub fn new(seed: u64) -> World {
        let mut random = Random::new(seed);
        let plan = Plan::draw(&mut random);
        World::made(seed, random, plan, Box::new(lease))
    }

    /// A world with a plan of your own. With the drawn plan of this seed it is [`World::new`].
    ///
    /// # Errors
    /// When a field of the plan is out of its bounds.
    pub fn with(seed: u64, plan: Plan) -> Result<World, InvalidPlan> {
        World::with_machines(seed, plan, lease)
    }

    /// A world whose candidates are machines of your own: `begin` is called whenever a candidate starts, with
    /// its configuration and its clock's time. It must depend on nothing else, or a seed cannot be replayed.
    ///
    /// ```
    /// use elector::core::Instant;
    /// use elector::core::lease::{Input, Leadership, Lease, Output};
    /// use elector::testing::{Machine, Plan, World};
    ///
    /// /// A host that never drains: it releases at once.
    /// struct Hasty(Lease);
    ///
    /// impl Machine for Hasty {
    ///     fn handle_input(&mut self, now: Instant, input: Input) {
    ///         let input = if input == Input::Drain { Input::Release } else { input };
    ///         self.0.handle_input(now, input);
    ///     }
    ///     fn poll_output(&mut self) -> Output {
    ///         self.0.poll_output()
    ///     }
    ///     fn leadership(&self, now: Instant) -> Leadership {
    ///         self.0.leadership(now)
    ///     }
    ///     fn settlements(&self) -> u64 {
    ///         self.0.settlements()
    ///     }
    /// }
    ///
    /// for seed in 0..10 {
    ///     let begin = |config, now| Box::new(Hasty(Lease::new(config, now))) as Box<dyn Machine>;
    ///     World::with_machines(seed, Plan::drawn(seed), begin)?.run()?;
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// When a field of the plan is out of its bounds.
    pub fn with_machines(
        seed: u64,
        plan: Plan,
        begin: impl FnMut(Config, Instant) -> Box<dyn Machine> + 'static,
    ) -> Result<World, InvalidPlan> {
        plan.check()?;
        // As many draws as for the drawn plan, so that the rest of the world is the same.
        let mut random = Random::new(seed);
        let _ = Plan::draw(&mut random);
        Ok(World::made(seed, random, plan, Box::new(begin)))
    }

    fn made(seed: u64, mut random: Random, plan: Plan, begin: Box<Start>) -> World {
        let rate = plan.rate(&mut random);
        let store = Store::new(Clock::new(1_700_000_000_000_000_000, rate), plan.shows_lease);
        let nodes = (0..plan.candidates)
            .map(|_| Node::new(Clock::new(random.below(3_600_000 * MS), plan.rate(&mut random))))
            .collect();
        let mut world = World {
            seed,
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
            begin,
            queue: BTreeMap::new(),
            queued: 0,
        };
        world.log.line(0, format_args!("{:?}", world.plan));
        for node in 0..world.nodes.len() {
            world.start(node);
            let at = world.random.below(world.plan.lease());
            world.enqueue(at, Happening::Host { node });
            world.enqueue(0, Happening::Alive { node });
        }
        world.enqueue(world.plan.pause(), Happening::Blow);
        world
    }

    /// Plays a whole run: the plan's faults for as long as [`Plan::chaos`] says; then all faults end, and the
    /// promises of availability must hold: a leader is elected in time after the heal, after the leader
    /// crashed, and after it released its lease.
    ///
    /// # Errors
    /// When a promise is broken. [`World::log_tail`] tells what happened before.
    pub fn run(&mut self) -> Result<(), Violation> {
        let result = self.live();
        self.judged(result)
    }

    /// Plays for so long.
    ///
    /// # Errors
    /// When a promise is broken.
    pub fn run_for(&mut self, span: Duration) -> Result<(), Violation> {
        let result = self.run_until(self.at.saturating_add(nanos(span)));
        self.judged(result)
    }

    /// Ends all faults. Candidates that crashed are started, and every host campaigns.
    ///
    /// # Errors
    /// When a promise is broken.
    pub fn heal(&mut self) -> Result<(), Violation> {
        let result = self.end_faults();
        self.judged(result)
    }

    /// Gives a candidate an input of its host or driver, once its process runs. A candidate that crashed, or
    /// that there is none of, gets nothing. A reply of yours must tell the truth: no machine sees through a
    /// lie.
    ///
    /// # Errors
    /// When a promise is broken.
    pub fn tell(&mut self, candidate: usize, input: Input) -> Result<(), Violation> {
        if candidate >= self.nodes.len() {
            return Ok(());
        }
        let result = self.deliver(self.address(candidate), input);
        self.judged(result)
    }

    /// A candidate's process crashes, and starts again after `down`. One that crashed before, or that there
    /// is none of, is left alone.
    pub fn crash(&mut self, candidate: usize, down: Duration) {
        if self.nodes.get_mut(candidate).and_then(|node| node.run.take()).is_some() {
            self.log.line(self.at, format_args!("n{candidate} crashes"));
            let back = self.at.saturating_add(nanos(down));
            self.enqueue(back, Happening::Restart { node: candidate });
        }
    }

    /// What a candidate knows of its leadership now; `None` if it crashed, or if there is no such candidate.
    #[must_use]
    pub fn leadership(&self, candidate: usize) -> Option<Leadership> {
        let node = self.nodes.get(candidate)?;
        node.run.as_ref().map(|run| run.machine.leadership(node.now(self.at)))
    }

    /// The plan.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// What the run was like so far.
    #[must_use]
    pub fn figures(&self) -> Figures {
        Figures { simulated: Duration::from_nanos(self.at), ..self.figures }
    }

    /// Calls `listener` with every line of the log: those that are still kept now, the others as they come. A
    /// line begins with the true time in seconds; `n0 <` is an input of the first candidate, `n0 >` a
    /// request, `n0 !` an event, and `n0 ?` a message that is lost.
    pub fn listen(&mut self, listener: impl FnMut(&str) + 'static) {
        self.log.listen(Box::new(listener));
    }

    /// The last lines of the log, at most 120.
    #[must_use]
    pub fn log_tail(&self) -> String {
        self.log.tail()
    }

    /// How many lines the log has had, and a digest of them: equal for equal runs.
    #[must_use]
    pub fn log_digest(&self) -> (u64, u64) {
        self.log.digest()
    }

    fn judged(&self, result: Result<(), Broken>) -> Result<(), Violation> {
        result.map_err(|what| Violation::new(self.seed, self.at, what))
    }

    pub(super) fn start(&mut self, node: usize) {
        self.nodes[node].start(node, self.at, &self.plan, &mut self.random, &mut *self.begin);
    }

    pub(super) fn enqueue(&mut self, at: u64, happening: Happening) {
        self.queued += 1;
        self.queue.insert((at.max(self.at), self.queued), happening);
    }

    /// Drops every message that is on its way.
    pub(super) fn forget_messages(&mut self) {
        self.queue.retain(|_, happening| {
            !matches!(
                happening,
                Happening::Arrives { .. } | Happening::Answered { .. } | Happening::Told { .. }
            )
        });
    }

    /// Whether a fault that is switched on strikes this time.
    pub(super) fn strikes(&mut self, fault: Fault, percent: u64) -> bool {
        !self.healed && self.plan.has(fault) && self.random.chance(percent)
    }

    pub(super) fn address(&self, node: usize) -> Address {
        Address { node, incarnation: self.nodes[node].incarnation }
    }

    /// Which candidate leads on a lease that the store still keeps for it, and that has time for another
    /// renewal. A leader whose row was just revoked or lost is none, though it does not know that yet.
    #[must_use]
    pub fn leader(&self) -> Option<usize> {
        let row = self.store.row()?;
        let free = self.store.free_from(self.at);
        (0..self.nodes.len()).find(|&index| {
            let node = &self.nodes[index];
            let Some(run) = &node.run else { return false };
            let says = run.machine.leadership(node.now(self.at));
            let kept = row.holder.as_ref() == Some(&run.id) && Some(row.token) == says.token;
            let trusted = node.clock.reaches(says.trusted_until.as_nanos());
            says.is_leader && kept && trusted <= free && trusted > self.at + self.plan.lease() / 4
        })
    }

    /// Lets things happen until `end`.
    pub(super) fn run_until(&mut self, end: u64) -> Result<(), Broken> {
        while self.step(end)? {}
        Ok(())
    }

    /// Lets things happen until a candidate leads; returns when, or fails after `limit`.
    pub(super) fn run_until_led(&mut self, limit: u64, when: &str) -> Result<u64, Broken> {
        while self.leader().is_none() {
            if !self.step(limit)? {
                return Err(format!("no candidate leads {when}"));
            }
        }
        Ok(self.at)
    }

    /// Lets the next thing happen, if it does before `end`; otherwise moves to `end`.
    pub(super) fn step(&mut self, end: u64) -> Result<bool, Broken> {
        let Some(entry) = self.queue.first_entry().filter(|entry| entry.key().0 <= end) else {
            self.at = end.max(self.at);
            exclusion::check(self.at, &mut self.nodes, &self.store, &self.plan)?;
            return Ok(false);
        };
        let ((at, _), happening) = entry.remove_entry();
        self.at = at;
        self.figures.happenings += 1;
        self.happen(happening)?;
        exclusion::check(self.at, &mut self.nodes, &self.store, &self.plan)?;
        Ok(true)
    }
}

fn lease(config: Config, now: Instant) -> Box<dyn Machine> {
    Box::new(Lease::new(config, now))
}
