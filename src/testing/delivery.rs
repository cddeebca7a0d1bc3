//! How what happens reaches a candidate, and what the candidate does then.

use alloc::format;

use super::checks::Broken;
use super::node::Run;
use super::plan::{Fault, MS};
use super::world::{Address, Happening, World};
use crate::core::Instant;
use crate::core::lease::{Event, Input, Output};

impl World {
    pub(super) fn happen(&mut self, happening: Happening) -> Result<(), Broken> {
        match happening {
            Happening::Timer { to, timer } => {
                if self.nodes[to.node].run.as_ref().is_some_and(|run| run.timer == timer) {
                    return self.deliver(to, Input::Timeout);
                }
                Ok(())
            }
            Happening::Arrives { from, request } => {
                self.arrive(from, request);
                Ok(())
            }
            Happening::Answered { to, reply } => self.deliver(to, Input::Reply(reply)),
            Happening::GivenUp { to, id } => self.give_up(to, id),
            Happening::Told { to, input } => self.deliver(to, input),
            Happening::Host { node } => self.host(node),
            Happening::Alive { node } => {
                self.enqueue(self.at + self.plan.lease() / 8, Happening::Alive { node });
                if self.plan.progress_gate && self.nodes[node].stalled_until <= self.at {
                    return self.deliver(self.address(node), Input::Alive);
                }
                Ok(())
            }
            Happening::Restart { node } => {
                if self.nodes[node].run.is_none() {
                    self.start(node);
                    self.log.line(
                        self.at,
                        format_args!("n{node} starts as {:016x}", self.nodes[node].incarnation),
                    );
                    return self.deliver(self.address(node), Input::Campaign);
                }
                Ok(())
            }
            Happening::Reunited { promote } => {
                self.store.reunite(self.at, promote);
                self.log.line(self.at, format_args!("the standby is back: {:?}", self.store.row()));
                Ok(())
            }
            Happening::Blow => {
                let pause = self.random.below(2 * self.plan.pause());
                self.enqueue(self.at + pause, Happening::Blow);
                self.blow()
            }
        }
    }

    /// Gives a candidate an input, once it runs; whatever is meant for an earlier run is lost.
    pub(super) fn deliver(&mut self, to: Address, input: Input) -> Result<(), Broken> {
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
        run.watch.input(run.latest, &input, &run.machine.leadership(now));
        if let Input::Reply(reply) = &input {
            run.open.remove(&reply.id);
            let era = reply.clock.and_then(|clock| self.eras.get(&(clock.timeline, clock.now)));
            run.era = era.copied().unwrap_or(0);
        }
        run.machine.handle_input(now, input);
        self.drain(index).map_err(|broken| format!("candidate {index}: {broken}"))
    }

    fn drain(&mut self, index: usize) -> Result<(), Broken> {
        for _ in 0..32 {
            let Some(run) = &mut self.nodes[index].run else { return Ok(()) };
            match run.machine.poll_output() {
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
                                self.no_other_trusts(index)?;
                            }
                        }
                        _ => {}
                    }
                }
                Output::WaitUntil(wait) => {
                    let says = run.machine.leadership(run.latest);
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
    fn no_other_trusts(&self, index: usize) -> Result<(), Broken> {
        for (other, node) in self.nodes.iter().enumerate().filter(|(other, _)| *other != index) {
            let trusts = |run: &Run| run.machine.leadership(node.now(self.at)).token;
            if let Some(token) = node.run.as_ref().and_then(trusts) {
                return Err(format!(
                    "elected though it saw the step, while candidate {other} trusts {token}"
                ));
            }
        }
        Ok(())
    }

    pub(super) fn set_timer(&mut self, index: usize) {
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
