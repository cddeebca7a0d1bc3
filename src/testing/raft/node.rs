//! One member of a world: the machine, its clock and its disk.

use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::super::clock::Clock;
use super::super::plan::MS;
use super::super::random::Random;
use super::checks::Watch;
use super::disk::Disk;
use super::plan::Plan;
use crate::core::Instant;
use crate::core::raft::{
    Bound, ClusterId, Config, Durable, DurableState, Incarnation, Member, MemberId, Membership, Position,
    Profile, Raft, Record,
};

pub(super) struct Node {
    pub(super) config: Config,
    pub(super) clock: Clock,
    pub(super) disk: Disk,
    /// The machine and what is checked of it; `None` while the process is down.
    pub(super) run: Option<Run>,
    /// Counts the runs of the process.
    pub(super) runs: u64,
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

    pub(super) fn start(&mut self, at: u64) {
        let durable = self.disk.read();
        let raft = Raft::restore(self.config.clone(), durable, self.now(at)).expect("its own state");
        let last = raft.last().position;
        self.run = Some(Run { raft, watch: Watch::default(), last, led: false });
        self.runs += 1;
        self.timer_at = u64::MAX;
        self.trusted_until = 0;
    }

    pub(super) fn crash(&mut self, random: &mut Random) {
        self.run = None;
        self.trusted_until = 0;
        self.disk.crash(random);
    }
}

/// The members of a new cluster, each with its clock and disk.
pub(super) fn nodes(plan: &Plan, random: &mut Random) -> Vec<Node> {
    let id = |index: usize| MemberId::new(&format!("n{index}")).expect("a short id");
    let cluster = ClusterId([0xC1; 16]);
    let (count, spares) = (plan.voters + plan.learners, plan.spares);
    let incarnation = |index: usize| Incarnation::new(index as u64 + 1).unwrap_or_default();
    let members = (0..count).map(|index| Member {
        profile: Profile {
            incarnation: incarnation(index),
            is_witness: index < plan.witnesses,
            ..Profile::new(id(index))
        },
        is_voter: index < plan.voters,
        is_outgoing: false,
        is_learner: index >= plan.voters,
        is_joining: false,
    });
    let membership = Arc::new(Membership::new(members.collect()).expect("a voter at least"));
    let data = Arc::from(String::new().into_bytes());
    let first = Record { position: Position::ZERO, cluster, membership, data };
    (0..count + spares)
        .map(|index| {
            let mut config = Config::new(id(index), incarnation(index), random.number());
            config.timing = plan.timing(index);
            config.is_witness = index < plan.witnesses;
            if let Some(protection) = plan.without {
                config = config.without(protection);
            }
            let committed = first.clone();
            let bound =
                Bound { term: 0, vote: None, hold_ms: 0, is_established: true, committed, uncommitted: None };
            let state = DurableState::Bound(bound);
            let durable = Durable { id: config.id, incarnation: config.incarnation, state };
            let drift = random.between(0, 2 * plan.drift_ppb as u64) as i64 - plan.drift_ppb;
            let drift =
                if random.chance(40) { random.pick(&[-plan.drift_ppb, plan.drift_ppb]) } else { drift };
            Node {
                config,
                clock: Clock::new(random.between(1_000 * MS, 3_600_000 * MS), drift),
                disk: Disk::new(&durable),
                run: None,
                runs: 0,
                cut_until: 0,
                stopped_until: 0,
                timer_at: u64::MAX,
                trusted_until: 0,
            }
        })
        .collect()
}
