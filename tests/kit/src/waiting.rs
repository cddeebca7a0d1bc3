//! Waiting for what no report announces.

use std::time::{Duration, Instant};

use crate::session::Session;

/// How long a test waits for an event that must come. It claims nothing about time: it only has a test end
/// that would fail.
pub const SOON: Duration = Duration::from_secs(60);

/// Asks again and again until it is so.
#[track_caller]
pub fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + SOON;
    while !is_so() {
        assert!(Instant::now() < deadline, "not within {SOON:?}: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Waits until a renewal that began after this call has reached the row of this election.
#[track_caller]
pub fn renewed(session: &Session, election: &str) {
    for what in ["a renewal", "a renewal after that"] {
        let before = session.expiry(election);
        wait_until(what, || session.expiry(election) > before);
    }
}

/// Tries again and again what may fail for now.
pub fn patiently<T, E>(
    is_final: impl Fn(&E) -> bool,
    mut attempt: impl FnMut() -> Result<T, E>,
) -> Result<T, E> {
    let end = Instant::now() + SOON;
    loop {
        match attempt() {
            Err(error) if !is_final(&error) && Instant::now() < end => {
                std::thread::sleep(Duration::from_millis(100));
            }
            outcome => return outcome,
        }
    }
}
