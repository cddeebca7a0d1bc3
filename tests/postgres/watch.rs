//! Measuring real time: the witness of a measurement watches the processes that it waits for.

use std::time::Duration;

use elector_kit::field::Field;
use elector_kit::witness::Witness;

/// What a fail-over may take on top of what remains of the lease. The promise is 150 ms and a round trip; the
/// bench measures it.
pub const SLACK: Duration = Duration::from_millis(500);

/// Begins a measurement: watches these candidates, and the server unless it is another's.
pub fn watch(field: &Field, server: impl Into<Option<u32>>) -> Witness {
    let pids: Vec<u32> = field.pids().chain(server.into()).collect();
    Witness::start(&pids)
}
