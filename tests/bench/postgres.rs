//! The limits that are promised for PostgreSQL, measured in one run on servers that this starts itself, of
//! the newest release; with fsync, as in production. `cargo bench --bench postgres -- NAME…` runs some.
//! tests/install/postgres.sh installs what is needed.

#![allow(missing_docs)]

mod candidate;
mod figure;
mod many;

#[path = "postgres/crash.rs"]
mod crash;
#[path = "postgres/crowd.rs"]
mod crowd;
#[path = "postgres/handover.rs"]
mod handover;
#[path = "postgres/load.rs"]
mod load;
#[allow(dead_code, reason = "the tests use the rest")]
#[path = "../postgres/peer.rs"]
mod peer;
#[path = "postgres/standby.rs"]
mod standby;

use std::process::ExitCode;

use elector_kit::cluster::{Cluster, Plan, Release};
use figure::{Bench, Figure, percentile_ms};

const BENCHES: [Bench; 5] = [
    ("handover", handover::graceful),
    ("standby", standby::cost),
    ("crash", crash::kill_minus_nine),
    ("crowd", crowd::one_of_a_hundred),
    ("many", load::ten_thousand_elections),
];

/// A server as in production: it waits for the disk.
fn server() -> Plan {
    Cluster::plan(Release::Newest)
        .set("fsync", "on")
        .set("full_page_writes", "on")
        .set("max_connections", 150)
}

fn main() -> ExitCode {
    if let Some(role) = std::env::var_os("ELECTOR_BENCH_ROLE") {
        return match role.to_str() {
            Some("candidate") => candidate::run(),
            _ => many::lead(),
        };
    }
    figure::run(&BENCHES)
}
