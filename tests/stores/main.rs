//! The stores: what each of them must do, and what SQLite's does when files, disks and processes misbehave.
//! tests/install/postgres.sh installs what PostgreSQL's need.

mod conformance;
#[cfg(all(feature = "sqlite", target_os = "linux"))]
mod sqlite_faults;
#[cfg(feature = "sqlite")]
mod sqlite_server;
