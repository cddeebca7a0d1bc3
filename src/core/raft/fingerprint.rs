//! What decides how a machine behaves, hashed for a search over its states. For tests only.
//!
//! Every structure is taken apart without `..`: a new field is placed here, or does not compile.

use ::core::hash::{Hash, Hasher};

use super::frame::Frame;
use super::state::{Changing, Leading, Progress, Raft, State, Transfer};
use crate::core::Instant;
use crate::core::random::Random;

impl Raft {
    /// Hashes all that decides what the machine does from now on: equal for machines that behave alike.
    /// Counters, random numbers, answers to hosts and the drawn time of the next election are left out; see
    /// [`Raft::postpone_election`].
    pub fn fingerprint<H: Hasher + Default>(&self, frame: &Frame<'_>, hasher: &mut H) {
        let Raft {
            config: _,
            now: _,
            random: _,
            relation,
            bound,
            heard,
            acquaintances,
            seek_at,
            joins,
            wants_in,
            is_confirmed,
            leaves,
            is_profile_news,
            strangers: _,
            state,
            leader,
            withheld_until,
            election_at: _,
            reclaim_at,
            durability,
            retry_at,
            reason: _,
            refused: _,
            forwarded,
            offered,
            leaves_at,
            hands_over_at,
            has_left,
            vain_hand_overs,
            outputs: _,
        } = self;
        frame.bound(bound, hasher);
        (leader.as_ref().map(|id| frame.id(id)), has_left, vain_hand_overs).hash(hasher);
        (relation, wants_in, is_confirmed, leaves, is_profile_news).hash(hasher);
        heard.as_ref().map(|(id, cluster)| (frame.id(id), cluster)).hash(hasher);
        if bound.is_established {
            // What others said decides whether a cluster is founded or established, and nothing later.
            frame.known(acquaintances.known(), hasher);
        } else {
            acquaintances.fingerprint(frame, hasher);
        }
        if *seek_at < Instant::MAX {
            // A member that heard no leader for long asks all others: see `Raft::lost_at`.
            frame.age(*withheld_until).hash(hasher);
        }
        frame.unordered(joins.iter(), hasher, |id, one| frame.id(id).hash(one));
        for at in [*withheld_until, *retry_at, *seek_at, *hands_over_at] {
            frame.ahead(at).hash(hasher);
        }
        [*reclaim_at, *leaves_at].map(|at| at.map(|at| frame.ahead(at))).hash(hasher);
        let still_offered = offered.iter().filter(|(_, until)| *until > frame.now);
        frame.unordered(still_offered, hasher, |(id, until), one| {
            (frame.id(id), frame.ahead(*until)).hash(one);
        });
        durability.fingerprint(frame, hasher);
        forwarded.fingerprint(frame, hasher);
        ::core::mem::discriminant(state).hash(hasher);
        match state {
            State::Follower => {}
            State::PreCandidate(votes) => self.votes_fingerprint(votes, frame, hasher),
            State::Candidate { votes, own_vote } => {
                self.votes_fingerprint(votes, frame, hasher);
                self.durability.is_durable(*own_vote).hash(hasher);
            }
            State::Leader(leading) => self.leading_fingerprint(leading, frame, hasher),
        }
    }

    fn votes_fingerprint<H: Hasher + Default>(
        &self,
        votes: &[Option<bool>],
        frame: &Frame<'_>,
        hasher: &mut H,
    ) {
        frame.by_place(self.membership(), votes, hasher, |vote, one| vote.hash(one));
    }

    fn leading_fingerprint<H: Hasher + Default>(&self, leading: &Leading, frame: &Frame<'_>, hasher: &mut H) {
        let Leading {
            own_place,
            is_only_voter,
            progress,
            contact,
            own_record,
            heartbeat_at,
            trust,
            is_stop_reported,
            proposals,
            transfer,
            change,
            change_in_flight: _,
            removed,
            prefers_from,
        } = leading;
        (own_place.is_some(), is_only_voter, is_stop_reported).hash(hasher);
        ::core::mem::discriminant(trust).hash(hasher);
        self.durability.is_durable(*own_record).hash(hasher);
        for at in [*heartbeat_at, *prefers_from] {
            frame.ahead(at).hash(hasher);
        }
        frame.by_place(self.membership(), progress, hasher, |progress, one| {
            let Progress { matched, answered, since, incarnation, first_round } = progress;
            (matched, frame.age(*answered), frame.age(*since), incarnation).hash(one);
            let is_new = *first_round > 1;
            let listed = contact.sent(*first_round).filter(|_| is_new).map(|began| frame.age(began));
            (is_new, listed).hash(one);
        });
        contact.fingerprint(frame, hasher);
        proposals.fingerprint(frame, hasher);
        transfer
            .as_ref()
            .map(|Transfer { to, request: _, until }| (frame.id(to), frame.ahead(*until)))
            .hash(hasher);
        change.is_some().hash(hasher);
        if let Some(Changing { request: _, changes, transition }) = change {
            ::core::mem::discriminant(transition).hash(hasher);
            changes.iter().for_each(|change| frame.change(change, hasher));
        }
        frame.unordered(removed.iter(), hasher, |peer, one| (frame.id(&peer.id), peer.incarnation).hash(one));
    }

    /// When this leader of a term began a round of heartbeats; `None` if it does not lead in that term.
    #[must_use]
    pub fn round_began(&self, term: u64, round: u64) -> Option<Instant> {
        match &self.state {
            State::Leader(leading) if self.bound.term == term => leading.contact.sent(round),
            _ => None,
        }
    }

    /// Whether the member stands for election at `now` if it is told to, for all that its vote says: it does
    /// not while it withholds that.
    #[must_use]
    pub fn is_free_to_stand(&self, now: Instant) -> bool {
        !self.config.protections.withholding || now >= self.withheld_until
    }

    /// What the member draws from now on follows from this seed, as it would have at any other time.
    pub fn reseed(&mut self, seed: u64) {
        self.random = Random::new(seed);
    }

    /// The member stands for election only when it is told to, by [`Input::Campaign`](super::Input). A search
    /// tells it at every time, so that no time which is drawn makes a difference. Call it after each input.
    pub fn postpone_election(&mut self) {
        self.election_at = Instant::MAX;
    }

    /// The member asks no other which cluster it belongs to. Call it after each input.
    pub fn postpone_seeking(&mut self) {
        self.seek_at = Instant::MAX;
    }
}
