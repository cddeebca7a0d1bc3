//! Trying again what fails for now.

use std::time::{Duration, Instant};

use elector::driver::stores::StoreError;

/// How long it is tried.
const SOON: Duration = Duration::from_secs(60);

/// Tries for as long as the store says that it may pass.
pub fn patiently<T>(mut attempt: impl FnMut() -> Result<T, StoreError>) -> Result<T, StoreError> {
    let end = Instant::now() + SOON;
    loop {
        match attempt() {
            Err(error) if !error.is_permanent() && Instant::now() < end => {
                std::thread::sleep(Duration::from_millis(100));
            }
            outcome => return outcome,
        }
    }
}
