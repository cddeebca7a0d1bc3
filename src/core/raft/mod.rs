//! Raft without a log, for clusters without a database.
//!
//! The replicated state is one [`Record`]: the members and the application's data as one small value. A
//! leader replaces it as a whole, so there is no log to match, to truncate or to compact, and the durable
//! state of a member is one small blob ([`Durable`]).
//!
//! So far this module has the vocabulary and the arithmetic of the protocol: memberships, their quorums and
//! changes ([`Membership`]), messages ([`Message`]) and durable state, both with their bytes. The machine
//! that elects with them is not built yet.
//!
//! Source of the shape: W. Schultz, S. Zhou, I. Dardik, S. Tripakis, "Design and analysis of a logless
//! dynamic reconfiguration protocol", OPODIS 2021; D. Ongaro, "Consensus: bridging theory and practice",
//! 2014.

// Each file uses only those before it: `id`; `membership` and `change`, the members and how they change;
// `record`, the replicated state; `checksum` and `codec`, the fields of all bytes; `durable`, what a member
// keeps; `message` and `wire`, what members send and its bytes.
mod change;
mod checksum;
mod codec;
mod durable;
mod id;
mod membership;
mod message;
mod record;
mod wire;

pub use change::{Change, ChangeRefused, Transition};
pub use codec::{InvalidBytes, MAX_BYTES};
pub use durable::{Bound, Durable, DurableState};
pub use id::{ClusterId, Incarnation, InvalidId, MemberId};
pub use membership::{
    InvalidMembership, MAX_ADDRESS_BYTES, MAX_MEMBERS, Member, Membership, Profile, VoteResult,
};
pub use message::{Acquaintance, Body, Message, Refusal, Standing};
pub use record::{MAX_DATA_BYTES, Position, Record};
