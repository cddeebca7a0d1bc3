//! Files and disks that are not as they should be: one clear line each.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use elector::core::lease::{Failure, Op, Outcome};
use elector::driver::stores::sqlite::SqliteStore;
use elector::driver::stores::{Hint, Store, StoreError};

use super::site::{Handle, LEASE, LEAVE, SOON, Site, acquire, election, renew};

fn refusal(path: &Path) -> StoreError {
    let refusal = Handle::open(path).err().expect("a refusal");
    assert!(!refusal.to_string().contains('\n'), "{refusal}");
    assert!(refusal.to_string().contains(path.to_str().unwrap()), "{refusal}");
    refusal
}

#[test]
fn a_foreign_writer_delays_a_write_until_its_deadline_and_a_look_not_at_all() {
    let site = Site::new();
    let mut handle = site.open();
    let foreign = site.foreign();
    foreign.execute_batch("BEGIN IMMEDIATE").unwrap();
    // It would fail if it needed the lock, which is held until after it.
    assert_eq!(handle.one(Op::Look).unwrap(), Outcome::Seen(None));
    for within in [Duration::from_millis(200), Duration::from_millis(1_500)] {
        let (answer, took) = handle.acquire_in_vain(within);
        assert!(took >= within, "{took:?}");
        assert_eq!(answer.reply.outcome, Outcome::Failed(Failure::Unsent));
        let line = answer.error.unwrap().to_string();
        assert!(line.contains("another process holds it locked"), "{line}");
    }
    foreign.execute_batch("ROLLBACK").unwrap();
    assert!(handle.acquire(LEASE).is_some());
}

/// The longest time for which the store waits for another process that holds the lock.
const STORES_PATIENCE: Duration = Duration::from_secs(5);

#[test]
fn a_renewal_that_waited_for_the_lock_past_its_lease_is_lost() {
    let lease = Duration::from_millis(700);
    loop {
        let site = Site::new();
        let mut handle = site.open();
        let foreign = site.foreign();
        let token = handle.acquire(lease).unwrap();
        foreign.execute_batch("BEGIN IMMEDIATE").unwrap();
        let waiting = std::thread::spawn(move || {
            let asked = Instant::now();
            (handle.one(renew(token, lease)), asked.elapsed())
        });
        std::thread::sleep(lease);
        foreign.execute_batch("ROLLBACK").unwrap();
        match waiting.join().unwrap() {
            // A machine so busy that it woke one of us too late.
            (Err(refusal), took) if took >= STORES_PATIENCE => {
                assert_eq!(refusal.failure(), Failure::Unsent);
            }
            // Sent in time, executed too late: the store's clock counts when it holds the row.
            (answer, _) => return assert_eq!(answer, Ok(Outcome::Lost)),
        }
    }
}

#[test]
fn a_deleted_file_is_heard_of_at_once_whichever_it_is() {
    for suffix in ["", "-lock", "-wal", "-shm"] {
        let site = Site::new();
        let handle = site.open();
        fs::remove_file(format!("{}{suffix}", site.path.display())).unwrap();
        assert_eq!(handle.told.recv_timeout(SOON), Ok(Hint::Gone), "{suffix}");
    }
}

#[test]
fn a_replaced_file_is_not_mistaken_for_the_one_that_was_opened() {
    let site = Site::new();
    let mut handle = site.open();
    let token = handle.acquire(LEASE).unwrap();
    fs::copy(&site.path, site.path.with_extension("copy")).unwrap();
    fs::rename(site.path.with_extension("copy"), &site.path).unwrap();
    handle.wait_for(&Hint::Gone);
    let refusal = handle.one(renew(token, LEASE)).unwrap_err();
    assert!(refusal.is_permanent() && refusal.to_string().contains("replaced"), "{refusal}");
}

#[test]
fn a_moved_directory_is_noticed_at_the_next_batch() {
    let site = Site::new();
    let deep = site.path.parent().unwrap().join("a/b");
    fs::create_dir_all(&deep).unwrap();
    let mut handle = Handle::open(&deep.join("leases.db")).unwrap();
    let token = handle.acquire(LEASE).unwrap();
    fs::rename(deep.parent().unwrap(), site.path.parent().unwrap().join("c")).unwrap();
    assert!(handle.one(renew(token, LEASE)).is_err());
    handle.wait_for(&Hint::Gone);
}

