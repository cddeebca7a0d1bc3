//! Tests that change or count something of which a process has only one: its allocator, its log and metrics,
//! its threads, its clock. Each runs in a process of its own, which is this program again.
#![cfg(feature = "driver")]

mod allocation;
#[cfg(all(target_os = "linux", feature = "cli"))]
mod blocking_subscribers;
#[cfg(target_os = "linux")]
mod boot_clock;
#[cfg(unix)]
mod fork;
#[cfg(feature = "cli")]
mod news;
#[cfg(feature = "cli")]
mod panicking_subscribers;
#[cfg(feature = "cli")]
mod telemetry;
#[cfg(target_os = "linux")]
mod threads;

use std::process::Command;

/// Set in the processes that run one test.
const ALONE: &str = "ELECTOR_TEST_ALONE";

/// Whether this process runs only `test`, the full name of the test that asks. If it runs others, too, `test`
/// is run in a new process first, and has to pass there.
#[track_caller]
fn is_alone(test: &str) -> bool {
    if std::env::var(ALONE).as_deref() == Ok(test) {
        return true;
    }
    let mut process = Command::new(std::env::current_exe().expect("the path of this program"));
    process.args([test, "--exact", "--nocapture", "--test-threads=1"]).env(ALONE, test);
    let output = process.output().expect("this program starts");
    let (said, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{test}, alone: {}\n{said}{errors}", output.status);
    // A name that fits no test would pass, too.
    assert!(said.contains("test result: ok. 1 passed"), "no test is called {test}:\n{said}");
    false
}
