//! What the store holds for the machine, or may hold, and how that comes to its end.

use super::message::Wait;
use super::state::{Kind, Lease};
use crate::core::{FencingToken, Instant};

/// A row that is ours by its token and that we do not want.
#[derive(Clone, Copy, Debug)]
pub(super) struct GiveBack {
    pub(super) token: FencingToken,
    /// After this the lease has ended by itself.
    pub(super) until: Instant,
}

/// An acquire that was not answered: the row may be ours.
#[derive(Clone, Copy, Debug)]
pub(super) struct Doubt {
    /// The send of the earliest such acquire.
    pub(super) acquired: Instant,
    /// After this nothing is expected of it any more: what it took has ended by itself, or is given back.
    pub(super) until: Instant,
    /// The row was found to be ours, with this token. It is led once a renewal of it was answered.
    pub(super) found: Option<FencingToken>,
}

impl Lease {
    /// How often all that this machine held, or may have held, in the store has come to its end: a release
    /// was confirmed, the lease has ended by itself, or a later term began. A release that finds nothing to
    /// end counts at once, and so does [`Input::Drained`](super::Input::Drained) in a term that does not
    /// drain.
    ///
    /// A release is done once this is larger than it was before [`Input::Release`](super::Input::Release),
    /// whatever was asked for since.
    #[must_use]
    pub fn settlements(&self) -> u64 {
        self.settlements
    }

    /// Ends a lease that nobody trusts any more, so that others need not wait for it to expire.
    pub(super) fn hand_back(&mut self, token: FencingToken) {
        self.floor = self.floor.max(Some(token));
        self.doubt = self.doubt.filter(|doubt| doubt.found != Some(token));
        // A row with a larger token shows that those before it are gone.
        if self.give_back.is_none_or(|row| row.token <= token) {
            self.give_back = Some(GiveBack { token, until: self.a_lease_from_now() });
        }
        self.next_op = Wait::at(self.now);
    }

    /// An acquire that was sent at `acquired` was not answered. It may have been executed this very moment.
    pub(super) fn doubt(&mut self, acquired: Instant) {
        let acquired = self.doubt.map_or(acquired, |doubt| doubt.acquired.min(acquired));
        self.doubt = Some(Doubt { acquired, until: self.a_lease_from_now(), found: None });
    }

    /// What was extended this very moment has ended by itself after this.
    pub(super) fn a_lease_from_now(&self) -> Instant {
        self.now.saturating_add(self.config.timing.lease())
    }

    /// The row that was found to be ours with this token, if that is so.
    pub(super) fn found(&self, token: FencingToken) -> Option<Doubt> {
        self.doubt.filter(|doubt| doubt.found == Some(token))
    }

    /// Gives a found row back as soon as it must not be led any more, or if no renewal of it was answered for
    /// a lease: others should try.
    pub(super) fn drop_found(&mut self) {
        if let Some(Doubt { acquired, until, found: Some(token) }) = self.doubt {
            if self.now >= until || !self.may_begin(token, acquired) {
                self.hand_back(token);
            }
        }
    }

    /// Notices that nothing is held any more, before the next operation may change that.
    pub(super) fn settle(&mut self, is_release: bool) {
        let owed = self.owes();
        if (self.owed || is_release) && !owed {
            self.settlements += 1;
        }
        self.owed = owed;
    }

    /// Whether the store holds, or may hold, something for this machine.
    fn owes(&self) -> bool {
        let acquiring = self.in_flight.is_some_and(|sent| sent.kind == Kind::Acquire);
        acquiring || self.term().is_some() || self.give_back.is_some() || self.doubt.is_some()
    }
}
