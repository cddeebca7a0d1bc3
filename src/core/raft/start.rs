//! How a machine starts: without durable state, or with what the member made durable.

use ::core::fmt;
use alloc::collections::VecDeque;
use alloc::vec::Vec;

use super::acquaintances::Acquaintances;
use super::checksum::xxh64;
use super::codec::InvalidBytes;
use super::config::Config;
use super::durability::Durability;
use super::durable::{Bound, Durable, DurableState};
use super::forwarded::Forwarded;
use super::id::{Incarnation, KnownIds, MemberId};
use super::interface::Refused;
use super::membership::MAX_ADDRESS_BYTES;
use super::state::{Raft, Relation, State};
use crate::core::Instant;
use crate::core::random::Random;

impl Raft {
    /// A member without durable state. It founds a cluster or joins one: with those of
    /// [`Config::founding`](super::Config::founding), or with whom it is told of
    /// ([`Input::Known`](super::Input::Known)).
    ///
    /// # Errors
    /// When a founding list does not name the member, or names it as a witness and the settings do not, or
    /// the other way round.
    pub fn new(config: Config, now: Instant) -> Result<Raft, StartRefused> {
        let blank = DurableState::Blank { known: KnownIds::default(), heard: None, term: 0 };
        let durable = Durable { id: config.id, incarnation: config.incarnation, state: blank };
        let mut raft = Raft::restore(config, durable, now)?;
        // The incarnation must be durable before others hear of it.
        raft.durability.changed();
        Ok(raft)
    }

    /// A follower with this durable state, which must be the newest that the member made durable.
    ///
    /// # Errors
    /// When the state belongs to another member, contradicts itself, or is of another founding list than
    /// that of the settings; and as [`Raft::new`].
    pub fn restore(config: Config, durable: Durable, now: Instant) -> Result<Raft, StartRefused> {
        if durable.id != config.id {
            return Err(StartRefused::OtherMember(durable.id));
        }
        durable.check().map_err(StartRefused::Invalid)?;
        if config.address.len() > MAX_ADDRESS_BYTES {
            return Err(StartRefused::AddressTooLong(config.address.len()));
        }
        let (relation, mut bound, heard) = match durable.state {
            DurableState::Blank { known, heard, term } => {
                (Relation::Blank, Bound { known, ..Bound::outside(term) }, heard)
            }
            DurableState::Bound(bound) => (Relation::Bound, bound, None),
            DurableState::Left { cluster, term, membership } => {
                let mut bound = Bound::outside(term);
                (bound.committed.cluster, bound.committed.membership) = (cluster, membership);
                (Relation::Left, bound, None)
            }
        };
        let known = ::core::mem::take(&mut bound.known);
        let incarnation = match relation {
            Relation::Left => incarnation_after(durable.incarnation, config.incarnation),
            _ => durable.incarnation,
        };
        let config = Config { incarnation, ..config };
        let mut raft = Raft::follower(config, relation, bound, known, now);
        if incarnation != durable.incarnation {
            raft.durability.changed();
        }
        raft.heard = heard;
        raft.found_by_list()?;
        raft.has_left = raft.relation == Relation::Bound && !raft.is_listed();
        // It may have answered a heartbeat just before it stopped.
        raft.withhold();
        raft.restart_election_time();
        Ok(raft)
    }

    /// A follower that knows nothing but its state.
    fn follower(config: Config, relation: Relation, bound: Bound, known: KnownIds, now: Instant) -> Raft {
        let mut seed = config.seed.to_le_bytes().to_vec();
        seed.extend_from_slice(config.id.as_bytes());
        // The seed of a member depends on its id through a strong mix: with a weak one two members can draw
        // the same times for ever.
        let mut random = Random::new(xxh64(&seed));
        // Below 2⁵². Messages of an earlier life have other numbers.
        let first_number = random.number();
        let wait = config.timing.max() + random.below(config.timing.min());
        Raft {
            random,
            now,
            relation,
            bound,
            heard: None,
            acquaintances: Acquaintances::new(known, now, wait, first_number >> 32),
            seek_at: now,
            joins: Vec::new(),
            wants_in: true,
            is_confirmed: false,
            leaves: false,
            is_profile_news: true,
            strangers: Vec::new(),
            state: State::Follower,
            leader: None,
            withheld_until: now,
            election_at: now,
            reclaim_at: None,
            durability: Durability::default(),
            retry_at: Instant::MAX,
            reason: None,
            refused: Refused::default(),
            forwarded: Forwarded::new(first_number),
            offered: Vec::new(),
            leaves_at: None,
            hands_over_at: Instant::MAX,
            has_left: false,
            vain_hand_overs: 0,
            outputs: VecDeque::new(),
            config,
        }
    }
}

/// The incarnation of a member that left. It dropped its record, so it comes back as another one: nothing
/// counts for it that is still on its way from its time as a member. That holds also if the host draws none
/// anew.
fn incarnation_after(left: Incarnation, drawn: Incarnation) -> Incarnation {
    if drawn != left && drawn != Incarnation::UNKNOWN {
        return drawn;
    }
    let next = xxh64(&left.get().to_le_bytes()) >> 11;
    Incarnation::new(next).unwrap_or(drawn)
}

/// Why a machine cannot be made from durable state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartRefused {
    /// The state belongs to this other member.
    OtherMember(MemberId),
    /// The parts of the state contradict each other.
    Invalid(InvalidBytes),
    /// The address in the settings has this many bytes.
    AddressTooLong(usize),
    /// The founding list does not name this member as what the settings say: see
    /// [`Config::founding`](super::Config::founding).
    NotInFoundingList,
    /// The durable state was written with another founding list, and a cluster of that one may exist.
    OtherFoundingList,
}

impl fmt::Display for StartRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartRefused::OtherMember(found) => write!(
                f,
                "the durable state belongs to member {found}, and this member has another id; give each \
                 member a place of its own for its state"
            ),
            StartRefused::Invalid(invalid) => write!(f, "the durable state is invalid: {invalid}"),
            StartRefused::AddressTooLong(found) => {
                write!(f, "the member's address has {found} bytes; at most {MAX_ADDRESS_BYTES} are allowed")
            }
            StartRefused::NotInFoundingList => f.write_str(
                "the founding list does not name this member, or as a witness where its settings say that it \
                 is none, or the other way round; give all members the same list, with all of them in it",
            ),
            StartRefused::OtherFoundingList => f.write_str(
                "the member already takes part in a founding with another list, whose cluster may exist; \
                 start it with the list that it had, and change the members afterwards",
            ),
        }
    }
}

impl ::core::error::Error for StartRefused {}
