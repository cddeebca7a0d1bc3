//! The lease machine: the state machine of one candidate in one election. The driver gives it inputs (what
//! happened), and the machine returns outputs (what the driver must do).
//!
//! ```text
//!             campaign         grant, or renewal of a found row: trust counts from its send
//!  Standby ──────────────▶ Candidate ────────────────────────────────────▶ Leader ──┐ renewed
//!     ▲  ▲                  │   ▲ ▲                                        │ │  ▲───┘
//!     │  └──────────────────┘   │ └────────────────────────────────────────┘ │ drain
//!     │        release          │   lost, expired, stalled, revoked          ▼
//!     │                         └───────────────────────────────────────  Draining
//!     └───────────────────────────────────────────────────────────────────────┘
//!                       release, drained, or the lease could not be kept
//! ```
//!
//! # The contract
//!
//! 1. Handle, then poll: after every [`Lease::handle_input`] call [`Lease::poll_output`] until it returns
//!    [`Output::WaitUntil`].
//! 2. Time only grows. An earlier `now` counts as the latest seen. [`Input::Timeout`] may come early, late or
//!    twice.
//! 3. Outputs are in order and complete: a driver handles them one after the other.
//! 4. A reply may be lost, late or doubled; its [`RequestId`] names the request that it answers.
//! 5. No input panics.
//! 6. Everything is bounded: memory, outputs per input, and operations per second, so that no hint or failing
//!    store can make a hot loop.
//!
//! # What it is safe against
//!
//! * Trust ends at `send time + lease · 99 % − margin` of the operation that the store granted, never later.
//!   [`Lease::leadership`] knows that from the clock alone, without an [`Input::Timeout`].
//! * An unknown outcome never extends trust. The row of an unanswered acquire is led only if it carries this
//!   machine's own incarnation and a token that the machine never held or released, and only once a renewal
//!   of it was answered: a row that a look found may still be lost.
//! * A term's token is larger than every token that the machine has seen. A grant that is not wanted, comes
//!   too late or breaks that order is released.
//! * A term whose trust has ended never comes back; the next term has a new token.
//!
//! # A whole loop
//!
//! A driver with a store that always answers at once, and a clock that jumps to the end of every wait:
//!
//! ```
//! use elector::core::{FencingToken, Instant, Name, Timing};
//! use elector::core::lease::{Config, Event, Input, Lease, Op, Outcome, Output, Reply};
//!
//! let config = Config {
//!     election: Name::new("election", "nightly").unwrap(),
//!     candidate: Name::new("candidate", "api-1").unwrap(),
//!     incarnation: 0x5eed,
//!     meta: None,
//!     timing: Timing::default(),
//!     strict: false,
//!     progress_gate: false,
//!     seed: 1,
//! };
//! let mut now = Instant::ZERO;
//! let mut lease = Lease::new(config, now);
//! let mut events = Vec::new();
//!
//! lease.handle_input(now, Input::Campaign);                            // 1. something happened
//! while now < Instant::from_millis(10_000) {
//!     match lease.poll_output() {                                      // 2. poll
//!         Output::Send(request) => {                                   // 3. ask the store
//!             let outcome = match request.op {
//!                 Op::Acquire(_) => Outcome::Granted { token: FencingToken::new(7).unwrap() },
//!                 Op::Renew { .. } => Outcome::Renewed,
//!                 Op::Look => Outcome::Seen(None),
//!                 Op::Release { .. } => Outcome::Released,
//!             };
//!             let reply = Reply { id: request.id, clock: None, outcome };
//!             lease.handle_input(now, Input::Reply(reply));
//!         }
//!         Output::Event(event) => events.push(event),                  // 4. notify the host
//!         Output::WaitUntil(wait) => {                                 // 5. sleep, then give a timeout
//!             now = wait.latest;
//!             lease.handle_input(now, Input::Timeout);
//!         }
//!     }
//! }
//! assert!(lease.leadership(now).is_leader);
//! assert!(matches!(events[0], Event::Elected { token } if token.get() == 7));
//! assert!(events.iter().filter(|event| matches!(event, Event::Renewed { .. })).count() >= 3);
//! ```
//!
//! Source of the protocol's shape: C. Gray and D. Cheriton, "Leases: an efficient fault-tolerant mechanism
//! for distributed file cache consistency", SOSP 1989.

// Each file uses only those before it: `message` is the vocabulary; `pace`, `seen`, `skew` and `held` are
// values with one rule each; `state` is the state that they make up; `term` begins and ends terms; `reply`
// handles replies, and `output` decides what to send and when; `input` handles every input with the help of
// them all.
mod held;
mod input;
mod message;
mod output;
mod pace;
mod reply;
mod seen;
mod skew;
mod state;
mod term;

pub use message::{
    Acquire, DeposedReason, Event, Failure, Input, Leader, LeaderId, Leadership, Op, Outcome, Output, Phase,
    Reply, Request, RequestId, Row, StoreClock, Version, Wait,
};
pub(crate) use seen::is_beyond;
pub use state::{Config, Lease};
