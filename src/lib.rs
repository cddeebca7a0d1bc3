//! Leader election and leases for services in any language.
//!
//! Several processes stand for an election; one of them leads, for as long as it keeps its lease in a store,
//! PostgreSQL or SQLite. When the leader ends, crashes or is cut off, another one leads, with a larger
//! fencing token.
//!
//! # What is promised
//!
//! * **One leader.** At no instant do two candidates' [`Elector::am_i_leader`] both answer true, as long
//!   as a holder's clock and the store's advance at rates that differ by at most 1 % over one lease.
//!   Pauses, lost or late messages, restarts of the store, killed processes and partitions do not break
//!   it.
//! * **Growing tokens.** Each term has a fencing token larger than those before it.
//! * **Guarded transactions.** On PostgreSQL, a transaction guarded by an old leader cannot commit after
//!   a new leader was elected, at any isolation level. Rolling back to a savepoint ends a guard that was
//!   taken after it.
//! * **Progress.** With the store reachable, a candidate leads within the remaining lease + 150 ms + one
//!   round trip of a crash, and within tens of milliseconds of a release. Behind a transaction pooler
//!   candidates find a release when they next read the row, within a third of the lease. `strict`, or a
//!   step of the store's clock that the candidate saw, adds about a lease; a backward step also adds what
//!   the clock was set back. An open guard delays its own election while it stays open.
//!
//! # What is not promised
//!
//! * That work which was started while leading stops in time: it must watch its deadlines
//!   ([`Term::work_for`], [`Term::trusted_for`]), be run by `elector run`, or write to a resource that checks
//!   its fencing token.
//! * One leader when the store's wall clock is stepped forward and the next leader had not read it before,
//!   when a promoted standby has lost commits, when a live row is deleted by hand, when the SQLite file is
//!   moved away or mounted over, or when a virtual machine is frozen without its clocks noticing. Tokens
//!   still protect whatever checks them; `strict` covers the first two.
//!
//! The argument is worked out in [`docs::guarantees`].
//!
//! # A first leader
//!
//! ```
//! use elector::Elector;
//! use std::time::Duration;
//!
//! let elector = Elector::builder("nightly-report").store("memory:readme").build()?;
//! elector.campaign();
//! elector.wait_until_leader(Duration::from_secs(60)).expect("no other candidate leads");
//! if elector.am_i_leader() {
//!     println!("only one process prints this; its token is {:?}", elector.token());
//! }
//! elector.release_and_wait(Duration::from_secs(60))?;
//! # Ok::<(), elector::Error>(())
//! ```
//!
//! Work that should stop in time runs under [`Elector::run_as_leader`]; every event of a candidate comes
//! through [`Elector::changes`].
//!
//! # Glossary
//!
//! | word | meaning |
//! |---|---|
//! | election | a name under which at most one candidate leads at a time |
//! | candidate | one participant in one election: an [`Elector`] and its machine |
//! | incarnation | the random number of one run of a candidate; tells it from others of the same name |
//! | leader | the candidate that holds a lease which it trusts |
//! | member, quorum | one of the machines of a Raft cluster; a majority of those that vote |
//! | voter, learner, witness | a member that votes; one that only receives; a voter that never leads |
//! | joint configuration | two sets of voters during a change of members; a quorum needs a majority of each |
//! | term | the time for which a candidate leads, from `Elected` to `Deposed` |
//! | fencing token | the number of a term, larger than those of all earlier terms of the election |
//! | lease | the right to lead until an expiry, as the store records it |
//! | store | the database or memory where leases are kept |
//! | row | the record of one election in the store: holder, token, expiry, meta |
//! | meta | a text that the leader publishes in its row |
//! | campaign, stand down | take part in an election; stop taking part |
//! | acquire | take a row that is absent or has expired |
//! | take over | acquire the row of another candidate after its lease has expired |
//! | renew | extend the lease that the candidate holds |
//! | release | end the lease that the candidate holds, so that another candidate can lead at once |
//! | drain | stop new work and keep the lease until the work in progress has ended |
//! | depose | end a term, for whatever reason |
//! | revoke | end a term from outside: an operator's `elector break`, or a store that is gone |
//! | expire | end by the passing of time |
//! | trust | a leader trusts its lease until the hard deadline, for [`core::Timing::trust`] |
//! | hard deadline | when trust ends unless the lease is renewed: [`Leadership::trusted_until`] |
//! | soft deadline | when new work must stop unless the lease is renewed: [`Leadership::work_until`] |
//! | margin | trust ends this long before the lease can expire, besides 1 % for clocks of different rates |
//! | grace | the time from the soft to the hard deadline, for work in progress to end |
//! | hub | what serves all candidates of a process on one store: two threads, one connection |
//! | batch | the operations of many elections that a hub sends to its store together |
//! | hint | a message that a row may have become free; it can be wrong, late or missing |
//! | watcher | what waits for hints: LISTEN in PostgreSQL, inotify(7) for SQLite |
//! | guard | a check of the term inside a PostgreSQL transaction, which then commits only within the term |
//! | strict | takes over only a row that stood unchanged for a whole lease of the candidate's own clock |
//! | clock step | a jump of the store's clock, forward or back |
//!
//! # The map
//!
//! | module | what it is |
//! |---|---|
//! | [`core`] | the pure machine: input in, output out; no clock, socket, file, thread or global |
//! | [`core::lease`] | the contract of that seam, with a whole loop as example |
//! | [`core::raft`] | the Raft machine, for clusters without a database: [`docs::raft`] |
//! | [`driver`] | the I/O: clocks, stores, the hub |
//! | [`Elector`] | what a Rust user holds |
//! | `testing` | a simulated world, and the properties of stores, with the feature of this name |
//! | `capi` | the C ABI, with the feature of this name: `include/elector.h`, `bindings/c` |
//! | `wasm` | the core for JavaScript, with the features `wasm` and `wasm-raft`: `bindings/js` |
//! | [`docs`] | guarantees, design, Raft, how to operate it, figures, contributing, changes |
//!
//! # Cargo features
//!
//! * `sqlite` (default): the embedded store.
//! * `postgres` (default): the production store, with TLS.
//! * `capi`: the C ABI. Alone it has the pure machine only; with a store's feature it has all functions.
//! * `wasm`: the lease machine and its SQL for JavaScript; `wasm-raft`: the Raft machine.
//! * `cli` (default): the command line. A library user takes `default-features = false, features =
//!   ["sqlite"]`.
//! * `driver`: the hub, [`Elector`] and the store in memory; implied by the stores.
//! * `testing`: for tests, a simulated world for the pure machine; with `driver` also the properties that a
//!   store must have.
//! * none: the pure core only, `no_std` with `alloc`; builds for `wasm32-unknown-unknown`.

