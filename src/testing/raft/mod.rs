//! A simulated world for the Raft machine: members with drifting clocks and with disks, and a network between
//! them.
//!
//! All chance is drawn from a seed: the same seed and plan give the same world, on every machine. After each
//! input the promises are checked: one leadership at a time, one record at each position, no committed record
//! lost, newest reads, true answers, growing tokens, events in order, bounded output. So are the invariants
//! I1, I2, I4 and I5 of the proof in `raft.md`. At the end all faults stop, in some worlds with a minority of
//! the voters cut off for good, and the cluster must lead and commit again.
//!
//! ```
//! use elector::testing::raft::World;
//!
//! for seed in 0..5 {
//!     let mut world = World::new(seed);
//!     if let Err(violation) = world.run() {
//!         panic!("{:?}\n{violation}", world.plan());
//!     }
//! }
//! ```

mod checks;
mod disk;
pub mod explorer;
mod faults;
mod liveness;
mod network;
mod node;
mod outputs;
mod plan;
mod queue;
mod steps;
#[cfg(test)]
mod tests;
mod world;

pub use disk::check_promise;
pub use explorer::{Begin, Counterexample, Explored, Explorer, Scope, Walked};
pub use plan::{Beginning, Fault, Plan};
pub use world::{Figures, World};
