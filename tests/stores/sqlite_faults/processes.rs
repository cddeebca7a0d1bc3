//! Processes that are killed, stopped, forked, or start all at once.

use std::time::{Duration, Instant};

use elector::core::FencingToken;
use elector::core::lease::{Op, Outcome};
use elector::driver::clock;
use elector::driver::stores::{Hint, Store, StoreError};
use nix::sys::signal::Signal;

use super::site::{Handle, Helper, LEASE, SOON, Site, acquire, listen, renew, say};

#[test]
#[ignore = "the process that the other tests run"]
fn plays_a_role() {
    let role = std::env::var("ELECTOR_TEST_ROLE").expect("a role");
    let path = std::env::var_os("ELECTOR_TEST_PATH").unwrap();
    if role == "starter" {
        say("ready");
        listen();
    }
    let mut refused = 0;
    let mut handle = retry(&mut refused, || Handle::open(path.as_ref()));
    match &*role {
        "starter" => {
            let granted = retry(&mut refused, || handle.one(acquire(LEASE)));
            say(if matches!(granted, Outcome::Granted { .. }) { "granted" } else { "seen" });
            say(refused);
            listen();
        }
        "holder" => {
            let lease = Duration::from_millis(listen().parse().unwrap());
            let token = handle.acquire(lease).expect("a free lease");
            say(token);
            listen();
            say(format!("{:?}", handle.one(renew(token, lease))));
            listen();
        }
        "releaser" => {
            let token = handle.acquire(LEASE).expect("a free lease");
            say(token);
            listen();
            handle.one(Op::Release { token, holder: super::site::holder() }).unwrap();
            listen();
        }
        "parent" => {
            handle.acquire(LEASE).expect("a free lease");
            let fd = handle.store.lock_fd().expect("a lock");
            nix::fcntl::fcntl(&*fd, nix::fcntl::FcntlArg::F_SETFD(nix::fcntl::FdFlag::empty())).unwrap();
            let mut child = std::process::Command::new("sleep").arg("600").spawn().unwrap();
            say(child.id());
            child.wait().unwrap();
        }
        "forker" => fork(handle),
        "closer" => {
            handle.acquire(LEASE).expect("a free lease");
            drop(handle);
            say("closed");
            listen();
        }
        "reopener" => {
            for _ in 0..20 {
                drop(Handle::open(path.as_ref()).unwrap());
            }
            drop(handle);
            let deadline = Instant::now() + SOON;
            let mut left = bell_threads();
            while left > 0 && Instant::now() < deadline {
                std::thread::sleep(Duration::from_millis(2));
                left = bell_threads();
            }
            say(left);
        }
        other => super::descriptors::play(other, handle, path.as_ref()),
    }
}

/// Tries again whatever was refused because another process held the lock for too long, and counts that.
fn retry<T>(refused: &mut u32, mut attempt: impl FnMut() -> Result<T, StoreError>) -> T {
    let end = Instant::now() + SOON;
    loop {
        match attempt() {
            Ok(done) => return done,
            Err(error) => assert!(!error.is_permanent() && Instant::now() < end, "{error}"),
        }
        *refused += 1;
    }
}

fn bell_threads() -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap().flatten();
    let name = |task: std::fs::DirEntry| std::fs::read_to_string(task.path().join("comm")).ok();
    tasks.filter_map(name).filter(|name| name.trim() == "elector-notify").count()
}

/// Uses the store in a forked child, drops it there, and goes on in the parent.
fn fork(mut handle: Handle) {
    let token = handle.acquire(LEASE).expect("a free lease");
    // SAFETY: the child only makes calls that take no lock of another thread but the allocator's, which glibc
    // resets in a child, and then leaves without running destructors.
    match unsafe { nix::unistd::fork() }.unwrap() {
        nix::unistd::ForkResult::Child => {
            let refusal = handle.one(Op::Look).unwrap_err();
            drop(handle);
            say(refusal);
            // SAFETY: ends the process at once.
            unsafe { libc::_exit(0) }
        }
        nix::unistd::ForkResult::Parent { child } => {
            nix::sys::wait::waitpid(child, None).unwrap();
            say(format!("{:?}", handle.one(renew(token, LEASE)).unwrap()));
            listen();
        }
    }
}

