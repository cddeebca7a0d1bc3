//! The clock counts the time for which the machine was suspended: it is the boot clock, and no other.
//!
//! A machine cannot be suspended for a test, but a process can be given a boot clock that is ahead while its
//! other clocks are as they were: in a time namespace (time_namespaces(7)).

use std::process::Command;
use std::time::Duration;

use elector::driver::clock;

const AHEAD: Duration = Duration::from_secs(1_000_000);

/// Not a test: what runs in the namespace.
#[test]
#[ignore = "the process that the other test runs"]
fn tell() {
    println!("@ {} .", clock::now().as_nanos());
}

#[test]
fn the_clock_is_the_boot_clock() {
    let mut command = Command::new("unshare");
    command.args(["--time", "--fork", "--boottime", &AHEAD.as_secs().to_string()]);
    command.arg(std::env::current_exe().expect("this program"));
    let before = clock::now();
    let output = command.args(["--exact", "boot_clock::tell", "--ignored", "--nocapture"]).output();
    let after = clock::now();
    let output = output.expect("unshare(1); install util-linux");
    let said = String::from_utf8_lossy(&output.stdout);
    let told = said.split_once("@ ").and_then(|(_, rest)| rest.split(' ').next()?.parse::<u64>().ok());
    let told = told.unwrap_or_else(|| {
        panic!(
            "this test makes a time namespace and may not: run it as root (sudo -E cargo test --test alone); \
             unshare said: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        )
    });
    let told = Duration::from_nanos(told);
    let within = before.saturating_add(AHEAD).as_nanos()..=after.saturating_add(AHEAD).as_nanos();
    assert!(within.contains(&(told.as_nanos() as u64)), "{told:?} is not {AHEAD:?} after {before:?}");
}
