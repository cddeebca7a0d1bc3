//! What is promised for PostgreSQL, on servers that this starts itself, of the newest release; with fsync, as
//! in production. tests/install/postgres.sh installs what is needed.

mod crash;
mod crowd;
mod handover;
mod load;
mod standby;

use elector_kit::cluster::{Cluster, Plan, Release};

use crate::figure::Bench;

pub const BENCHES: [Bench; 5] = [
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