/// A helper that holds the lease.
pub fn holder(site: &Site, lease: Duration) -> Helper {
    let mut helper = site.helper("holder");
    helper.tell(&lease.as_millis().to_string());
    helper.hear().parse::<u64>().expect("a token");
    helper
}

pub fn release(handle: &mut Handle, token: FencingToken) {
    let released = handle.one(Op::Release { token, holder: super::site::holder() });
    assert_eq!(released, Ok(Outcome::Released));
}

#[test]
fn a_killed_process_frees_its_rows_and_others_hear_of_it() {
    let site = Site::new();
    let mut helper = holder(&site, LEASE);
    let mut standby = site.open();
    assert_eq!(standby.acquire(LEASE), None);
    helper.process.kill().unwrap();
    standby.acquire_at_a_hint();
}

#[test]
fn a_release_by_another_process_is_heard() {
    let site = Site::new();
    let mut helper = site.helper("releaser");
    helper.hear();
    let mut standby = site.open();
    assert_eq!(standby.acquire(LEASE), None);
    helper.tell("release");
    standby.acquire_at_a_hint();
}

#[test]
fn a_stopped_process_keeps_its_rows_until_they_expire() {
    let site = Site::new();
    let lease = Duration::from_millis(500);
    let mut standby = site.open();
    let granted = clock::now();
    let mut helper = holder(&site, lease);
    helper.signal(Signal::SIGSTOP);
    standby.acquire_at_its_end();
    let waited = clock::now().saturating_since(granted);
    assert!(waited >= lease, "{waited:?}");
    helper.signal(Signal::SIGCONT);
    helper.tell("renew");
    assert_eq!(helper.hear(), "Ok(Lost)");
}

#[test]
fn a_child_that_inherits_the_lock_keeps_it_after_its_parent_was_killed() {
    let site = Site::new();
    let mut helper = site.helper("parent");
    let child = nix::unistd::Pid::from_raw(helper.hear().parse().unwrap());
    let mut standby = site.open();
    helper.process.kill().unwrap();
    helper.process.wait().unwrap();
    assert_eq!(standby.acquire(LEASE), None);
    nix::sys::signal::kill(child, Signal::SIGKILL).unwrap();
    standby.acquire_at_a_hint();
}

#[test]
fn a_forked_child_is_refused_and_does_its_parent_no_harm() {
    let site = Site::new();
    let helper = site.helper("forker");
    let refusal = helper.hear();
    assert!(refusal.contains("forked child") && refusal.contains("open it again"), "{refusal}");
    assert_eq!(helper.hear(), "Renewed");
    let mut standby = site.open();
    assert_eq!(standby.acquire(LEASE), None);
}

#[test]
fn a_lease_outlives_the_store_that_was_closed_without_a_release() {
    let site = Site::new();
    let mut helper = site.helper("closer");
    assert_eq!(helper.hear(), "closed");
    let mut standby = site.open();
    assert_eq!(standby.acquire(LEASE), None);
    helper.process.kill().unwrap();
    standby.acquire_at_a_hint();
}

/// What eight processes that start at once on no file say, and how often each was refused before.
pub fn starters(site: &Site) -> Vec<(String, u32)> {
    let mut helpers: Vec<Helper> = (0..8).map(|_| site.helper("starter")).collect();
    helpers.iter().for_each(|helper| assert_eq!(helper.hear(), "ready"));
    helpers.iter_mut().for_each(|helper| helper.tell("go"));
    let said = |helper: &Helper| (helper.hear(), helper.hear().parse().expect("a number"));
    helpers.iter().map(said).collect()
}

#[test]
fn many_processes_that_start_at_once_on_no_file_elect_one() {
    for _ in 0..5 {
        let mut said: Vec<String> = starters(&Site::new()).into_iter().map(|(said, _)| said).collect();
        said.sort();
        assert_eq!(said[0], "granted", "{said:?}");
        assert!(said[1..].iter().all(|line| line == "seen"), "{said:?}");
    }
}

