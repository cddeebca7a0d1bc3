//! The PostgreSQL store on real servers, of the system's release and of the newest, with real faults.
//!
//! tests/setup-postgres.sh installs what is needed. `ELECTOR_TEST_POSTGRES`, the URL of a superuser, names a
//! server to use for the tests that need no control over theirs.
#![cfg(all(feature = "postgres", target_os = "linux"))]

#[path = "postgres/adoption.rs"]
mod adoption;
#[path = "postgres/candidate.rs"]
mod candidate;
#[path = "postgres/commands.rs"]
mod commands;
#[path = "postgres/descriptors.rs"]
mod descriptors;
#[path = "postgres/encodings.rs"]
mod encodings;
#[path = "postgres/field.rs"]
mod field;
#[path = "postgres/guard.rs"]
mod guard;
#[path = "postgres/handle.rs"]
mod handle;
#[path = "postgres/history.rs"]
mod history;
#[path = "postgres/isolation.rs"]
mod isolation;
#[path = "postgres/leading.rs"]
mod leading;
#[path = "postgres/locks.rs"]
mod locks;
#[path = "postgres/machinery.rs"]
mod machinery;
#[path = "postgres/network.rs"]
mod network;
#[path = "postgres/odd.rs"]
mod odd;
#[path = "postgres/operators.rs"]
mod operators;
#[path = "conformance/patiently.rs"]
mod patiently;
#[path = "postgres/peer.rs"]
mod peer;
#[path = "postgres/permissions.rs"]
mod permissions;
#[path = "postgres/plans.rs"]
mod plans;
#[path = "postgres/pooler.rs"]
mod pooler;
#[path = "postgres/processes.rs"]
mod processes;
#[path = "postgres/row_security.rs"]
mod row_security;
#[path = "postgres/servers.rs"]
mod servers;
#[path = "descriptors/sweep.rs"]
mod sweep;
#[path = "postgres/tokens.rs"]
mod tokens;
#[path = "postgres/watch.rs"]
mod watch;

use elector_kit::on_each_release;
