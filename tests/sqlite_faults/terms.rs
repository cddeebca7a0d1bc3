//! What faults of the file do to a term: trust ends in time, and once the fault is over it is led again.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use elector::core::FencingToken;
use elector::core::lease::{DeposedReason, Event};
use elector::{Changes, Elector};

use crate::files::Mounted;
use crate::site::{SOON, Site};

const TERM: Duration = Duration::from_millis(1_000);

struct Leader {
    elector: Elector,
    changes: Changes,
    token: FencingToken,
}

impl Leader {
    fn of(path: &Path) -> Leader {
        let elector = Elector::builder("e")
            .store(format!("sqlite:{}", path.display()))
            .lease(TERM)
            .margin(Duration::from_millis(50))
            .build()
            .unwrap();
        let changes = elector.changes();
        elector.campaign();
        let token = elector.wait_until_leader(SOON).unwrap();
        Leader { elector, changes, token }
    }

    /// From now on the store fails: trust must end within a lease, by itself, with this error at hand.
    fn loses_its_term(&mut self, says: &str) {
        let began = Instant::now();
        loop {
            let elapsed = began.elapsed();
            if !self.elector.am_i_leader() {
                break;
            }
            assert!(elapsed < TERM, "still leader {elapsed:?} after the store failed");
            std::thread::sleep(Duration::from_millis(1));
        }
        let ended = self.changes.find_map(|change| match change.event {
            Event::Deposed { token, reason } => Some((token, reason)),
            _ => None,
        });
        assert_eq!(ended, Some((self.token, DeposedReason::Expired)));
        let end = Instant::now() + SOON;
        let found = || self.elector.last_error().map(|error| error.to_string()).unwrap_or_default();
        while !found().contains(says) {
            assert!(Instant::now() < end, "{says:?} is missing in {:?}", found());
            std::thread::sleep(Duration::from_millis(5));
        }
        assert_eq!(self.elector.token(), None);
    }

    fn leads_again(&mut self) {
        let token = self.elector.wait_until_leader(SOON);
        let token = token.unwrap_or_else(|| panic!("{:?}", self.elector.last_error()));
        assert!(token > self.token);
        self.token = token;
    }
}

#[test]
fn a_foreign_lock_ends_a_term_in_time_and_it_is_regained() {
    let site = Site::new();
    let mut leader = Leader::of(&site.path);
    let foreign = site.foreign();
    foreign.busy_timeout(SOON).unwrap();
    foreign.execute_batch("BEGIN IMMEDIATE").unwrap();
    leader.loses_its_term("holds it locked");
    foreign.execute_batch("ROLLBACK").unwrap();
    leader.leads_again();
}

#[test]
fn a_full_disk_ends_a_term_in_time_and_it_is_regained() {
    let mounted = Mounted::new("400k");
    let path = mounted.path().join("leases.db");
    let mut leader = Leader::of(&path);
    // A reader keeps the log from being started anew, so that it must grow.
    let reader = rusqlite::Connection::open(&path).unwrap();
    reader.execute_batch("BEGIN; SELECT * FROM leader_lease").unwrap();
    let filler = path.with_extension("filler");
    mounted.fill(&filler);
    // Renewals go on while the log has room in its last page.
    let end = Instant::now() + SOON;
    while leader.elector.last_error().is_none() {
        assert!(Instant::now() < end, "a full disk is noticed");
        std::thread::sleep(Duration::from_millis(1));
    }
    leader.loses_its_term("the disk is full");
    fs::remove_file(&filler).unwrap();
    leader.leads_again();
}

/// Makes files that are open already unwritable, while it lives.
struct Immutable(Vec<PathBuf>);

impl Immutable {
    fn new(files: Vec<PathBuf>) -> Immutable {
        Immutable::change("+i", &files);
        Immutable(files)
    }

    fn change(attribute: &str, files: &[PathBuf]) {
        let output = Command::new("chattr").arg(attribute).args(files).output();
        let output = output.expect("chattr(1); install e2fsprogs");
        assert!(
            output.status.success(),
            "this test makes files immutable and may not: run it as root, with TMPDIR on ext4, xfs or btrfs; \
             chattr said: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
}

impl Drop for Immutable {
    fn drop(&mut self) {
        Immutable::change("-i", &self.0);
    }
}

#[test]
fn a_file_that_becomes_read_only_ends_a_term_in_time_and_it_is_regained() {
    let site = Site::new();
    let mut leader = Leader::of(&site.path);
    let log = PathBuf::from(format!("{}-wal", site.path.display()));
    let immutable = Immutable::new(vec![site.path.clone(), log]);
    leader.loses_its_term("writing it failed");
    drop(immutable);
    leader.leads_again();
}

#[test]
fn a_candidate_on_a_read_only_disk_never_leads_until_it_may_write() {
    let mounted = Mounted::new("4m");
    let path = mounted.path().join("leases.db");
    mounted.remount("ro");
    let elector = Elector::builder("e").store(format!("sqlite:{}", path.display())).build().unwrap();
    elector.campaign();
    assert_eq!(elector.wait_until_leader(Duration::from_millis(500)), None);
    let line = elector.last_error().expect("a reason").to_string();
    assert!(line.contains("write access"), "{line}");
    mounted.remount("rw");
    elector.wait_until_leader(SOON).expect("it asks again by itself");
}
