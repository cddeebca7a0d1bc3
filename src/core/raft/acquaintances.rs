//! Whom a member knows outside its cluster, and what they answered to the question which cluster they belong
//! to.

#[cfg(feature = "testing")]
use ::core::hash::{Hash, Hasher};
use ::core::time::Duration;
use alloc::vec::Vec;

#[cfg(feature = "testing")]
use super::frame::Frame;
use super::id::{KnownIds, MemberId};
use super::wait;
use crate::core::Instant;

/// The ids that a member knows, with the newest answer of each.
#[derive(Clone, Debug)]
pub(super) struct Acquaintances {
    known: KnownIds,
    answers: Vec<(MemberId, Answer)>,
    /// Since when answers count: the start, or when the known ids last grew.
    since: Instant,
    /// A random number below 2²⁰, by which an answer to a question of the member's earlier life is told.
    life: u64,
    /// How long a founder waits after that: the maximum election time and a random part.
    wait: Duration,
}

/// What one of them said, and when.
#[derive(Clone, Copy, Debug)]
struct Answer {
    at: Instant,
    /// Whether it answers a question of the present wait.
    is_new: bool,
    says: Says,
}

/// Which cluster one of them belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Says {
    /// To none, and it may found one.
    MayFound,
    /// To none, and it founds none.
    Blank,
    /// To one, or it has left one.
    Cluster,
}

impl Acquaintances {
    pub(super) fn new(known: KnownIds, now: Instant, wait: Duration, life: u64) -> Acquaintances {
        Acquaintances { known, answers: Vec::new(), since: now, life, wait }
    }

    pub(super) fn known(&self) -> &KnownIds {
        &self.known
    }

    /// Adds an id. Returns whether it is new: then everybody is waited for anew.
    pub(super) fn add(&mut self, id: MemberId, now: Instant) -> bool {
        let is_new = self.known.insert(id);
        if is_new {
            self.wait_anew(now);
        }
        is_new
    }

    /// Forgets an id. Returns whether it was known.
    pub(super) fn remove(&mut self, id: &MemberId) -> bool {
        self.answers.retain(|(of, _)| of != id);
        self.known.remove(id)
    }

    /// How long a founder waits.
    pub(super) fn wait(&self) -> Duration {
        self.wait
    }

    /// Waits for everybody anew.
    pub(super) fn wait_anew(&mut self, now: Instant) {
        self.since = now;
        self.answers.iter_mut().for_each(|(_, answer)| answer.is_new = false);
    }

    /// The number of the present wait, below 2⁵³. Answers repeat it.
    pub(super) fn wait_number(&self) -> u64 {
        wait::number(self.life, self.since)
    }

    /// One of the known ids says which cluster it belongs to, in answer to a question of this wait, or of
    /// another one, or unasked. Returns whether it answers one of this wait.
    pub(super) fn answered(&mut self, id: MemberId, says: Says, wait: Option<u64>, now: Instant) -> bool {
        let is_new = wait == Some(self.wait_number());
        if !self.known.contains(&id) {
            return is_new;
        }
        let before = self.answers.iter_mut().find(|(of, _)| *of == id);
        match before {
            // It lives. That it belongs to no cluster may be long ago.
            Some((_, answer)) if !is_new && says != Says::Cluster => answer.at = now,
            Some((_, answer)) => *answer = Answer { at: now, is_new, says },
            None => self.answers.push((id, Answer { at: now, is_new, says })),
        }
        is_new
    }

    /// Whether everybody known, but `except`, said since the wait began that it belongs to no cluster, or is
    /// absent.
    pub(super) fn are_blank(&self, except: Option<MemberId>, now: Instant) -> bool {
        let is_blank = |id: &MemberId| {
            let says_so = |answer: Answer| answer.is_new && answer.says != Says::Cluster;
            self.answer(id).is_some_and(says_so) || self.is_absent(id, now)
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

    /// Hashes what decides when a cluster is founded; see [`Frame`].
    #[cfg(feature = "testing")]
    pub(super) fn fingerprint<H: Hasher + Default>(&self, frame: &Frame<'_>, hasher: &mut H) {
        let Acquaintances { known, answers, since, life: _, wait } = self;
        frame.known(known, hasher);
        let absent = |at: Instant| frame.ahead(at.max(*since).saturating_add(4 * *wait));
        (frame.ahead(self.waits_until()), absent(*since)).hash(hasher);
        frame.unordered(answers.iter(), hasher, |(id, Answer { at, is_new, says }), one| {
            (frame.id(id), says, is_new, absent(*at)).hash(one);
        });
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
