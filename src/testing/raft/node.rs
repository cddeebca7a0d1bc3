//! One member of a world: the machine, its clock and its disk.

use alloc::format;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::super::clock::Clock;
use super::super::plan::MS;
use super::super::random::Random;
use super::checks::{Broken, Watch};
use super::disk::Disk;
use super::plan::{Beginning, Plan};
use crate::core::raft::{
    Bound, ClusterId, Config, Durable, DurableState, Incarnation, KnownIds, Member, MemberId, Membership,
    Position, Profile, Raft, Record, Standing,
};
use crate::core::{FencingToken, Instant};

pub(super) struct Node {
    pub(super) config: Config,
    pub(super) clock: Clock,
    pub(super) disk: Disk,
    /// The members that its host names at each start.
    pub(super) knows: Vec<usize>,
    /// The machine and what is checked of it; `None` while the process is down.
    pub(super) run: Option<Run>,
    /// Counts the runs of the process.
    pub(super) runs: u64,
    /// The largest token that this member was ever given.
    pub(super) token: Option<FencingToken>,
    /// The true time until which it hears and sends nothing.
    pub(super) cut_until: u64,
    /// Until when the process does nothing.
    pub(super) stopped_until: u64,
    /// The true time of the next timer that is in the queue; `u64::MAX` if none is.
    pub(super) timer_at: u64,
    /// Until when the member trusts itself, in true time, as far as it knew at its last input.
    pub(super) trusted_until: u64,
}

pub(super) struct Run {
    pub(super) raft: Raft,
    pub(super) watch: Watch,
    /// Its newest record when it was last looked at.
    pub(super) last: Position,
    /// Whether it was a leader then.
    pub(super) led: bool,
}

impl Node {
    pub(super) fn now(&self, at: u64) -> Instant {
        Instant::from_nanos(self.clock.read(at))
    }

    /// Whether it belongs to a cluster for good; while it is down, by what its disk keeps.
    pub(super) fn is_bound(&self) -> bool {
        if let Some(run) = &self.run {
            return run.raft.standing() == Standing::Bound;
        }
        match self.disk.read() {
            Ok(Some(Durable { state: DurableState::Bound(bound), .. })) => bound.is_established,
            _ => false,
        }
    }

    /// Whether a membership lists this incarnation of the process, or none of it yet.
    pub(super) fn is_listed_in(&self, membership: &Membership) -> bool {
        let listed = membership.get(&self.config.id);
        listed.is_some_and(|member| member.profile.is_of(self.config.incarnation))
    }

    /// From now on its clock runs at another rate, so its trust ends at another true time.
    pub(super) fn set_rate(&mut self, at: u64, rate: i64) {
        self.clock.set_rate(at, rate);
        let now = self.now(at);
        if let Some(run) = self.run.as_ref().filter(|_| at < self.trusted_until) {
            self.trusted_until = self.clock.reaches(run.raft.leadership(now).trusted_until.as_nanos());
        }
    }

    /// Starts the process. With a torn file it stays down: the host must not take that for "no state".
    pub(super) fn start(&mut self, at: u64, random: &mut Random) -> Result<(), Broken> {
        let durable = self.disk.read()?;
        if self.disk.is_torn() {
            return Ok(());
        }
        let now = self.now(at);
        self.config.incarnation = draw_incarnation(random);
        let raft = match durable {
            Some(durable) => Raft::restore(self.config.clone(), durable, now),
            None => Raft::new(self.config.clone(), now),
        };
        let raft = raft.map_err(|refused| format!("it refuses its own state: {refused}"))?;
        self.config.incarnation = raft.config().incarnation;
        let last = raft.last().position;
        let watch = Watch::new(&raft);
        self.run = Some(Run { raft, watch, last, led: false });
        self.runs += 1;
        self.timer_at = u64::MAX;
        self.trusted_until = 0;
        Ok(())
    }

