//! Raft without a log, for clusters without a database. The machine of one member: the driver gives it inputs
//! (what happened), and the machine returns outputs (what the driver must do).
//!
//! The replicated state is one [`Record`]: the members and the application's data as one small value. A
//! leader replaces it as a whole, so there is no log to match, to truncate or to compact, and the durable
//! state of a member is one small blob ([`Durable`]).
//!
//! ```text
//!              election time       quorum would vote      quorum votes
//!  Follower ───────────────▶ PreCandidate ─────────▶ Candidate ───────▶ Leader ──┐ a quorum answers
//!     ▲  ▲                        │  timeout_now ────────▲  │              │  ▲───┘
//!     │  └────────────────────────┘                         │              │
//!     │             refused                     lost        │              │
//!     ├─────────────────────────────────────────────────────┘              │
//!     └────────────────────────────────────────────────────────────────────┘
//!          a later term, no quorum answers, leadership handed over, the disk failed
//! ```
//!
//! # The contract
//!
//! 1. Handle, then poll: after every [`Raft::handle_input`] call [`Raft::poll_output`] until it returns
//!    [`Output::WaitUntil`].
//! 2. Time only grows, on a clock that also counts the time for which the machine was suspended. For
//!    [`Input::Received`] it is read after the bytes arrived.
//! 3. Outputs are in order and complete. Whatever is given out to send is safe to send at once: the machine
//!    itself holds back what promises something durable until [`Input::Persisted`].
//! 4. A member starts only with the newest state that it made durable ([`Raft::restore`]). A state that
//!    cannot be read is not "no state".
//! 5. No input panics, and no bytes of others do: hostile, damaged and foreign ones are refused and counted
//!    ([`Raft::refused`]).
//! 6. Everything is bounded: memory, outputs per input, the size of messages. It never wants to be woken at a
//!    time that has passed.
//! 7. The transport authenticates: whoever may send messages with the cluster's id is believed to be the
//!    member that it says it is. The checksum finds damage, no attacker.
//!
//! # What it is safe against
//!
//! * Lost, doubled, reordered and late messages, crashes that lose a write that was not answered, disks that
//!   hang or fail: at most one leader a term, one record at each position, and no committed record is lost.
//! * Trust ends 0.9 of the minimum election time after the send of the newest heartbeat that a quorum
//!   answered, never later: [`Raft::leadership`] knows that from the clock alone. Members give no vote for at
//!   least the minimum election time of the leader that they heard. So no two members are trusted at once
//!   while clocks differ by less than 5.26 % in rate from true time.
//! * A leader is trusted only once a record of its own term is committed: then it knows everything that was
//!   committed.
//! * A term whose trust has ended never comes back; the next term has a larger token.
//! * Members change one voter at a time, or through a joint configuration, only after a record of the
//!   leader's term is committed, and only to voters of whom a quorum answers.
//! * A record that only a witness keeps besides a leader that ended is not lost: the witness offers it to
//!   candidates.
//!
//! # How a cluster begins
//!
//! A member without durable state ([`Raft::new`]) founds a cluster with those of its founding list
//! ([`Config::founding`], recommended), or joins the cluster of a member that its host names
//! ([`Input::Known`]), or founds one alone if all that it knows of belong to none or are silent. **Two
//! founders that have each accepted data or a second member before they hear of each other are two clusters
//! for ever.** A member that leaves ([`Input::Leave`]) only ever rejoins its cluster. The rules, their
//! argument and their limits are in `src/docs/raft.md`.
//!
//! # A whole loop
//!
//! A member that knows nobody founds a cluster alone. Its disk answers at once, and its clock jumps to the
//! end of every wait:
//!
//! ```
//! use elector::core::Instant;
//! use elector::core::raft::*;
//!
//! let (id, incarnation) = (MemberId::new("a")?, Incarnation::new(0x5eed).unwrap());
//! let mut now = Instant::ZERO;
//! let mut raft = Raft::new(Config::new(id, incarnation, 1), now)?;
//! let mut events = Vec::new();
//! raft.handle_input(now, Input::Timeout);                              // 1. something happened
//! while now < Instant::from_millis(2_000) {
//!     match raft.poll_output() {                                       // 2. poll
//!         Output::Persist { ticket, bytes } => {                       // 3. write, then say so
//!             assert!(Durable::from_bytes(&bytes).is_ok());
//!             raft.handle_input(now, Input::Persisted(ticket));
//!         }
//!         Output::Send { .. } => unreachable!("it has nobody to send to"),
//!         Output::Event(event) => events.push(event),                  // 4. notify the host
//!         Output::WaitUntil(due) => {                                  // 5. sleep, then give a timeout
//!             now = due;
//!             raft.handle_input(now, Input::Timeout);
//!         }
//!     }
//! }
//! assert!(raft.leadership(now).is_leader);
//! assert!(matches!(events[0], Event::StandingChanged { standing: Standing::Founding, .. }));
//! assert!(matches!(events[2], Event::Committed(_)), "a record of its term");
//! assert!(matches!(events[3], Event::Elected { token } if token.get() == 1));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Sources: W. Schultz, S. Zhou, I. Dardik, S. Tripakis, "Design and analysis of a logless dynamic
//! reconfiguration protocol", OPODIS 2021; D. Ongaro, "Consensus: bridging theory and practice", 2014.

// Each file uses only those before it:
// * `id`; `number`, numbers as bytes; `membership` and `change`, the members and how they change; `record`,
//   the replicated state;
// * `checksum` and `codec`, the fields of all bytes; `durable`, what a member keeps; `message` and `wire`,
//   what members send, and its bytes; `frame`, by what they are compared in a search;
// * `config`; `wait`, `acquaintances`, `contact`, `durability` and `proposals`, values with one rule each;
//   `interface`, inputs and outputs;
// * `state`, what they make up, and `start`, how it begins; `election`, `offer`, `replication`, `transfer`,
//   `members`, `joining` and `founding`, the protocol; `input`, which handles every input with their help;
//   `fingerprint`, which hashes a machine for a search.
mod acquaintances;
mod change;
mod checksum;
mod codec;
mod config;
mod contact;
mod durability;
mod durable;
mod election;
#[cfg(feature = "testing")]
mod fingerprint;
mod forwarded;
mod founding;
#[cfg(feature = "testing")]
mod frame;
mod id;
mod input;
mod interface;
mod joining;
mod members;
mod membership;
mod message;
mod number;
mod offer;
mod peer;
mod proposals;
mod record;
mod replication;
mod start;
mod state;
mod transfer;
mod wait;
mod wire;

pub use change::{Change, ChangeRefused, Transition};
pub use codec::{InvalidBytes, MAX_BYTES};
#[cfg(feature = "testing")]
pub use config::Protection;
pub use config::{Config, ElectionTiming, InvalidTiming, MAX_ELECTION_MIN};
pub use durability::Ticket;
pub use durable::{Bound, Durable, DurableState};
#[cfg(feature = "testing")]
pub use frame::Frame;
pub use id::{ClusterId, Incarnation, InvalidId, KnownIds, MAX_KNOWN, MemberId};
pub use interface::{Event, Input, Leadership, Output, Refused, Role};
pub use membership::{
    InvalidMembership, MAX_ADDRESS_BYTES, MAX_MEMBERS, Member, Membership, Profile, VoteResult,
};
pub use message::{Body, Introduction, Message, Refusal, Standing};
pub use record::{MAX_DATA_BYTES, MAX_HOLD_MS, Position, Record};
pub use start::StartRefused;
pub use state::Raft;
