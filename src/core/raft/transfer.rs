//! Handing leadership over: at the host's wish, and to voters of higher priority.

use ::core::time::Duration;

use super::id::MemberId;
use super::membership::Member;
use super::message::{Body, Refusal};
use super::proposals::Origin;
use super::state::{Raft, State, Transfer, Trust};
use crate::core::lease::DeposedReason;

impl Raft {
    /// Begins to hand leadership over to a voter.
    pub(super) fn begin_transfer(&mut self, request: u64, to: MemberId) {
        let may_lead = self.membership().get(&to).is_some_and(Member::may_lead) && to != self.config.id;
        let leader = self.leader;
        let refusal = match self.leading() {
            None => Refusal::NotLeader(leader),
            Some(_) if !may_lead => Refusal::NotVoter,
            Some(leading) if leading.transfer.is_some() => Refusal::Busy,
            Some(_) => return self.hand_over(to, Some(request)),
        };
        self.answer(Origin::Host(request), Err(refusal));
    }

    /// Hands leadership over to a voter, unless another hand-over is under way: that one ends by itself, and
    /// its host waits for the answer.
    pub(super) fn hand_over(&mut self, to: MemberId, request: Option<u64>) {
        let until = self.now.saturating_add(self.config.timing.min());
        if let Some(leading) = self.leading() {
            leading.transfer.get_or_insert(Transfer { to, request, until });
        }
        self.go_on_with_transfer();
    }

    /// Completes a hand-over once the voter has the newest record.
    ///
    /// From then on this member is not trusted in this term, whatever becomes of it: the voter stands by
    /// force, and no vote is withheld from it. If nothing happens within the minimum election time, this
    /// member stands by force itself, in the next term.
    pub(super) fn go_on_with_transfer(&mut self) {
        let State::Leader(leading) = &self.state else { return };
        let Some(Transfer { to, request, .. }) = leading.transfer else { return };
        let newest = self.last().position.index;
        let Some(place) = self.membership().place(&to) else { return };
        if self.bound.uncommitted.is_some() || leading.progress[place].matched < newest {
            return;
        }
        let Some(peer) = self.other(place) else { return };
        self.send(peer, self.bound.term, Body::TimeoutNow);
        if let Some(leading) = self.leading() {
            leading.transfer = None;
        }
        match request {
            Some(request) => self.answer(Origin::Host(request), Ok(newest)),
            None => self.vain_hand_overs = self.vain_hand_overs.saturating_add(1),
        }
        self.follow(self.bound.term, None, DeposedReason::Released);
        self.reclaim_at = Some(self.now.saturating_add(self.config.timing.min()));
    }

    /// Gives up a hand-over to a voter that did not catch up in time: this member goes on leading.
    pub(super) fn end_late_transfer(&mut self) {
        let now = self.now;
        let Some(leading) = self.leading() else { return };
        let Some(late) = leading.transfer.filter(|transfer| transfer.until <= now) else { return };
        leading.transfer = None;
        match late.request {
            Some(request) => self.answer(Origin::Host(request), Err(Refusal::NotReady)),
            None => {
                self.vain_hand_overs = self.vain_hand_overs.saturating_add(1);
                let prefers_from = now.saturating_add(self.patience());
                if let Some(leading) = self.leading() {
                    leading.prefers_from = prefers_from;
                }
            }
        }
        self.propose_next();
    }

    /// Hands leadership to a voter of higher priority, if one answers and keeps a record of this term. It has
    /// the newest one after one more message, which the hand-over waits for.
    pub(super) fn prefer(&mut self) {
        let now = self.now;
        let State::Leader(leading) = &self.state else { return };
        let is_steady = leading.trust == Trust::Elected && leading.transfer.is_none();
        if !is_steady || now < leading.prefers_from {
            return;
        }
        let members = self.membership().members();
        let own = leading.own_place.map_or(u8::MAX, |place| members[place].profile.priority);
        let best = self.best_place(&|place| {
            let (member, progress) = (&members[place], &leading.progress[place]);
            let is_caught_up = progress.matched > 0 && self.is_near(progress);
            let priority = member.profile.priority;
            (member.may_lead() && priority > own && is_caught_up).then_some((true, 0, priority))
        });
        let Some(best) = best else { return };
        self.hand_over(members[best].profile.id, None);
    }

    /// How long a new leader leads before it looks for a voter of higher priority: longer after each
    /// hand-over in vain, or two members that cannot agree would pass leadership around.
    pub(super) fn patience(&self) -> Duration {
        self.config.timing.max() * (1 << self.vain_hand_overs.min(6))
    }
}
