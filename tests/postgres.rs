//! The PostgreSQL store on real servers, of the system's release and of the newest, with real faults.
//!
//! tests/setup-postgres.sh installs what is needed. `ELECTOR_TEST_POSTGRES`, the URL of a superuser, names a
//! server to use for the tests that need no control over theirs.
#![cfg(all(feature = "postgres", target_os = "linux"))]

#[path = "postgres/adoption.rs"]
mod adoption;
#[path = "postgres/binaries.rs"]
mod binaries;
#[path = "postgres/candidate.rs"]
mod candidate;
#[allow(dead_code, reason = "the bench uses the rest")]
#[path = "postgres/cluster.rs"]
mod cluster;
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
#[path = "postgres/pgbouncer.rs"]
mod pgbouncer;
#[path = "postgres/plans.rs"]
mod plans;
#[path = "postgres/pooler.rs"]
mod pooler;
#[path = "postgres/processes.rs"]
mod processes;
#[path = "postgres/proxy.rs"]
mod proxy;
#[path = "postgres/row_security.rs"]
mod row_security;
#[path = "postgres/servers.rs"]
mod servers;
#[path = "postgres/session.rs"]
mod session;
#[path = "postgres/site.rs"]
mod site;
#[path = "descriptors/sweep.rs"]
mod sweep;
#[path = "postgres/tokens.rs"]
mod tokens;
#[path = "postgres/waiting.rs"]
mod waiting;
#[path = "postgres/watch.rs"]
mod watch;
mod witness;

/// One test per property and release.
macro_rules! on_each_release {
    ($($property:ident)*) => {
        mod system {
            $(#[test] fn $property() { super::$property(crate::cluster::Release::System) })*
        }
        mod newest {
            $(#[test] fn $property() { super::$property(crate::cluster::Release::Newest) })*
        }
    };
}
pub(crate) use on_each_release;