    /// The process crashes, and its disk is replaced by an empty one.
    pub(super) fn forget(&mut self, random: &mut Random) {
        self.crash(random);
        self.disk.lose();
        self.config.incarnation = draw_incarnation(random);
        self.token = None;
    }

    pub(super) fn crash(&mut self, random: &mut Random) {
        self.end();
        self.disk.crash(random);
    }

    /// The process crashes in the middle of its write, which damages its file.
    pub(super) fn tear(&mut self, at: u64, random: &mut Random) {
        self.end();
        self.disk.tear(at, random);
    }

    fn end(&mut self) {
        self.run = None;
        self.trusted_until = 0;
    }
}

fn draw_incarnation(random: &mut Random) -> Incarnation {
    Incarnation::new(random.between(1, 1 << 52)).unwrap_or_default()
}

/// The members of a new cluster, each with its clock and disk, and those who join later.
pub(super) fn nodes(plan: &Plan, random: &mut Random) -> Vec<Node> {
    let id = |index: usize| MemberId::new(&format!("n{index}")).expect("a short id");
    let (count, spares) = (plan.voters + plan.learners, plan.spares);
    let incarnations: Vec<Incarnation> = (0..count + spares).map(|_| draw_incarnation(random)).collect();
    let member = |index: usize| Member {
        profile: Profile {
            incarnation: incarnations[index],
            priority: plan.priority(index),
            is_witness: index < plan.witnesses,
            ..Profile::new(id(index))
        },
        is_voter: index < plan.voters,
        is_outgoing: false,
        is_learner: index >= plan.voters,
        is_joining: false,
    };
    let membership = |count: usize| Membership::new((0..count).map(member).collect()).expect("a voter");
    let first = Record {
        position: Position::ZERO,
        cluster: ClusterId([0xC1; 16]),
        membership: Arc::new(membership(count)),
        data: Arc::default(),
    };
    let knows = acquaintances(plan, random);
    let node = |(index, knows): (usize, Vec<usize>)| {
        let mut config = Config::new(id(index), incarnations[index], random.number());
        config.timing = plan.timing(index);
        config.priority = plan.priority(index);
        config.is_witness = index < plan.witnesses;
        if plan.beginning == Beginning::List && index < plan.voters {
            config.founding = Some(membership(plan.voters));
        }
        if let Some(protection) = plan.without {
            config = config.without(protection);
        }
        let durable = (plan.beginning == Beginning::Members).then(|| first_state(&config, &first));
        Node {
            config,
            clock: Clock::new(random.between(1_000 * MS, 3_600_000 * MS), plan.draw_rate(random)),
            disk: Disk::new(durable.as_ref()),
            knows,
            run: None,
            runs: 0,
            token: None,
            cut_until: 0,
            stopped_until: 0,
            timer_at: u64::MAX,
            trusted_until: 0,
        }
    };
    knows.into_iter().enumerate().map(node).collect()
}

/// The state of a member at the beginning of a cluster.
fn first_state(config: &Config, first: &Record) -> Durable {
    let bound = first_bound(first.clone());
    Durable { id: config.id, incarnation: config.incarnation, state: DurableState::Bound(bound) }
}

/// The state of a member at the beginning of an established cluster, without its id.
pub(super) fn first_bound(committed: Record) -> Bound {
    Bound {
        term: 0,
        vote: None,
        hold_ms: 0,
        is_established: true,
        known: KnownIds::default(),
        committed,
        uncommitted: None,
    }
}

/// The members that each host names at a start. They connect all members, over others and in one direction
/// at least.
fn acquaintances(plan: &Plan, random: &mut Random) -> Vec<Vec<usize>> {
    let count = plan.voters + plan.learners + plan.spares;
    let mut knows = alloc::vec![Vec::new(); count];
    for index in 1..count {
        let other = random.below(index as u64) as usize;
        let (who, whom) = if random.chance(50) { (index, other) } else { (other, index) };
        knows[who].push(whom);
        if random.chance(50) {
            let more = random.below(count as u64) as usize;
            knows[index].push(more);
        }
    }
    knows
}
