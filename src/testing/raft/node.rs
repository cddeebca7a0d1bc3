//! One member of a world: the machine, its clock and its disk.

use super::super::clock::Clock;
use super::checks::Watch;
use super::disk::Disk;
use crate::core::Instant;
use crate::core::raft::{Config, Position, Raft};

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
}

impl Node {
    pub(super) fn now(&self, at: u64) -> Instant {
        Instant::from_nanos(self.clock.read(at))
    }

    pub(super) fn start(&mut self, at: u64) {
        let durable = self.disk.read();
        let raft = Raft::restore(self.config.clone(), durable, self.now(at)).expect("its own state");
        let last = raft.last().position;
        self.run = Some(Run { raft, watch: Watch::default(), last });
        self.runs += 1;
        self.timer_at = u64::MAX;
        self.trusted_until = 0;
    }

    pub(super) fn crash(&mut self, random: &mut super::super::random::Random) {
        self.run = None;
        self.trusted_until = 0;
        self.disk.crash(random);
    }
}
