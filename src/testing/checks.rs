//! What must hold at every step of one candidate, and of all tokens: Promise T, the rules of events, the
//! bound on operations.

use ::core::time::Duration;
use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::String;

use crate::core::lease::{Event, Input, LeaderId, Leadership, Op, Phase, Request, Wait};
use crate::core::{FencingToken, Instant};

use super::plan::{Fault, Plan};

/// A broken promise, in words.
pub(super) type Broken = String;

/// The state of the checks of one run of one candidate.
pub(super) struct Watch {
    /// The term that was begun and not ended.
    open: Option<FencingToken>,
    stop_said: bool,
    /// Until when a drain may renew, if there is one.
    draining: Option<Instant>,
    /// Whether the host wants to lead: `Campaign` came after the latest `Release` or `Drain`.
    pub(super) campaigning: bool,
    /// Terms during which the machine said once that it does not lead.
    dead: BTreeSet<FencingToken>,
    /// Tokens for which a release was sent: never to be trusted again.
    released: BTreeSet<FencingToken>,
    alive_at: Instant,
    /// When the bucket of operations is full again.
    full_at: Instant,
}

impl Watch {
    pub(super) fn new(now: Instant) -> Watch {
        Watch {
            open: None,
            stop_said: false,
            draining: None,
            campaigning: false,
            dead: BTreeSet::new(),
            released: BTreeSet::new(),
            alive_at: now,
            full_at: Instant::ZERO,
        }
    }

    /// The host or the driver is about to say something.
    pub(super) fn input(&mut self, now: Instant, input: &Input, leadership: &Leadership) {
        match input {
            Input::Campaign => {
                // A host that begins to stand is alive; a term that drained may have ended just now.
                let has_drained =
                    leadership.phase == Phase::Draining && leadership.token.is_none() && !self.campaigning;
                if leadership.phase == Phase::Standby || has_drained {
                    self.alive_at = now;
                }
                self.campaigning = true;
            }
            Input::Release | Input::Drain | Input::DrainFor(_) => {
                self.campaigning = false;
                let until = match input {
                    Input::Drain => Some(Instant::MAX),
                    Input::DrainFor(patience) => Some(now.saturating_add(*patience)),
                    _ => None,
                };
                let until = until.filter(|_| self.open.is_some());
                self.draining = until.map(|until| self.draining.map_or(until, |before| before.min(until)));
                // Whatever term there is, it is no leadership from this call on.
                self.dead.extend(self.open);
            }
            Input::Alive => self.alive_at = now,
            _ => {}
        }
    }

    pub(super) fn event(
        &mut self,
        event: &Event,
        grants: &[(FencingToken, LeaderId)],
        id: &LeaderId,
    ) -> Result<(), Broken> {
        match event {
            Event::Elected { token } => {
                if let Some(open) = self.open {
                    return Err(format!("elected {token} while the term {open} is open"));
                }
                if !self.campaigning {
                    return Err(format!("elected {token} though the host does not campaign"));
                }
                if !grants.iter().any(|(granted, holder)| granted == token && holder == id) {
                    return Err(format!("elected {token}, which the store never granted to {id}"));
                }
                (self.open, self.stop_said) = (Some(*token), false);
            }
            Event::Renewed { token } => {
                self.in_term(*token, "renewed")?;
                self.stop_said = false;
            }
            Event::AtRisk { token } => self.in_term(*token, "at risk")?,
            Event::StopNewWork { token } => {
                self.in_term(*token, "stop new work")?;
                self.stop_said = true;
            }
            Event::Deposed { token, .. } => {
                self.in_term(*token, "deposed")?;
                (self.open, self.draining) = (None, None);
                self.dead.insert(*token);
            }
            _ => {}
        }
        Ok(())
    }

    fn in_term(&self, token: FencingToken, what: &str) -> Result<(), Broken> {
        if self.open == Some(token) {
            return Ok(());
        }
        Err(format!("{what} {token} while the open term is {:?}", self.open))
    }