#[test]
fn each_unfit_path_is_refused_with_its_reason() {
    let site = Site::new();
    let directory = site.directory.path().canonicalize().unwrap();
    assert!(refusal(&directory).to_string().contains("it is a directory"));
    assert!(refusal(&directory.join("none/a.db")).to_string().contains("does not exist; create it first"));
    fs::write(directory.join("file"), "text").unwrap();
    assert!(refusal(&directory.join("file/a.db")).to_string().contains("is no directory"));
    fs::write(directory.join("text.db"), "This is a text of more than one hundred bytes.".repeat(40))
        .unwrap();
    assert!(refusal(&directory.join("text.db")).to_string().contains("is no SQLite database"));
    assert!(!directory.join("text.db-lock").exists(), "nothing is left beside it");
    drop(Handle::open(&directory.join("linked.db")).unwrap());
    fs::hard_link(directory.join("linked.db"), directory.join("link.db")).unwrap();
    assert!(refusal(&directory.join("link.db")).to_string().contains("hard links"));
    assert!(refusal(Path::new("/proc/a.db")).failure() == Failure::Refused);
}

#[test]
fn another_programs_database_is_refused_and_left_as_it_is() {
    let site = Site::new();
    site.foreign().execute_batch("CREATE TABLE theirs (a)").unwrap();
    let before = fs::read(&site.path).unwrap();
    assert!(refusal(&site.path).to_string().contains("another program's"));
    assert_eq!(fs::read(&site.path).unwrap(), before);
    assert_eq!(fs::read_dir(site.directory.path()).unwrap().count(), 1, "nothing is left beside it");
}

#[test]
fn a_newer_format_is_refused() {
    let site = Site::new();
    drop(site.open());
    site.foreign().execute_batch("PRAGMA user_version = 99").unwrap();
    let refusal = refusal(&site.path).to_string();
    assert!(refusal.contains("version 99") && refusal.contains("newer Elector"), "{refusal}");
}

#[test]
fn a_store_that_leaves_a_missing_file_creates_nothing_and_finds_what_others_create() {
    let site = Site::new();
    let directory = site.directory.path().canonicalize().unwrap();
    let ask = |path: &Path| SqliteStore::open(path, LEAVE, std::sync::Arc::new(|_| {})).unwrap();
    assert!(ask(&directory.join("none/a.db")).rows(None).unwrap().is_empty());
    let mut store = ask(&site.path);
    assert!(store.rows(None).unwrap().is_empty());
    assert_eq!(store.revoke(&election(), None).unwrap(), None);
    assert_eq!(fs::read_dir(&directory).unwrap().count(), 0);
    fs::write(&site.path, "").unwrap();
    assert!(store.rows(None).unwrap().is_empty());
    assert_eq!(fs::metadata(&site.path).unwrap().len(), 0);
    // Another process, as it usually is, makes the file, and once more after it was deleted. Who only asks
    // is not in its way.
    for _ in 0..2 {
        let mut helper = site.helper("holder");
        helper.tell(&LEASE.as_millis().to_string());
        let token: u64 = helper.hear().parse().expect("a token");
        assert_eq!(store.rows(None).unwrap()[0].row.token.map(|token| token.get()), Some(token));
        helper.process.kill().unwrap();
        helper.process.wait().unwrap();
        for suffix in ["", "-lock", "-wal", "-shm"] {
            fs::remove_file(format!("{}{suffix}", site.path.display())).unwrap();
        }
    }
}

#[test]
fn a_damaged_file_is_refused() {
    let site = Site::new();
    let mut handle = site.open();
    handle.acquire(LEASE).unwrap();
    drop(handle);
    let mut bytes = fs::read(&site.path).unwrap();
    // The second page holds the table; the header stays whole.
    assert!(bytes.len() > 4_096, "{}", bytes.len());
    bytes[4_096..].fill(0xa5);
    fs::write(&site.path, bytes).unwrap();
    let line = Handle::open(&site.path).and_then(|mut handle| handle.one(Op::Look)).unwrap_err();
    assert!(line.is_permanent() && line.to_string().contains("damaged"), "{line}");
}

