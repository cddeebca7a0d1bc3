//! How soon the store notices, and how long a write waits for others.

use std::time::{Duration, Instant};

use elector::core::lease::{Op, Outcome};

use super::processes::{holder, release, starters};
use super::site::{LEASE, SOON, Site, acquire};
use super::terms;
use elector_kit::witness::Witness;

#[test]
fn a_foreign_writer_delays_a_write_not_beyond_its_deadline_and_a_look_not_at_all() {
    let witness = Witness::start(&[]);
    let site = Site::new();
    let mut handle = site.open();
    let foreign = site.foreign();
    foreign.execute_batch("BEGIN IMMEDIATE").unwrap();
    let start = Instant::now();
    handle.one(Op::Look).unwrap();
    witness.at_most(start.elapsed(), Duration::from_millis(100), "a look");
    for within in [Duration::from_millis(200), Duration::from_millis(1_500)] {
        witness.reset();
        let (_, took) = handle.acquire_in_vain(within);
        witness.at_most(took, within + Duration::from_millis(100), "a write in vain");
    }
}

/// What candidates on a disk with slow flushes are to each other.
#[test]
fn a_write_waits_for_slow_writers_within_its_deadline_and_is_not_starved() {
    const FIRST: Duration = Duration::from_millis(1_500);
    const HELD: Duration = Duration::from_millis(150);
    const GAP: Duration = Duration::from_millis(8);
    let witness = Witness::start(&[]);
    let site = Site::new();
    let mut handle = site.open();
    let foreign = site.foreign();
    let (tell, told) = std::sync::mpsc::channel();
    let hog = std::thread::spawn(move || {
        for held in std::iter::once(FIRST).chain(std::iter::repeat_n(HELD, 30)) {
            foreign.execute_batch("BEGIN IMMEDIATE").unwrap();
            let _ = tell.send(held);
            std::thread::sleep(held);
            foreign.execute_batch("ROLLBACK").unwrap();
            std::thread::sleep(GAP);
        }
    });
    assert_eq!(told.recv(), Ok(FIRST));
    witness.reset();
    let start = Instant::now();
    let granted = handle.execute(acquire(LEASE), SOON);
    // It came into one of the first gaps.
    witness.at_most(start.elapsed(), FIRST + 14 * (HELD + GAP), "the wait for a gap");
    assert!(matches!(granted.reply.outcome, Outcome::Granted { .. }), "{granted:?}");
    drop(told);
    hog.join().unwrap();
}

#[test]
fn a_killed_process_frees_its_rows_within_100_ms() {
    let witness = Witness::start(&[]);
    let site = Site::new();
    let once = || {
        let mut helper = holder(&site, LEASE);
        let mut standby = site.open();
        assert_eq!(standby.acquire(LEASE), None);
        witness.watch(helper.process.id());
        witness.reset();
        let start = Instant::now();
        helper.process.kill().unwrap();
        let (token, free) = standby.acquire_at_a_hint();
        witness.at_most(free - start, Duration::from_millis(100), "from kill -9 to free");
        release(&mut standby, token);
        free - start
    };
    tell("kill -9 to free", (0..20).map(|_| once()).collect());
}

#[test]
fn a_release_by_another_process_is_heard_within_50_ms() {
    let witness = Witness::start(&[]);
    let site = Site::new();
    let once = || {
        let mut helper = site.helper("releaser");
        helper.hear();
        let mut standby = site.open();
        assert_eq!(standby.acquire(LEASE), None);
        witness.watch(helper.process.id());
        witness.reset();
        let start = Instant::now();
        helper.tell("release");
        let (token, free) = standby.acquire_at_a_hint();
        witness.at_most(free - start, Duration::from_millis(50), "from release to free");
        release(&mut standby, token);
        free - start
    };
    tell("release to free", (0..20).map(|_| once()).collect());
}

fn tell(what: &str, mut took: Vec<Duration>) {
    took.sort();
    println!("{what}: median {:?}, worst {:?}", took[took.len() / 2], took[took.len() - 1]);
}

#[test]
fn many_processes_that_start_at_once_on_no_file_wait_for_each_other_within_the_stores_patience() {
    for _ in 0..5 {
        let refused: u32 = starters(&Site::new()).into_iter().map(|(_, refused)| refused).sum();
        assert_eq!(refused, 0, "an open or a question failed since another process was too slow");
    }
}

#[test]
fn from_start_to_leader_on_no_file_takes_less_than_50_ms() {
    let witness = Witness::start(&[]);
    let once = |_| {
        let site = Site::new();
        let start = Instant::now();
        assert!(site.open().acquire(LEASE).is_some());
        start.elapsed()
    };
    let took: Vec<Duration> = (0..20).map(once).collect();
    let quickest = *took.iter().min().unwrap();
    tell("open and acquire on no file", took);
    // Six of it are flushes of the disk, which may be slow and which others may keep busy; the quickest, less
    // what flushes take here, shows our own part.
    let own = quickest.saturating_sub(6 * quickest_flush());
    witness.at_most(own, Duration::from_millis(50), "open and acquire, less its flushes,");
}

fn quickest_flush() -> Duration {
    let site = Site::new();
    let mut file = std::fs::File::create(&site.path).unwrap();
    let flush = |_| {
        std::io::Write::write_all(&mut file, &[0; 4_096]).unwrap();
        let start = Instant::now();
        file.sync_all().unwrap();
        start.elapsed()
    };
    (0..20).map(flush).min().unwrap()
}

/// From a fault of the file to the end of trust in a lease of this length.
fn ends_within_a_lease(fault: fn(terms::Lease) -> Duration) {
    let witness = Witness::start(&[]);
    let took = fault(terms::SHORT);
    witness.at_most(took, terms::SHORT.lease, "the end of trust");
}

#[test]
fn a_foreign_lock_ends_a_term_within_its_lease() {
    ends_within_a_lease(terms::foreign_lock);
}

#[test]
fn a_full_disk_ends_a_term_within_its_lease() {
    ends_within_a_lease(terms::full_disk);
}

#[test]
fn a_file_that_becomes_read_only_ends_a_term_within_its_lease() {
    ends_within_a_lease(terms::read_only_file);
}
