//! What happens to the nodes and to the store, and what the hosts do.

use ::core::time::Duration;

use crate::core::lease::Input;

use super::checks::Broken;
use super::plan::{Fault, MS};
use super::world::{Happening, World};

impl World {
    /// One random fault, of a kind that the plan allows.
    pub(super) fn blow(&mut self) -> Result<(), Broken> {
        if self.healed || self.plan.faults.is_empty() {
            return Ok(());
        }
        let (lease, node) = (self.plan.lease(), self.random.below(self.nodes.len() as u64) as usize);
        let span = self.random.below(2 * lease);
        let fault = self.random.pick(&self.plan.faults);
        let until = self.at + span;
        match fault {
            Fault::Partition => self.nodes[node].cut_until = until,
            Fault::Suspend => self.nodes[node].stopped_until = until,
            Fault::Stall => self.nodes[node].stalled_until = until,
            Fault::Crash => {
                self.nodes[node].run = None;
                self.enqueue(until, Happening::Restart { node });
            }
            Fault::Revoked => {
                let to = self.address(node);
                self.enqueue(self.at, Happening::Told { to, input: Input::Revoked });
            }
            Fault::Hints => {
                for _ in 0..self.random.between(1, 40) {
                    let (to, at) = (self.address(node), self.at + self.random.below(lease / 10));
                    self.enqueue(at, Happening::Told { to, input: Input::Hint });
                }
            }
            Fault::RateChange => {
                let rate = self.plan.rate(&mut self.random);
                self.nodes[node].clock.set_rate(self.at, rate);
                self.set_timer(node);
            }
            _ => return self.blow_at_store(fault, span),
        }
        self.log.line(self.at, format_args!("n{node} suffers {fault:?} for {} ms", span / MS));
        Ok(())
    }

    fn blow_at_store(&mut self, fault: Fault, span: u64) -> Result<(), Broken> {
        let by = match fault {
            Fault::StoreDown => {
                self.store.down_until = self.at + span;
                0
            }
            Fault::Clean => i64::from(self.store.clean(self.at)),
            Fault::Break => i64::from(self.store.revoke(self.at)),
            Fault::Poison => {
                // Once in a while, and the operator breaks it in the end.
                if self.random.chance(20) {
                    self.store.poison(self.at, Duration::from_nanos(span * 20));
                }
                0
            }
            Fault::SmallSteps => {
                // The clock is never further ahead than the margin pays for, less what the units round off.
                let level = self.random.below(self.plan.margin() - 10_000) as i64;
                let by = level - self.store_ahead;
                self.store.clock.step(self.at, by);
                self.store_ahead = level;
                by
            }
            Fault::BigSteps => {
                let by = self.random.between(0, 4 * span) as i64 - span as i64;
                self.store.clock.step(self.at, by);
                self.store.era += 1;
                by
            }
            Fault::Standby => {
                self.store.part();
                let promote = self.random.chance(50);
                self.enqueue(self.at + span, Happening::Reunited { promote });
                0
            }
            Fault::Promote => {
                let lag = self.random.below(self.plan.lease());
                self.store.promote(self.at, lag);
                lag as i64
            }
            _ => return Ok(()),
        };
        self.log.line(self.at, format_args!("store suffers {fault:?} by {by}: {:?}", self.store.row()));
        Ok(())
    }

    /// A host changes its mind.
    pub(super) fn host(&mut self, node: usize) -> Result<(), Broken> {
        let lease = self.plan.lease();
        let pause = self.random.between(lease / 10, 4 * lease);
        self.enqueue(self.at + pause, Happening::Host { node });
        if self.healed {
            return Ok(());
        }
        let to = self.address(node);
        let input = if self.strikes(Fault::Release, 30) {
            Input::Release
        } else if self.strikes(Fault::Drain, 30) {
            let done = self.at + self.random.below(2 * lease);
            if self.random.chance(70) {
                self.enqueue(done, Happening::Told { to, input: Input::Drained });
            }
            if self.random.chance(50) {
                Input::DrainFor(Duration::from_nanos(self.random.below(2 * lease)))
            } else {
                Input::Drain
            }
        } else {
            Input::Campaign
        };
        // Now and then the host comes back on its word at once.
        if self.random.chance(10) {
            let at = self.at + self.random.below(2 * self.plan.one_way());
            self.enqueue(at, Happening::Told { to, input: Input::Campaign });
        }
        self.deliver(to, input)
    }
}