#[test]
fn the_listening_thread_ends_with_its_store() {
    let site = Site::new();
    // It opens the store twenty times, and then waits for a minute itself.
    assert_eq!(site.helper("reopener").hear_within(3 * SOON), "0");
}

#[test]
fn no_file_is_made_anew_while_processes_of_the_deleted_one_live() {
    let site = Site::new();
    let mut helper = holder(&site, LEASE);
    for suffix in ["", "-wal", "-shm"] {
        std::fs::remove_file(format!("{}{suffix}", site.path.display())).unwrap();
    }
    let refusal = Handle::open(&site.path).err().expect("a refusal");
    // Not permanent: a candidate waits for it, as those that were there before do.
    assert!(!refusal.is_permanent() && refusal.to_string().contains("still run"), "{refusal}");
    assert!(!site.path.exists());
    helper.process.kill().unwrap();
    helper.process.wait().unwrap();
    assert!(site.open().acquire(LEASE).is_some());
}

#[test]
fn not_even_after_all_files_were_deleted_under_a_stopped_process() {
    let site = Site::new();
    let mut helper = holder(&site, LEASE);
    helper.signal(Signal::SIGSTOP);
    for suffix in ["", "-wal", "-shm", "-lock"] {
        std::fs::remove_file(format!("{}{suffix}", site.path.display())).unwrap();
    }
    let refusal = Handle::open(&site.path).err().expect("a refusal");
    assert!(refusal.to_string().contains("still run"), "{refusal}");
    // Another database in the same directory is none of its business.
    assert!(Handle::open(&site.path.with_extension("other")).is_ok());
    helper.process.kill().unwrap();
    helper.process.wait().unwrap();
    assert!(site.open().acquire(LEASE).is_some());
}

#[test]
fn a_process_of_a_deleted_file_is_told_and_its_own_renewal_is_refused() {
    let site = Site::new();
    let mut handle = site.open();
    let token = handle.acquire(LEASE).unwrap();
    std::fs::remove_file(&site.path).unwrap();
    handle.wait_for(&Hint::Gone);
    let refusal = handle.one(renew(token, LEASE)).unwrap_err();
    assert!(refusal.to_string().contains("deleted, moved or replaced"), "{refusal}");
    assert!(!site.path.exists());
}

#[test]
fn a_store_starts_anew_once_its_leases_in_the_deleted_file_have_ended() {
    let site = Site::new();
    let mut handle = site.open();
    let lease = Duration::from_millis(300);
    let granted = clock::now();
    let token = handle.acquire(lease).unwrap();
    std::fs::remove_file(&site.path).unwrap();
    let end = Instant::now() + SOON;
    let next = loop {
        assert!(Instant::now() < end, "not opened anew after {SOON:?}");
        match handle.one(acquire(LEASE)) {
            Ok(Outcome::Granted { token }) => break token,
            Ok(other) => panic!("{other:?}"),
            Err(refusal) => assert!(refusal.to_string().contains("deleted, moved or replaced"), "{refusal}"),
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    assert!(clock::now().saturating_since(granted) >= lease);
    assert!(next > token);
    assert!(site.path.exists());
}

#[test]
fn who_only_stands_by_lets_go_of_a_deleted_file_and_not_only_after_a_lease() {
    let site = Site::new();
    let store = format!("sqlite:{}", site.path.display());
    let idle = elector::Elector::builder("never campaigns").store(store).lease(LEASE).build().unwrap();
    idle.connect(SOON).unwrap();
    std::fs::remove_file(&site.path).unwrap();
    let end = Instant::now() + SOON;
    // No process may create a new file while another may still trust a lease in the old one.
    while let Err(error) = Handle::open(&site.path) {
        assert!(Instant::now() < end, "{error}");
        std::thread::sleep(Duration::from_millis(20));
    }
    drop(idle);
}
