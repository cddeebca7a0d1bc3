//! What the SQLite store does when files, disks, other programs and processes misbehave.
#![cfg(all(feature = "sqlite", target_os = "linux"))]

#[path = "sqlite_faults/descriptors.rs"]
mod descriptors;
#[path = "sqlite_faults/files.rs"]
mod files;
#[path = "sqlite_faults/places.rs"]
mod places;
#[path = "sqlite_faults/processes.rs"]
mod processes;
#[path = "sqlite_faults/rows.rs"]
mod rows;
#[path = "sqlite_faults/site.rs"]
mod site;
#[path = "sqlite_faults/terms.rs"]
mod terms;
#[path = "sqlite_faults/timed.rs"]
mod timed;