#![cfg_attr(not(any(feature = "driver", feature = "capi", feature = "wasm", feature = "wasm-raft")), no_std)]
extern crate alloc;

#[forbid(unsafe_code)]
pub mod core;

#[cfg(feature = "capi")]
pub mod capi;
#[cfg(feature = "driver")]
pub mod driver;
#[cfg(feature = "driver")]
mod elector;
#[cfg(feature = "testing")]
#[forbid(unsafe_code)]
pub mod testing;
#[cfg(any(feature = "wasm", feature = "wasm-raft"))]
pub mod wasm;

#[cfg(feature = "driver")]
pub use self::{
    core::lease::{Leader, Leadership},
    driver::hub::changes::{Change, Changes},
    elector::{Builder, Elector, Error, Term},
};

/// The long documents.
pub mod docs {
    #[doc = include_str!("docs/guarantees.md")]
    pub mod guarantees {}
    #[doc = include_str!("docs/design.md")]
    pub mod design {}
    #[doc = include_str!("docs/raft.md")]
    pub mod raft {}
    #[doc = include_str!("docs/timing.md")]
    pub mod timing {}
    #[doc = include_str!("docs/stores.md")]
    pub mod stores {}
    #[doc = include_str!("docs/running-commands.md")]
    pub mod running_commands {}
    #[doc = include_str!("docs/monitoring.md")]
    pub mod monitoring {}
    #[doc = include_str!("docs/trouble.md")]
    pub mod trouble {}
    #[doc = include_str!("docs/measured.md")]
    pub mod measured {}
    #[doc = include_str!("docs/contributing.md")]
    pub mod contributing {}
    #[doc = include_str!("docs/changelog.md")]
    pub mod changelog {}
}

/// The README's examples are run with the tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct Readme;
