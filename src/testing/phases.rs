//! The order of a run: chaos, then everything heals, and the promises of availability must hold.

use ::core::time::Duration;
use alloc::format;

use super::checks::Broken;
use super::plan::{Fault, MS};
use super::world::{Happening, World};
use crate::core::FencingToken;
use crate::core::lease::Input;

/// Candidates that wait for the same expiry part by up to this much.
const SPREAD: u64 = 150 * MS;

impl World {
    pub(super) fn live(&mut self) -> Result<(), Broken> {
        self.run_until(self.plan.chaos_end())?;
        self.end_faults()?;
        self.first_leader()?;
        self.steady()?;
        self.crash_of_the_leader()?;
        self.steady()?;
        self.release_by_the_leader()?;
        self.steady()?;
        Ok(())
    }

    /// All faults end, and every host wants to lead.
    pub(super) fn end_faults(&mut self) -> Result<(), Broken> {
        self.log.line(self.at, format_args!("everything heals"));
        self.healed = true;
        self.forget_messages();
        self.store.down_until = self.at;
        self.store.reunite(self.at, false);
        if self.plan.has(Fault::WildRates) {
            self.store.clock.set_rate(self.at, 0);
        }
        let far = self.plan.lease() / 50 * 51;
        if self.store.free_from(self.at) > self.at + far {
            self.store.revoke(self.at);
        }
        for node in 0..self.nodes.len() {
            let healed = &mut self.nodes[node];
            (healed.cut_until, healed.stopped_until, healed.stalled_until) = (0, 0, 0);
            if self.plan.has(Fault::WildRates) {
                healed.clock.set_rate(self.at, 0);
            }
            if healed.run.is_none() {
                self.start(node);
            }
            for input in [Input::Alive, Input::Drained, Input::Campaign, Input::Timeout] {
                self.deliver(self.address(node), input)?;
            }
        }
        Ok(())
    }

    /// A candidate leads once all pending requests have timed out, a back-off has passed (each at most a
    /// third of the lease) and the old lease has expired. A candidate that saw the store's clock step waits a
    /// full lease as well.
    fn first_leader(&mut self) -> Result<(), Broken> {
        let (free, lease) = (self.store.free_from(self.at), self.plan.lease());
        let limit = free + 2 * lease / 3 + SPREAD + 8 * self.plan.one_way() + self.cautious_wait(true);
        let led = self.run_until_led(limit, "after the heal")?;
        self.figures.gap_after_heal = self.gap(free, led);
        Ok(())
    }

    /// Strict candidates wait longer on purpose, and would hide what the others do.
    fn gap(&self, from: u64, to: u64) -> Duration {
        Duration::from_nanos(if self.plan.strict { 0 } else { to.saturating_sub(from) })
    }

    /// How much longer a cautious candidate may wait: one that does not rely on the store's clock alone.
    fn cautious_wait(&self, may_have_seen_steps: bool) -> u64 {
        let steps = [
            Fault::BigSteps,
            Fault::SmallSteps,
            Fault::Promote,
            Fault::Standby,
            Fault::WildRates,
            Fault::StaleNow,
        ];
        if self.plan.strict || (may_have_seen_steps && steps.iter().any(|&fault| self.plan.has(fault))) {
            // A full lease and what the machine adds, counted from a look up to a third of a lease away.
            // Where rows do not tell their lease, one that was far ahead may have been as long as it
            // looked.
            let guess = if may_have_seen_steps && !self.plan.shows_lease { 10 } else { 1 };
            return guess * self.plan.lease() / 100 * 102 + self.plan.margin() + self.plan.lease() / 3;
        }
        0
    }

    /// Without faults a leader stays, in one term.
    fn steady(&mut self) -> Result<(), Broken> {
        let term = |world: &World| (world.leader(), world.store.row().map(|row| row.token));
        let before = term(self);
        self.run_until(self.at + 2 * self.plan.lease())?;
        let after = term(self);
        if before != after || after.0.is_none() {
            return Err(format!("without any fault the leader changed from {before:?} to {after:?}"));
        }
        Ok(())
    }

    /// Promise A after a crash: the remaining lease, the spread and one round trip.
    fn crash_of_the_leader(&mut self) -> Result<(), Broken> {
        let Some(leader) = self.leader() else { return Err("no candidate leads".into()) };
        self.log.line(self.at, format_args!("n{leader} crashes for good"));
        self.nodes[leader].run = None;
        self.run_until(self.at + 2 * self.plan.one_way())?;
        let free = self.store.free_from(self.at);
        // The sleeper's clock may be 1 % slow over the third of a lease between two looks.
        let slack = 4 * self.plan.one_way() + self.plan.lease() / 300 + self.cautious_wait(false);
        if self.nodes.len() == 1 {
            let at = self.random.between(self.at, free);
            self.enqueue(at, Happening::Restart { node: leader });
        }
        let led = self.run_until_led(free + SPREAD + slack, "after a crash")?;
        self.figures.gap_after_crash = self.gap(free, led);
        if self.nodes.len() > 1 {
            self.enqueue(self.at, Happening::Restart { node: leader });
        }
        Ok(())
    }

    /// After a release the others are told, and one of them leads after a few round trips.
    fn release_by_the_leader(&mut self) -> Result<(), Broken> {
        let Some(leader) = self.leader() else { return Err("no candidate leads".into()) };
        let released = self.at;
        let (term, before) = (self.store.row().map(|row| row.token), self.settlements(leader));
        self.deliver(self.address(leader), Input::Release)?;
        if self.random.chance(50) {
            self.deliver(self.address(leader), Input::Campaign)?;
        }
        let told = self.at + 2 * self.plan.one_way();
        for node in 0..self.nodes.len() {
            let alone = self.nodes.len() == 1;
            let input = if alone { Input::Campaign } else { Input::Hint };
            if alone || node != leader {
                self.enqueue(told, Happening::Told { to: self.address(node), input });
            }
        }
        self.confirmed(leader, before, told, term)?;
        let limit = released + 6 * self.plan.one_way() + self.cautious_wait(false);
        let led = self.run_until_led(limit, "after a release")?;
        self.figures.gap_after_release = self.gap(released, led);
        Ok(())
    }

    fn settlements(&self, node: usize) -> u64 {
        self.nodes[node].run.as_ref().map_or(0, |run| run.machine.settlements())
    }

    /// A release is known to be done after one round trip, and not before it is, whether or not the candidate
    /// stands again.
    fn confirmed(
        &mut self,
        node: usize,
        before: u64,
        limit: u64,
        term: Option<FencingToken>,
    ) -> Result<(), Broken> {
        while self.settlements(node) == before {
            if !self.step(limit)? {
                return Err(format!("candidate {node} does not know that its release is done"));
            }
        }
        match self.store.row() {
            Some(row) if Some(row.token) == term && row.holder.is_some() => {
                Err(format!("candidate {node} counts its release as done, but the store has {row:?}"))
            }
            _ => Ok(()),
        }
    }
}
