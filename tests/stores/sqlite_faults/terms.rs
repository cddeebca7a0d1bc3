//! What faults of the file do to a term: trust ends in time, and once the fault is over it is led again.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use elector::core::FencingToken;
use elector::core::lease::{DeposedReason, Event};
use elector::driver::clock;
use elector::{Changes, Elector};

use super::files::Mounted;
use super::site::{SOON, Site};

/// How long a term lasts without a renewal, and how often it is renewed.
#[derive(Clone, Copy)]
pub struct Lease {
    pub lease: Duration,
    margin: Duration,
    renew: Duration,
    jitter: Duration,
}

/// Renewed so often that a busy machine does not lose it.
const LEASE: Lease = Lease {
    lease: Duration::from_secs(10),
    margin: Duration::from_secs(4),
    renew: Duration::from_secs(1),
    jitter: Duration::from_millis(200),
};

/// For bounds on real time.
pub const SHORT: Lease = Lease {
    lease: Duration::from_secs(1),
    margin: Duration::from_millis(50),
    renew: Duration::from_millis(300),
    jitter: Duration::from_millis(200),
};

impl Lease {
    /// From the sending of a renewal.
    fn trust(&self) -> Duration {
        self.lease - self.lease / 100 - self.margin
    }
}

struct Leader {
    elector: Elector,
    changes: Changes,
    token: FencingToken,
    lease: Lease,
}

impl Leader {
    fn of(path: &Path, lease: Lease) -> Leader {
        let elector = Elector::builder("e")
            .store(format!("sqlite:{}", path.display()))
            .lease(lease.lease)
            .margin(lease.margin)
            .renew(lease.renew)
            .jitter(lease.jitter)
            .build()
            .unwrap();
        let changes = elector.changes();
        elector.campaign();
        let token = elector.wait_until_leader(SOON).unwrap();
        Leader { elector, changes, token, lease }
    }

    /// From now on the store fails: trust must end by itself, when it says and no later than what was sent
    /// before allows, with this error at hand. Returns when it had ended, from now on.
    fn loses_its_term(&mut self, says: &str) -> Duration {
        let began = clock::now();
        let mut trusted_until = began.max(self.elector.leadership().trusted_until);
        let ended = loop {
            let asked = clock::now();
            let leads = self.elector.am_i_leader();
            trusted_until = trusted_until.max(self.elector.leadership().trusted_until);
            if !leads {
                break asked;
            }
            // A renewal whose trust has ended since the question is not told of any more.
            let is_over = || !self.elector.am_i_leader();
            assert!(asked < trusted_until || is_over(), "still leader after the end of its trust");
            std::thread::sleep(Duration::from_millis(2));
        };
        assert!(trusted_until <= began.saturating_add(self.lease.trust()), "renewed by a store that fails");
        self.is_deposed();
        let found = || self.elector.last_error().map(|error| error.to_string()).unwrap_or_default();
        let end = Instant::now() + SOON;
        while !found().contains(says) {
            assert!(Instant::now() < end, "{says:?} is missing in {:?}", found());
            std::thread::sleep(Duration::from_millis(5));
        }
        assert_eq!(self.elector.token(), None);
        ended.saturating_since(began)
    }

    fn is_deposed(&mut self) {
        let end = Instant::now() + SOON;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let change = self.changes.next_timeout(left).expect("the end of the term");
            if let Event::Deposed { token, reason } = change.event {
                return assert_eq!((token, reason), (self.token, DeposedReason::Expired));
            }
        }
    }

    fn leads_again(&mut self) {
        let token = self.elector.wait_until_leader(SOON);
        let token = token.unwrap_or_else(|| panic!("{:?}", self.elector.last_error()));
        assert!(token > self.token);
        self.token = token;
    }
}

/// Another program locks the database for longer than a lease. Returns how long trust lasted.
pub fn foreign_lock(lease: Lease) -> Duration {
    let site = Site::new();
    let mut leader = Leader::of(&site.path, lease);
    let foreign = site.foreign();
    foreign.busy_timeout(SOON).unwrap();
    foreign.execute_batch("BEGIN IMMEDIATE").unwrap();
    let lasted = leader.loses_its_term("holds it locked");
    foreign.execute_batch("ROLLBACK").unwrap();
    leader.leads_again();
    lasted
}

/// The disk is full for longer than a lease.
pub fn full_disk(lease: Lease) -> Duration {
    let mounted = Mounted::new("400k");
    let path = mounted.path().join("leases.db");
    let mut leader = Leader::of(&path, lease);
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
    let lasted = leader.loses_its_term("the disk is full");
    fs::remove_file(&filler).unwrap();
    leader.leads_again();
    lasted
}

/// The file is read-only for longer than a lease.
pub fn read_only_file(lease: Lease) -> Duration {
    let site = Site::new();
    let mut leader = Leader::of(&site.path, lease);
    let log = PathBuf::from(format!("{}-wal", site.path.display()));
    let immutable = Immutable::new(vec![site.path.clone(), log]);
    let lasted = leader.loses_its_term("writing it failed");
    drop(immutable);
    leader.leads_again();
    lasted
}

#[test]
fn a_foreign_lock_ends_a_term_in_time_and_it_is_regained() {
    foreign_lock(LEASE);
}

#[test]
fn a_full_disk_ends_a_term_in_time_and_it_is_regained() {
    full_disk(LEASE);
}

#[test]
fn a_file_that_becomes_read_only_ends_a_term_in_time_and_it_is_regained() {
    read_only_file(LEASE);
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
fn a_candidate_on_a_read_only_disk_never_leads_until_it_may_write() {
    let mounted = Mounted::new("4m");
    let path = mounted.path().join("leases.db");
    mounted.remount("ro");
    let elector = Elector::builder("e").store(format!("sqlite:{}", path.display())).build().unwrap();
    elector.campaign();
    assert_eq!(elector.wait_until_leader(Duration::from_millis(500)), None);
    let line = || elector.last_error().map(|error| error.to_string()).unwrap_or_default();
    let end = Instant::now() + SOON;
    while !line().contains("write access") {
        assert!(Instant::now() < end, "another reason: {:?}", line());
        std::thread::sleep(Duration::from_millis(5));
    }
    mounted.remount("rw");
    elector.wait_until_leader(SOON).expect("it asks again by itself");
}
