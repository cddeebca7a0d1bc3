//! The paths of a database lead elsewhere, or its shared memory is cut off.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use elector::core::lease::Outcome;
use elector::driver::clock;
use elector::driver::stores::Hint;

use super::files::Mounted;
use super::processes::holder;
use super::site::{Handle, LEASE, Site, acquire, renew};

/// A database two directories below the site's own.
fn deep(site: &Site) -> PathBuf {
    let directory = site.path.parent().unwrap().join("a/b");
    fs::create_dir_all(&directory).unwrap();
    directory.join("leases.db")
}

#[test]
fn a_moved_directory_is_heard_at_once_and_so_is_one_above_it() {
    for moved in ["a/b", "a"] {
        let site = Site::new();
        let root = site.path.parent().unwrap();
        let mut handle = Handle::open(&deep(&site)).unwrap();
        let token = handle.acquire(LEASE).unwrap();
        fs::rename(root.join(moved), root.join("c")).unwrap();
        handle.wait_for(&Hint::Gone);
        assert!(handle.one(renew(token, LEASE)).is_err());
    }
}

/// Such a directory cannot be watched.
#[test]
fn a_moved_directory_is_noticed_though_it_may_not_be_read() {
    let site = Site::new();
    let path = deep(&site);
    let root = site.path.parent().unwrap();
    let may = |directory: &Path, mode| fs::set_permissions(directory, Permissions::from_mode(mode)).unwrap();
    may(path.parent().unwrap(), 0o777);
    may(&root.join("a"), 0o311);
    may(root, 0o311);
    // Root may read everything, so this thread acts as another user towards the file system meanwhile.
    // SAFETY: numbers only; where it may not be, it stays as it was.
    let before = unsafe { libc::setfsuid(65_534) };
    let handle = Handle::open(&path);
    // SAFETY: as above.
    unsafe { libc::setfsuid(before as libc::uid_t) };
    let handle = handle.unwrap();
    // The thread has looked, and listens.
    std::thread::sleep(Duration::from_millis(200));
    fs::rename(root.join("a"), root.join("c")).unwrap();
    handle.wait_for(&Hint::Gone);
    may(root, 0o700);
    may(&root.join("c"), 0o700);
}

#[test]
fn a_file_system_mounted_over_the_directory_is_heard_at_once() {
    let site = Site::new();
    let path = deep(&site);
    let mut handle = Handle::open(&path).unwrap();
    let token = handle.acquire(LEASE).unwrap();
    let _mounted = Mounted::over(path.parent().unwrap(), "1m");
    handle.wait_for(&Hint::Gone);
    assert!(handle.one(renew(token, LEASE)).is_err());
}

/// The write waits for its turn, so the move comes after all looks but the last.
#[test]
fn what_was_written_to_a_database_that_was_moved_meanwhile_is_not_believed() {
    let site = Site::new();
    let path = deep(&site);
    let mut handle = Handle::open(&path).unwrap();
    let token = handle.acquire(LEASE).unwrap();
    let foreign = rusqlite::Connection::open(&path).unwrap();
    foreign.execute_batch("BEGIN IMMEDIATE").unwrap();
    let waiting = std::thread::spawn(move || handle.one(renew(token, LEASE)));
    std::thread::sleep(Duration::from_millis(100));
    fs::rename(path.parent().unwrap(), site.path.parent().unwrap().join("c")).unwrap();
    foreign.execute_batch("ROLLBACK").unwrap();
    assert!(waiting.join().unwrap().is_err());
}

/// As it was when it was seen last, and renewed just before the database was lost.
#[test]
fn a_lease_that_was_seen_is_waited_for_before_a_new_database_is_used() {
    let lease = Duration::from_secs(2);
    let site = Site::new();
    let path = deep(&site);
    let mut standby = Handle::open(&path).unwrap();
    let mut helper = super::site::Helper::start("holder", &path);
    helper.tell(&lease.as_millis().to_string());
    helper.hear().parse::<u64>().expect("a token");
    assert_eq!(standby.acquire(LEASE), None);
    helper.signal(nix::sys::signal::Signal::SIGSTOP);
    let lost = clock::now();
    fs::rename(path.parent().unwrap(), site.path.parent().unwrap().join("c")).unwrap();
    fs::create_dir(path.parent().unwrap()).unwrap();
    while !matches!(standby.one(acquire(LEASE)), Ok(Outcome::Granted { .. })) {
        std::thread::sleep(Duration::from_millis(2));
    }
    let waited = clock::now().saturating_since(lost);
    assert!(waited >= lease, "{waited:?}");
}

#[test]
fn a_truncated_shared_memory_is_an_error_and_not_the_end_of_the_process() {
    let site = Site::new();
    let mut helper = holder(&site, LEASE);
    let memory = format!("{}-shm", site.path.display());
    File::options().write(true).open(memory).unwrap().set_len(0).unwrap();
    helper.tell("renew");
    let answer = helper.hear();
    assert!(answer.starts_with("Err") && answer.contains("-shm was truncated"), "{answer}");
}
