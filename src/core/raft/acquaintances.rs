//! Whom a member knows outside its cluster, and what they answered to the question which cluster they belong
//! to.

use ::core::time::Duration;
use alloc::vec::Vec;

use super::id::{KnownIds, MemberId};
use crate::core::Instant;

/// The ids that a member knows, with the newest answer of each.
#[derive(Clone, Debug)]
pub(super) struct Acquaintances {
    known: KnownIds,
    answers: Vec<(MemberId, Answer)>,
    /// Since when answers count: the start, or when the known ids last grew.
    since: Instant,
    /// How long a founder waits after that: the maximum election time and a random part.
    wait: Duration,
}

/// What one of them said, and when.
#[derive(Clone, Copy, Debug)]
struct Answer {
    at: Instant,
    says: Says,
}

/// Which cluster one of them belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Says {
    /// To none, and it may found one.
    MayFound,
    /// To none, and it founds none.
    Blank,
    /// To one, or it has left one.
    Cluster,
}

impl Acquaintances {
    pub(super) fn new(known: KnownIds, now: Instant, wait: Duration) -> Acquaintances {
        Acquaintances { known, answers: Vec::new(), since: now, wait }
    }

    pub(super) fn known(&self) -> &KnownIds {
        &self.known
    }

    /// Adds an id. Returns whether it is new: then everybody is waited for anew.
    pub(super) fn add(&mut self, id: MemberId, now: Instant) -> bool {
        let is_new = self.known.insert(id);
        if is_new {
            self.since = now;
        }
        is_new
    }

    /// Forgets an id. Returns whether it was known.
    pub(super) fn remove(&mut self, id: &MemberId) -> bool {
        self.answers.retain(|(of, _)| of != id);
        self.known.remove(id)
    }

    /// Waits for everybody anew.
    pub(super) fn wait_anew(&mut self, now: Instant) {
        self.since = now;
    }

    /// One of the known ids says which cluster it belongs to.
    pub(super) fn answered(&mut self, id: MemberId, says: Says, now: Instant) {
        let answer = Answer { at: now, says };
        match self.answers.iter_mut().find(|(of, _)| *of == id) {
            Some((_, before)) => *before = answer,
            None if self.known.contains(&id) => self.answers.push((id, answer)),
            None => {}
        }
    }

    /// Whether everybody known, but `except`, said since the wait began that it belongs to no cluster, or is
    /// absent.
    pub(super) fn are_blank(&self, except: Option<MemberId>, now: Instant) -> bool {
        let is_blank = |id: &MemberId| {
            let is_new = |answer: Answer| answer.at >= self.since && answer.says != Says::Cluster;
            self.answer(id).is_some_and(is_new) || self.is_absent(id, now)
        };
        self.known.ids().iter().all(|id| Some(*id) == except || is_blank(id))
    }

    /// Whether this member may found a cluster: it has waited, nobody known belongs to one, and nobody with a
    /// smaller id may found one.
    pub(super) fn may_found(&self, own: MemberId, now: Instant) -> bool {
        let founds_first = |id: &MemberId| {
            let says_no = self.answer(id).is_some_and(|answer| answer.says == Says::Blank);
            *id < own && !says_no && !self.is_absent(id, now)
        };
        now >= self.waits_until() && self.are_blank(None, now) && !self.known.ids().iter().any(founds_first)
    }

    /// Until when a founder waits at least.
    pub(super) fn waits_until(&self) -> Instant {
        self.since.saturating_add(self.wait)
    }

    fn answer(&self, id: &MemberId) -> Option<Answer> {
        self.answers.iter().find(|(of, _)| of == id).map(|(_, answer)| *answer)
    }

    /// Whether a known id has been silent for four times the wait.
    fn is_absent(&self, id: &MemberId, now: Instant) -> bool {
        let heard = self.answer(id).map_or(self.since, |answer| answer.at.max(self.since));
        now >= heard.saturating_add(4 * self.wait)
    }
}
