//! The limits that are promised, measured in one run: each figure beside what it must reach, and a
//! failing exit status if one does not. `cargo bench --bench limits` runs all, `cargo bench --bench
//! limits -- NAME…` some.

#![allow(missing_docs)]

mod candidate;
mod failover;
mod figure;
mod many;
mod speed;

use std::process::ExitCode;

use figure::{Bench, Figure, percentile_ms};

const BENCHES: [Bench; 5] = [
    ("step", speed::machine_step),
    ("ask", speed::am_i_leader),
    ("start", failover::start_to_leader),
    ("failover", failover::kill_and_hand_over),
    ("many", many::ten_thousand_elections),
];

fn main() -> ExitCode {
    if let Some(role) = std::env::var_os("ELECTOR_BENCH_ROLE") {
        return match role.to_str() {
            Some("candidate") => candidate::run(),
            _ => many::lead(),
        };
    }
    figure::run(&BENCHES)
}
