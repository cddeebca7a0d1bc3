//! The current boot of this machine, and its clocks.

#[cfg(target_os = "linux")]
use std::fs;

use crate::core::StoreTime;
use crate::core::lease::StoreClock;
use crate::driver::host::clock;

/// The boot from which the boot clock counts.
pub(super) struct Boot {
    /// The boot's id, kept in each row: an expiry on the boot clock is comparable only within one boot.
    pub id: String,
    /// The boot's id as a timeline for the lease machine.
    timeline: u64,
    /// The difference from boot clock to wall clock in microseconds, read once at the start, so that the
    /// expiry shown for a row of an earlier boot stays the same.
    wall_minus_boot: i64,
}

/// The time on both clocks, in microseconds.
#[derive(Clone, Copy)]
pub(super) struct Now {
    pub boot: i64,
    pub wall: i64,
}

impl Now {
    pub(super) fn read() -> Now {
        let boot = i64::try_from(clock::now().as_nanos() / 1_000).unwrap_or(i64::MAX);
        Now { boot, wall: clock::unix_micros() }
    }
}

impl Boot {
    pub(super) fn current() -> Boot {
        let boot_id = boot_id();
        let now = Now::read();
        Boot { timeline: fnv1a(boot_id.as_bytes()), id: boot_id, wall_minus_boot: now.wall - now.boot }
    }

    pub(super) fn clock(&self, now: Now) -> StoreClock {
        StoreClock { now: StoreTime::from_micros(now.boot), timeline: self.timeline }
    }

    /// Converts a time on the wall clock to the boot clock.
    pub(super) fn boot_time_of(&self, wall: i64) -> i64 {
        wall.saturating_sub(self.wall_minus_boot)
    }
}

/// The kernel's id of this boot, with the time namespace unless it is the machine's initial one: the boot
/// clock may be offset in others (time_namespaces(7)).
#[cfg(target_os = "linux")]
fn boot_id() -> String {
    const FIRST_NAMESPACE: &str = "time:[4026531834]";
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let namespace = fs::read_link("/proc/self/ns/time").unwrap_or_default();
    match namespace.to_str() {
        None | Some("" | FIRST_NAMESPACE) => boot.trim().to_owned(),
        Some(other) => format!("{} {other}", boot.trim()),
    }
}

/// The kernel's id of this boot, from the command sysctl(8), which avoids an unsafe call.
#[cfg(not(target_os = "linux"))]
fn boot_id() -> String {
    let sysctl = std::process::Command::new("/usr/sbin/sysctl").args(["-n", "kern.bootsessionuuid"]).output();
    sysctl.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default()
}

/// The hash FNV-1a, 64 bits (G. Fowler, L. C. Noll, K.-P. Vo): short, and equal in all versions and builds.
pub(super) fn fnv1a(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_boot_has_an_id_and_its_clocks_agree() {
        let (boot, now) = (Boot::current(), Now::read());
        assert!(boot.id.len() >= 36, "{:?}", boot.id);
        assert!((boot.boot_time_of(now.wall) - now.boot).abs() < 1_000_000);
        // Published test vector.
        assert_eq!(fnv1a(b"foobar"), 0x8594_4171_f739_67e8);
    }
}
