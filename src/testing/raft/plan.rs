//! What a world of Raft members is made of, and what goes wrong in it.

use ::core::time::Duration;
use alloc::vec::Vec;

use super::super::plan::{MS, nanos};
use super::super::random::Random;
use crate::core::raft::{ElectionTiming, Protection};

/// Something that goes wrong in a world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// Messages are lost.
    Loss,
    /// Messages arrive twice, the second time much later.
    Duplicate,
    /// Messages take up to the minimum election time, and overtake each other.
    Delay,
    /// A few messages take many election times.
    VeryLate,
    /// Members are cut off from all others.
    Partition,
    /// A member is not heard by another one, but hears it.
    OneWay,
    /// Messages are damaged on their way.
    Damage,
    /// Processes stop for a while, with their clocks running.
    Suspend,
    /// Processes crash. A write that was not answered may have reached the disk or not.
    Crash,
    /// Disks take up to an election time for a write.
    SlowDisk,
    /// Disks hang for a while.
    StuckDisk,
    /// Writes fail, and what the disk keeps then is the state before or after.
    FailingDisk,
    /// Hosts hand leadership over.
    Transfer,
    /// Hosts stand for election out of turn.
    Campaign,
    /// Timers fire late, early and twice.
    Timers,
    /// Operators add, remove, promote and demote members, one and several at a time, and say that one is
    /// gone.
    Churn,
    /// Members leave by themselves.
    Leave,
    /// A member that has just won an election is cut off from all others.
    Winner,
    /// A voter loses its durable state and comes back as another incarnation, while the other voters are a
    /// quorum.
    Amnesia,
    /// A process crashes in the middle of a write, and its file is damaged. It stays down until its host
    /// gives the file up as lost, while the other voters are a quorum: see [`Fault::Amnesia`].
    TornWrite,
    /// Clocks change their rates, within the largest difference of the plan.
    ClockRates,
}

/// How a cluster begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Beginning {
    /// All processes start with the cluster's first record. Those that it does not list ask to be admitted.
    Members,
    /// No process belongs to a cluster, and each member is told of some others: one founds, the others join.
    Blank,
    /// The voters start with a founding list, and the others are told of some of them.
    List,
}

impl Fault {
    /// All faults.
    pub const ALL: [Fault; 21] = [
        Fault::Loss,
        Fault::Duplicate,
        Fault::Delay,
        Fault::VeryLate,
        Fault::Partition,
        Fault::OneWay,
        Fault::Damage,
        Fault::Suspend,
        Fault::Crash,
        Fault::SlowDisk,
        Fault::StuckDisk,
        Fault::FailingDisk,
        Fault::Transfer,
        Fault::Campaign,
        Fault::Timers,
        Fault::Churn,
        Fault::Leave,
        Fault::Winner,
        Fault::Amnesia,
        Fault::TornWrite,
        Fault::ClockRates,
    ];
}

/// What a world is made of, and what goes wrong in it. A drawn plan can be changed before it is played.
#[derive(Clone, Debug)]
pub struct Plan {
    /// How many voters the cluster has; 1 to 9.
    pub voters: usize,
    /// How many of the voters are witnesses; fewer than voters.
    pub witnesses: usize,
    /// How many learners; 0 to 3.
    pub learners: usize,
    /// How many more processes there are, which are no members at first; 0 to 3.
    pub spares: usize,
    /// How the cluster begins.
    pub beginning: Beginning,
    /// The times of elections and heartbeats of each member, voters first; repeated if there are fewer.
    pub timings: Vec<ElectionTiming>,
    /// The priority of each member, voters first; repeated if there are fewer.
    pub priorities: Vec<u8>,
    /// The largest difference of a clock's rate from true time, in parts per billion. Up to 52 000 000 is
    /// promised.
    pub drift_ppb: i64,
    /// What may go wrong.
    pub faults: Vec<Fault>,
    /// A rule that all members lack.
    pub without: Option<Protection>,
    /// The longest time that a message takes one way when nothing is wrong.
    pub latency: Duration,
    /// How long faults happen.
    pub chaos: Duration,
    /// The mean time from one fault to the next.
    pub fault_every: Duration,
    /// The mean time from one proposal to the next.
    pub propose_every: Duration,
    /// How many voters stay cut off when the faults end; less than half of them, and none where members come
    /// and go or join, as the majority could become another one.
    pub lost_voters: usize,
}

impl Plan {
    /// The plan of [`World::new`](super::World::new) with this seed. It has one to five voters, the default
    /// times or others, and faults that are drawn at random.
    #[must_use]
    pub fn drawn(seed: u64) -> Plan {
        Plan::draw(&mut Random::new(seed))
    }

