//! Tests for programs that build on this crate, with the feature `testing`. Switch it on for tests only:
//!
//! ```toml
//! [dev-dependencies]
//! elector = { version = "0.1", features = ["testing"] }
//! ```
//!
//! * [`World`] plays the lease machine in a simulated world: several candidates with drifting clocks, a store
//!   whose clock is stepped, a network that loses, delays and doubles messages, processes that crash. After
//!   everything that happens it checks the promises. For programs that embed
//!   [`core::lease`](crate::core::lease) in a host of their own: with their timing and number of candidates
//!   ([`Plan`]), and with the host itself ([`Machine`]). Needs no operating system and no `std`.
//! * [`raft`] plays the Raft machine in such a world, with disks that hang, fail and lose what was not
//!   answered.
//! * [`Clock`] is such a clock by itself.
//! * `conformance`, with the feature `driver` too, has the properties that a store must have. For programs
//!   that bring a store of their own.
//!
//! A world does not panic: what is broken comes back as a [`Violation`], which a test prints. The seed and
//! the plan replay it:
//!
//! ```
//! use elector::testing::World;
//!
//! for seed in 0..20 {
//!     let mut world = World::new(seed);
//!     if let Err(violation) = world.run() {
//!         panic!("{}{:?}\n{violation}", world.log_tail(), world.plan());
//!     }
//! }
//! ```
//!
//! The world of a seed may change with the version of this crate: replay a seed with the version in which it
//! failed.

mod checks;
mod clock;
mod delivery;
mod exclusion;
mod faults;
mod log;
mod network;
mod node;
mod phases;
mod plan;
pub mod raft;
mod random;
mod store;
mod violation;
mod world;

#[cfg(feature = "driver")]
pub mod conformance;

pub use clock::Clock;
pub use node::Machine;
pub use plan::{Fault, InvalidPlan, Plan};
pub use violation::Violation;
pub use world::{Figures, World};
