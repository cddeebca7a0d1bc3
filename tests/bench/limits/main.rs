//! The limits that are promised, measured in one run: each figure beside what it must reach, and a
//! failing exit status if one does not.
//!
//! `cargo bench --bench limits` measures what needs no server, `cargo bench --bench limits -- postgres` the
//! PostgreSQL store. The names of benches behind that pick some.

#![allow(missing_docs)]

mod crowd;
mod failover;
mod figure;
mod many;
#[cfg(feature = "postgres")]
mod postgres;
mod simulation;
mod speed;

use std::process::ExitCode;

use elector_kit::candidate;
use figure::Bench;

elector_kit::contender!();

const BENCHES: [Bench; 6] = [
    ("step", speed::machine_step),
    ("ask", speed::am_i_leader),
    ("worlds", simulation::raft_worlds),
    ("start", failover::start_to_leader),
    ("failover", failover::kill_and_hand_over),
    ("many", many::ten_thousand_elections),
];

fn main() -> ExitCode {
    // A process that a bench started.
    if candidate::is_one() {
        candidate::play::<Contender>();
    }
    if many::is_one() {
        return many::lead();
    }
    let named: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    match named.split_first() {
        #[cfg(feature = "postgres")]
        Some((store, named)) if store == "postgres" => figure::run(&postgres::BENCHES, named),
        _ => figure::run(&BENCHES, &named),
    }
}