    /// The same with this many voters, of which none is lost, and no other processes. All start with the
    /// cluster's first record.
    #[must_use]
    pub fn of_voters(self, voters: usize) -> Plan {
        let beginning = Beginning::Members;
        Plan { voters, witnesses: 0, learners: 0, spares: 0, lost_voters: 0, beginning, ..self }
    }

    pub(super) fn draw(random: &mut Random) -> Plan {
        let often = random.pick(&[10, 30, 60]);
        let faults = Fault::ALL.into_iter().filter(|_| random.chance(often)).collect();
        let timing = |heartbeat, min, max| {
            let [heartbeat, min, max] = [heartbeat, min, max].map(Duration::from_millis);
            ElectionTiming::new(heartbeat, min, max).expect("the simulation's times fit")
        };
        let common = [timing(100, 200, 800), timing(50, 150, 300), timing(100, 500, 1_000)];
        let timings = if random.chance(30) {
            // Unequal times: a member with a short one must not vote while a leader with a long one is
            // trusted.
            (0..5).map(|_| random.pick(&common)).collect()
        } else {
            let one = random.pick(&common);
            alloc::vec![one]
        };
        Plan {
            voters: random.pick(&[1, 2, 3, 3, 3, 3, 4, 5, 5]),
            witnesses: random.pick(&[0, 0, 0, 1, 2]),
            learners: random.pick(&[0, 0, 0, 1, 2]),
            spares: random.pick(&[0, 0, 1, 2]),
            beginning: random.pick(&[
                Beginning::Members,
                Beginning::Members,
                Beginning::Members,
                Beginning::Blank,
                Beginning::List,
            ]),
            timings,
            priorities: if random.chance(25) {
                (0..5).map(|_| random.pick(&[0, 1, 2])).collect()
            } else {
                alloc::vec![0]
            },
            drift_ppb: random.pick(&[0, 10_000_000, 40_000_000, 52_000_000]),
            faults,
            without: random.chance(20).then_some(Protection::PreVote),
            latency: Duration::from_nanos(random.between(MS / 10, 10 * MS)),
            chaos: Duration::from_secs(random.between(10, 60)),
            fault_every: Duration::from_millis(random.between(30, 1_000)),
            propose_every: Duration::from_millis(random.between(5, 300)),
            lost_voters: random.pick(&[0, 0, 1, 2]),
        }
    }

    /// The plan with every number within its bounds.
    pub(super) fn within_bounds(mut self) -> Plan {
        self.voters = self.voters.clamp(1, 9);
        self.witnesses = self.witnesses.min(self.voters - 1);
        self.learners = self.learners.min(3);
        self.spares = self.spares.min(3);
        let has_only_voters = self.has_fixed_members() && self.learners == 0;
        self.lost_voters = if has_only_voters { self.lost_voters.min((self.voters - 1) / 2) } else { 0 };
        self
    }

    /// Whether all members are listed from the start on, and stay.
    pub(super) fn has_fixed_members(&self) -> bool {
        let changes = [Fault::Churn, Fault::Leave, Fault::Amnesia, Fault::TornWrite];
        let has_changes = changes.iter().any(|fault| self.has(*fault));
        let are_listed = match self.beginning {
            Beginning::Members => self.spares == 0,
            // A list names the voters.
            Beginning::List => self.spares + self.learners == 0,
            Beginning::Blank => false,
        };
        are_listed && !has_changes
    }

    pub(super) fn has(&self, fault: Fault) -> bool {
        self.faults.contains(&fault)
    }

    /// The faults as a set: the bit of each [`Fault`]'s number.
    pub(super) fn fault_set(&self) -> u32 {
        self.faults.iter().fold(0, |set, fault| set | 1 << *fault as u32)
    }

    pub(super) fn timing(&self, node: usize) -> ElectionTiming {
        self.timings.get(node % self.timings.len().max(1)).copied().unwrap_or_default()
    }

    pub(super) fn priority(&self, node: usize) -> u8 {
        self.priorities.get(node % self.priorities.len().max(1)).copied().unwrap_or_default()
    }

    /// The rate of a clock, in parts per billion more than that of true time. The largest differences are
    /// drawn often.
    pub(super) fn draw_rate(&self, random: &mut Random) -> i64 {
        let rate = random.between(0, 2 * self.drift_ppb as u64) as i64 - self.drift_ppb;
        if random.chance(40) { random.pick(&[-self.drift_ppb, self.drift_ppb]) } else { rate }
    }

    /// The longest minimum and maximum election time of all members.
    pub(super) fn longest(&self) -> (u64, u64) {
        let longest = |of: fn(&ElectionTiming) -> Duration| {
            let all = (0..self.voters + self.learners + self.spares).map(|node| of(&self.timing(node)));
            nanos(all.max().unwrap_or_default())
        };
        (longest(ElectionTiming::min), longest(ElectionTiming::max))
    }
}
