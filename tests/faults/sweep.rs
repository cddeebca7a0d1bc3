//! Processes of their own that have so many file descriptors left.

use std::fs::File;
use std::process::Command;
use std::time::Duration;

use elector::Elector;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

const SOON: Duration = Duration::from_secs(60);
/// No store needs more.
const ENOUGH: u64 = 40;

/// Takes all descriptors of this process but so many. They are free again when this is dropped.
fn take_all_but(left: u64) -> Vec<File> {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, most.min(256), most).unwrap();
    let mut taken: Vec<File> = std::iter::from_fn(|| File::open("/").ok()).collect();
    taken.truncate(taken.len() - left as usize);
    taken
}

/// What a child does that may have so many more descriptors.
fn open_with(left: u64, store: &str) {
    let taken = take_all_but(left);
    let elector = Elector::builder("nightly").store(store).lease(SOON).build().unwrap();
    let Err(error) = elector.connect(SOON) else {
        println!("enough");
        return;
    };
    let said = error.to_string();
    assert!(error.is_store() && !error.is_permanent(), "with {left}: {said}");
    assert!(said.contains("no file descriptor left"), "with {left}: {said}");
    drop(taken);
    // An attempt may follow too soon after one that failed.
    while elector.connect(SOON).is_err() {
        std::thread::sleep(Duration::from_millis(10));
    }
    elector.campaign();
    elector.wait_until_leader(SOON).expect("it works again");
    // The next process stands for the same election.
    elector.release_and_wait(SOON).unwrap();
    println!("too few");
}

/// Runs this very test in a process of its own, with each number of descriptors until there are enough.
pub fn sweep(test: &str, store: impl Fn(u64) -> String) {
    for left in 0..ENOUGH {
        let mut child = Command::new(std::env::current_exe().unwrap());
        child.args([test, "--exact", "--nocapture", "--test-threads=1"]);
        child.env("ELECTOR_TEST_LEFT", left.to_string()).env("ELECTOR_TEST_STORE", store(left));
        let output = child.output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
        match said.contains("enough") {
            true => return assert!(left > 0, "it opens files"),
            false => assert!(said.contains("too few"), "{said}"),
        }
    }
    panic!("{ENOUGH} are not enough");
}

/// Whether this is such a process, which has done its part.
pub fn as_a_child() -> bool {
    let Ok(left) = std::env::var("ELECTOR_TEST_LEFT") else { return false };
    open_with(left.parse().unwrap(), &std::env::var("ELECTOR_TEST_STORE").unwrap());
    true
}