#[test]
fn a_lost_table_is_refused() {
    let site = Site::new();
    let mut handle = site.open();
    site.foreign().execute_batch("DROP TABLE leader_lease").unwrap();
    let line = handle.one(acquire(LEASE)).unwrap_err();
    assert!(line.is_permanent() && line.to_string().contains("table"), "{line}");
}

/// A file system of its own, of `size`. Fails where this user may not mount: a test that did nothing must not
/// pass.
pub struct Mounted {
    directory: PathBuf,
    /// The directory, if this test created it: dropped, and so removed, after the unmount.
    _own: Option<tempfile::TempDir>,
}

impl Mounted {
    pub fn new(size: &str) -> Mounted {
        let own = tempfile::tempdir().unwrap();
        let mut mounted = Mounted::over(own.path(), size);
        mounted._own = Some(own);
        mounted
    }

    /// Over what is in this directory.
    pub fn over(directory: &Path, size: &str) -> Mounted {
        let options = format!("size={size}");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &options, "elector-test"]).arg(directory);
        let output = mount.output().expect("mount(8); install util-linux");
        assert!(
            output.status.success(),
            "this test mounts a tmpfs and may not: run it as root (sudo -E cargo test --test stores), \
             or in `unshare --map-root-user --mount`; mount said: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
        Mounted { directory: directory.canonicalize().unwrap(), _own: None }
    }

    pub fn path(&self) -> PathBuf {
        self.directory.clone()
    }

    /// Fills what is left with a file.
    pub fn fill(&self, filler: &Path) {
        while fs::OpenOptions::new()
            .append(true)
            .create(true)
            .open(filler)
            .is_ok_and(|file| std::io::Write::write_all(&mut &file, &[0; 512]).is_ok())
        {}
    }

    pub fn remount(&self, option: &str) {
        let option = format!("remount,{option}");
        let status = Command::new("mount").args(["-o", &option]).arg(&self.directory).status().unwrap();
        assert!(status.success());
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.directory).status();
    }
}

#[test]
fn a_full_disk_fails_clearly_and_is_survived() {
    let mounted = Mounted::new("400k");
    let path = mounted.path().join("leases.db");
    let mut handle = Handle::open(&path).unwrap();
    let token = handle.acquire(LEASE).unwrap();
    let filler = path.with_extension("filler");
    mounted.fill(&filler);
    // Renewals go on while the log has room in its last page, then fail.
    let line = (0..10_000).find_map(|_| handle.one(renew(token, LEASE)).err()).expect("a full disk");
    assert_eq!(line.failure(), Failure::Unsent);
    assert!(line.to_string().contains("full"), "{line}");
    fs::remove_file(&filler).unwrap();
    assert_eq!(handle.one(renew(token, LEASE)), Ok(Outcome::Renewed));
}

#[test]
fn a_full_disk_at_the_start_is_one_clear_line() {
    let mounted = Mounted::new("8k");
    let path = mounted.path().join("leases.db");
    let line = refusal(&path);
    assert!(line.to_string().contains("full"), "{line}");
}

#[test]
fn a_file_that_is_mounted_without_its_directory_is_refused() {
    let disk = Mounted::new("1m");
    let (shared, own) = (disk.path().join("leases.db"), disk.path().join("container"));
    let mounted = own.join("leases.db");
    fs::create_dir(&own).unwrap();
    drop(Handle::open(&shared).unwrap());
    fs::write(&mounted, "").unwrap();
    let bind =
        |words: &[&std::ffi::OsStr]| assert!(Command::new("mount").args(words).status().unwrap().success());
    bind(&["--bind".as_ref(), shared.as_ref(), mounted.as_ref()]);
    let line = Handle::open(&mounted).err();
    assert!(Command::new("umount").arg(&mounted).status().unwrap().success());
    let line = line.expect("a refusal");
    assert!(line.is_permanent() && line.to_string().contains("mount its directory instead"), "{line}");
}

#[test]
fn a_read_only_disk_is_refused() {
    let mounted = Mounted::new("4m");
    let path = mounted.path().join("leases.db");
    mounted.remount("ro");
    assert!(refusal(&path).to_string().contains("write access"));
    mounted.remount("rw");
    drop(Handle::open(&path).unwrap());
    mounted.remount("ro");
    let line = refusal(&path);
    assert!(line.is_permanent() && line.to_string().contains("write access"), "{line}");
}
