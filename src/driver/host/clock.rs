//! The operating system's clocks; no other file of the library reads them.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::core::Instant;

/// The current instant on a clock that keeps counting while the machine is suspended.
///
/// On Linux `CLOCK_BOOTTIME`: nanoseconds since boot, the same for all processes of a machine. On macOS
/// `CLOCK_MONOTONIC_RAW`, which is `mach_continuous_time`.
///
/// One call takes 20 to 50 ns, since the kernel answers it without a system call.
#[must_use]
pub fn now() -> Instant {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    const CLOCK: libc::clockid_t = libc::CLOCK_BOOTTIME;
    #[cfg(target_vendor = "apple")]
    const CLOCK: libc::clockid_t = libc::CLOCK_MONOTONIC_RAW;

    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a valid timespec for the call to fill in, and the clock id is a constant of this
    // platform.
    let status = unsafe { libc::clock_gettime(CLOCK, &mut time) };
    assert_eq!(
        status, 0,
        "this kernel has no clock that counts suspended time; a lease cannot be trusted here"
    );
    Instant::from_nanos(time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64)
}

/// Microseconds since 1970 on the wall clock. Steps of that clock change it, so it serves tokens and
/// messages, never trust.
#[must_use]
pub fn unix_micros() -> i64 {
    match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_micros()).unwrap_or(i64::MAX),
        Err(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn the_clock_goes_forward_at_the_usual_rate() {
        // The reference is read before and after ours, so a pause between two readings does not fail the
        // test.
        let reference = std::time::Instant::now();
        let before = now();
        std::thread::sleep(Duration::from_millis(20));
        let elapsed = now().saturating_since(before);
        let expected = reference.elapsed();
        assert!(elapsed >= Duration::from_millis(20), "{elapsed:?}");
        assert!(elapsed <= expected + Duration::from_millis(5), "{elapsed:?} against {expected:?}");
    }
}
