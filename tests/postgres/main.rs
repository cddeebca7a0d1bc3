//! The PostgreSQL store on real servers, of the system's release and of the newest, with real faults.
//!
//! tests/install/postgres.sh installs what is needed. `ELECTOR_TEST_POSTGRES`, the URL of a superuser, names
//! a server to use for the tests that need no control over theirs.
#![cfg(all(feature = "postgres", target_os = "linux"))]

mod adoption;
mod candidate;
mod commands;
mod connect;
mod encodings;
mod guard;
mod handle;
mod history;
mod isolation;
mod leading;
mod locks;
mod machinery;
mod network;
mod odd;
mod operators;
mod permissions;
mod plans;
mod pooler;
mod processes;
mod row_security;
mod servers;
mod sessions;
mod tokens;
mod watch;