    pub(super) fn request(&mut self, now: Instant, request: &Request, plan: &Plan) -> Result<(), Broken> {
        // The bound that the machine publishes: twenty at once, and one every tenth of `retry`.
        let period = plan.timing.retry() / 10;
        if self.full_at.saturating_sub(period * 19) > now {
            return Err(format!("{} is one operation too many", request.op.name()));
        }
        self.full_at = self.full_at.max(now).saturating_add(period);
        if request.deadline <= now {
            return Err(format!("{} was given no time", request.op.name()));
        }
        if self.draining.is_some_and(|until| until <= now) && matches!(request.op, Op::Renew { .. }) {
            return Err(format!("renewed past the bound of its drain: {:?}", self.draining));
        }
        let silent = now.saturating_since(self.alive_at);
        let gated = plan.progress_gate && silent > plan.timing.lease() / 2;
        match &request.op {
            Op::Renew { .. } | Op::Acquire(_) if gated => {
                Err(format!("{} though the host was silent for {silent:?}", request.op.name()))
            }
            Op::Release { token, .. } if self.open == Some(*token) => {
                Err(format!("{token} is released while its term is open"))
            }
            Op::Release { token, .. } => {
                self.released.insert(*token);
                Ok(())
            }
            Op::Acquire(acquire) if plan.strict && acquire.unchanged.is_none() => {
                Err("a strict candidate reaches for the row unconditionally".into())
            }
            _ => Ok(()),
        }
    }

    /// What `leadership` says must fit the events, and must be final within a term.
    pub(super) fn leadership(&mut self, says: &Leadership, plan: &Plan) -> Result<(), Broken> {
        let Some(open) = self.open else {
            return if says.is_leader || says.token.is_some() {
                Err(format!("no term is open, but {says:?}"))
            } else {
                Ok(())
            };
        };
        if says.token.is_some_and(|token| token != open) {
            return Err(format!("the open term is {open}, but {says:?}"));
        }
        if !says.is_leader {
            // A reply that comes with a time read before trust ended may extend the term after a question
            // in between: no pure question can prevent that, and the lease is held nevertheless.
            if !plan.has(Fault::StaleNow) {
                self.dead.insert(open);
            }
        } else if self.dead.contains(&open) || self.released.contains(&open) || !self.campaigning {
            return Err(format!("the term {open} has ended before, but {says:?}"));
        }
        Ok(())
    }

    /// Checks the machine after an input was handled and its outputs were polled.
    pub(super) fn drained(
        &mut self,
        now: Instant,
        says: &Leadership,
        wait: Wait,
        plan: &Plan,
    ) -> Result<(), Broken> {
        if wait.earliest > wait.latest || wait.latest <= now {
            return Err(format!("a wait that ends before it begins, or has passed at {now:?}: {wait:?}"));
        }
        if self.open.is_none() {
            return Ok(());
        }
        if says.token.is_none() {
            return Err(format!("trust has ended, the term is still open at {now:?}"));
        }
        if wait.latest > says.trusted_until {
            return Err(format!("the wait {wait:?} sleeps over the end of trust {:?}", says.trusted_until));
        }
        if says.work_until.saturating_add(plan.timing.grace()) > says.trusted_until {
            return Err(format!("the soft deadline leaves less than the grace: {says:?}"));
        }
        // A drain is told as the soft deadline is, but does not stand for it.
        let soft_said = self.stop_said && (self.draining.is_none() || says.work_until <= now);
        if !soft_said && wait.latest > says.work_until {
            return Err(format!("the wait {wait:?} sleeps over the soft deadline {:?}", says.work_until));
        }
        Ok(())
    }
}

/// Trust ends exactly at `trusted_until`, and a time before the latest that was given counts as that.
pub(super) fn edges(
    now: Instant,
    says: &Leadership,
    latest: Instant,
    ask: impl Fn(Instant) -> Leadership,
) -> Result<(), Broken> {
    if ask(Instant::ZERO).is_leader != ask(latest).is_leader {
        return Err("an earlier time does not count as the latest".into());
    }
    if says.token.is_none() {
        return Ok(());
    }
    let tick = Duration::from_nanos(1);
    let (before, after) = (says.trusted_until.saturating_sub(tick), says.trusted_until.saturating_add(tick));
    let still = ask(before.max(now));
    if before >= now && (still.is_leader != says.is_leader || still.token != says.token) {
        return Err(format!("trust ends before {:?}: {still:?}", says.trusted_until));
    }
    for when in [says.trusted_until, after] {
        if ask(when).is_leader || ask(when).token.is_some() {
            return Err(format!("still trusted at {when:?}: {:?}", ask(when)));
        }
    }
    Ok(())
}

/// Promise T over all candidates: every elected token is larger than those before it, in true time. Where
/// Promise L does not hold only its uniqueness is left.
#[derive(Default)]
pub(super) struct Tokens(BTreeSet<FencingToken>);

impl Tokens {
    pub(super) fn elected(&mut self, token: FencingToken, plan: &Plan) -> Result<(), Broken> {
        let largest = self.0.last().copied();
        if !self.0.insert(token) {
            return Err(format!("the token {token} leads a second time"));
        }
        if plan.exclusion() && largest.is_some_and(|largest| largest >= token) {
            return Err(format!("the token {token} follows {}", largest.unwrap_or(token)));
        }
        Ok(())
    }
}
