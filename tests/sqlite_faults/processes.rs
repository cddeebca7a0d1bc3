//! Processes that are killed, stopped, forked, or start all at once.

use std::time::{Duration, Instant};

use elector::core::lease::{Op, Outcome};
use elector::driver::clock;
use elector::driver::store::{Hint, Store};
use nix::sys::signal::Signal;

use crate::site::{Handle, Helper, LEASE, Site, acquire, listen, renew, say};

#[test]
#[ignore = "the process that the other tests run"]
fn plays_a_role() {
    let role = std::env::var("ELECTOR_TEST_ROLE").expect("a role");
    let path = std::env::var_os("ELECTOR_TEST_PATH").unwrap();
    if role == "starter" {
        say("ready");
        listen();
    }
    let mut handle = match Handle::open(path.as_ref()) {
        Ok(handle) => handle,
        Err(error) => return say(error),
    };
    match &*role {
        "starter" => {
            say(if handle.acquire(LEASE).is_some() { "granted" } else { "seen" });
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
            handle.one(Op::Release { token, holder: crate::site::holder() }).unwrap();
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
            let deadline = Instant::now() + Duration::from_secs(5);
            let mut left = bell_threads();
            while left > 0 && Instant::now() < deadline {
                std::thread::yield_now();
                left = bell_threads();
            }
            say(left);
        }
        _ => unreachable!(),
    }
}

fn bell_threads() -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap().flatten();
    let name = |task: std::fs::DirEntry| std::fs::read_to_string(task.path().join("comm")).ok();
    tasks.filter_map(name).filter(|name| name.trim() == "elector-bell").count()
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
fn holder(site: &Site, lease: Duration) -> Helper {
    let mut helper = site.helper("holder");
    helper.tell(&lease.as_millis().to_string());
    helper.hear().parse::<u64>().expect("a token");
    helper
}

#[test]
fn a_killed_process_frees_its_rows_within_100_ms() {
    let site = Site::new();
    let mut took = Vec::new();
    for _ in 0..20 {
        let mut helper = holder(&site, LEASE);
        let mut standby = site.open();
        assert_eq!(standby.acquire(LEASE), None);
        let start = Instant::now();
        helper.process.kill().unwrap();
        let (token, free) = standby.acquire_at_a_hint();
        took.push(free - start);
        standby.one(Op::Release { token, holder: crate::site::holder() }).unwrap();
    }
    took.sort();
    println!("kill -9 to free: median {:?}, worst {:?}", took[took.len() / 2], took[took.len() - 1]);
    // Two in twenty are left to a busy machine.
    assert!(took[17] < Duration::from_millis(100), "{took:?}");
}

#[test]
fn a_release_by_another_process_is_heard_within_50_ms() {
    let site = Site::new();
    let mut took = Vec::new();
    for _ in 0..20 {
        let mut helper = site.helper("releaser");
        helper.hear();
        let mut standby = site.open();
        assert_eq!(standby.acquire(LEASE), None);
        let start = Instant::now();
        helper.tell("release");
        let (token, free) = standby.acquire_at_a_hint();
        took.push(free - start);
        standby.one(Op::Release { token, holder: crate::site::holder() }).unwrap();
    }
    took.sort();
    println!("release to free: median {:?}, worst {:?}", took[took.len() / 2], took[took.len() - 1]);
    // Two in twenty are left to a busy machine.
    assert!(took[17] < Duration::from_millis(50), "{took:?}");
}

#[test]
fn a_stopped_process_keeps_its_rows_until_they_expire() {
    let site = Site::new();
    let lease = Duration::from_millis(500);
    let mut standby = site.open();
    let granted = clock::now();
    let mut helper = holder(&site, lease);
    helper.signal(Signal::SIGSTOP);
    while standby.acquire(LEASE).is_none() {
        std::thread::sleep(Duration::from_millis(2));
    }
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

#[test]
fn many_processes_that_start_at_once_on_no_file_elect_one() {
    for _ in 0..5 {
        let site = Site::new();
        let mut helpers: Vec<Helper> = (0..8).map(|_| site.helper("starter")).collect();
        helpers.iter().for_each(|helper| assert_eq!(helper.hear(), "ready"));
        helpers.iter_mut().for_each(|helper| helper.tell("go"));
        let mut said: Vec<String> = helpers.iter().map(Helper::hear).collect();
        said.sort();
        assert_eq!(said[0], "granted", "{said:?}");
        assert!(said[1..].iter().all(|line| line == "seen"), "{said:?}");
    }
}

#[test]
fn the_listening_thread_ends_with_its_store() {
    let site = Site::new();
    assert_eq!(site.helper("reopener").hear(), "0");
}

#[test]
fn no_file_is_made_anew_while_processes_of_the_deleted_one_live() {
    let site = Site::new();
    let mut helper = holder(&site, LEASE);
    for suffix in ["", "-wal", "-shm"] {
        std::fs::remove_file(format!("{}{suffix}", site.path.display())).unwrap();
    }
    let refusal = Handle::open(&site.path).err().expect("a refusal");
    assert!(refusal.is_permanent() && refusal.to_string().contains("still run"), "{refusal}");
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
fn from_start_to_leader_on_no_file_takes_less_than_50_ms() {
    let once = |_| {
        let site = Site::new();
        let start = Instant::now();
        assert!(site.open().acquire(LEASE).is_some());
        start.elapsed()
    };
    let mut took: Vec<Duration> = (0..20).map(once).collect();
    took.sort();
    println!("open and acquire on no file: median {:?}, worst {:?}", took[took.len() / 2], took[19]);
    // Six of it are flushes of the disk, which may be slow and which others may keep busy; the quickest, less
    // what flushes take here, shows our own part.
    let flushes = 6 * quickest_flush();
    assert!(took[0].saturating_sub(flushes) < Duration::from_millis(50), "{took:?}, {flushes:?}");
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

#[test]
fn a_process_of_a_deleted_file_is_told_and_its_own_renewal_is_refused() {
    let site = Site::new();
    let mut handle = site.open();
    let token = handle.acquire(LEASE).unwrap();
    std::fs::remove_file(&site.path).unwrap();
    handle.wait_for(&Hint::Gone);
    let refusal = handle.one(renew(token, LEASE)).unwrap_err();
    assert!(refusal.to_string().contains("deleted or replaced"), "{refusal}");
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
    let next = loop {
        match handle.one(acquire(LEASE)) {
            Ok(Outcome::Granted { token }) => break token,
            Ok(other) => panic!("{other:?}"),
            Err(refusal) => assert!(refusal.to_string().contains("deleted or replaced"), "{refusal}"),
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    assert!(clock::now().saturating_since(granted) >= lease);
    assert!(next > token);
    assert!(site.path.exists());
}

#[test]
fn who_only_stands_by_lets_go_of_a_deleted_file_at_once() {
    let site = Site::new();
    let store = format!("sqlite:{}", site.path.display());
    let idle = elector::Elector::builder("never campaigns").store(store).build().unwrap();
    idle.connect(LEASE).unwrap();
    std::fs::remove_file(&site.path).unwrap();
    let deleted = Instant::now();
    // Nobody may begin anew while somebody may still trust a lease in the old file.
    while let Err(error) = Handle::open(&site.path) {
        assert!(deleted.elapsed() < Duration::from_secs(15), "{error}");
        std::thread::sleep(Duration::from_millis(20));
    }
    drop(idle);
}
