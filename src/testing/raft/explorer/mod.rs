//! An explorer: all that a few Raft members can do within bounds, or many long random walks through it.
//!
//! Where a [`World`](super::World) plays one run, the explorer tries everything that can happen next in every
//! state: each message arrives, late, twice or never; each member stands for election, crashes, or finds that
//! its deadline has passed; the clock goes on. States that behave alike are visited once, however many ways
//! lead to them ([`Frame`](crate::core::raft::Frame)). It runs the machine itself, not a model of it.
//!
//! [`Explorer::search`] goes breadth first, so that the trace to what is broken is a shortest one. It is
//! exhausted if no state is left: then no sequence of happenings within the [`Scope`] breaks a promise. From
//! three members on, states count as one that differ only by which member is which ("up to symmetry"). That
//! misses something, because the machine breaks ties by ids: see [`Explorer::search`].
//! [`Explorer::walk`] draws long sequences, which get farther, and shortens the trace to what is broken.
//!
//! ```
//! use elector::testing::raft::{Explorer, Scope};
//! use std::time::Duration;
//!
//! // The clock goes on by more than a minimum election time.
//! let pause = Duration::from_millis(201);
//! let scope = Scope { voters: 2, terms: 1, in_flight: 1, pause, ..Scope::default() };
//! let explored = Explorer::new(scope).search(100_000).unwrap_or_else(|broken| panic!("{broken}"));
//! assert!(explored.is_exhausted, "{explored}");
//! assert!(explored.committed > 0, "a leader was elected and committed its record");
//! ```

mod action;
mod choices;
mod counterexample;
mod network;
mod process;
mod request;
mod scope;
mod search;
mod seen;
mod state;
mod walk;

pub use counterexample::Counterexample;
pub use scope::{Begin, Scope};
pub use search::{Explored, Explorer};
pub use walk::Walked;
