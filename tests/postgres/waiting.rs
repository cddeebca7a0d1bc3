//! Waiting for what no report announces.

use std::time::{Duration, Instant};

use elector::Elector;
use elector::core::FencingToken;

/// Asks again and again until it is so.
#[track_caller]
pub fn wait_until(what: &str, within: Duration, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + within;
    while !is_so() {
        assert!(Instant::now() < deadline, "not within {within:?}: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Waits until this candidate of the tests' own process leads.
#[track_caller]
pub fn lead(elector: &Elector, within: Duration) -> FencingToken {
    elector.wait_until_leader(within).unwrap_or_else(|| panic!("{:?}", elector.last_error()))
}

/// Has it stand until it leads.
#[track_caller]
pub fn leading(elector: Elector, within: Duration) -> Elector {
    elector.campaign();
    lead(&elector, within);
    elector
}
