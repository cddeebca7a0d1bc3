//! A process without file descriptors: each attempt to open a store says so, is no refusal, and works once
//! there are some again.
#![cfg(all(feature = "sqlite", target_os = "linux"))]

#[cfg(feature = "postgres")]
#[path = "descriptors/server.rs"]
mod server;
#[path = "descriptors/sweep.rs"]
mod sweep;

use sweep::{as_a_child, sweep};

#[test]
fn a_file_is_not_blamed_for_descriptors_that_are_missing() {
    if as_a_child() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = |left| format!("sqlite:{}", folder.path().join(format!("{left}.db")).display());
    sweep("a_file_is_not_blamed_for_descriptors_that_are_missing", path);
}
