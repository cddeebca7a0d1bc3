//! The program closes descriptors that it did not open, as code does that makes a daemon of it, and the
//! kernel gives their numbers to the program's own files.

use std::fmt::Debug;
use std::fs::{self, File};
use std::mem::ManuallyDrop;
use std::os::fd::{AsFd, AsRawFd, FromRawFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use elector::core::lease::{DeposedReason, Event, Op, Outcome};
use elector::driver::clock;
use elector::driver::descriptor::Descriptor;
use elector::driver::stores::sqlite::SqliteStore;
use elector::driver::stores::{Hint, Store, StoreError};
use elector::{Changes, Elector};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};

use super::site::{Handle, Helper, LEASE, LEAVE, SOON, Site, acquire, election, listen, renew, say};

/// More than the store and the test harness have open together.
const VICTIMS: usize = 100;
/// Over before the test is, so that the store is opened anew.
const SHORT: Duration = Duration::from_secs(2);
/// Nor is it opened anew before.
const SETTLED: Duration = Duration::from_secs(1);

/// Runs the helper process in its role.
pub fn play(role: &str, handle: Handle, path: &Path) {
    match role {
        "sweeper" => sweep(handle),
        "victim" => suffer(handle, path),
        "one" => lose_one(handle, path),
        "deaf" => lose_the_ears(handle, path),
        "daemon" => fork_a_daemon(handle),
        "directories" => open_the_directory(handle, path),
        "two stores" => leave_a_lock_behind(handle, path),
        "child" => lead_in_a_child(handle, path),
        "mute" => open_without_output(handle, path),
        "leader" => {
            drop(handle);
            lead(path);
        }
        _ => unreachable!("{role}"),
    }
}

/// What `closefrom(3)` does.
fn close_all() {
    // SAFETY: three numbers. Nothing here uses what is closed.
    let status = unsafe { libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, 0) };
    assert_eq!(status, 0, "close_range(2) needs Linux 5.9");
}

fn sweep(mut handle: Handle) {
    say(handle.acquire(LEASE).expect("a free lease"));
    close_all();
    say("closed");
    listen();
}

/// The program's own files, which got the numbers of the store's.
struct Victims(Vec<(PathBuf, Descriptor)>);

impl Victims {
    const TEXT: &str = "The program's own.";

    fn open(database: &Path) -> Victims {
        let open = |number| {
            let path = database.with_extension(format!("victim-{number}"));
            fs::write(&path, Self::TEXT.repeat(1_000)).unwrap();
            let file = File::options().read(true).write(true).open(&path).unwrap();
            (path, Descriptor::new(file))
        };
        let victims = Victims((0..VICTIMS).map(open).collect());
        // All the smallest, but for what the store may have open for a moment to find out what happened.
        let largest = victims.0.iter().map(|(_, file)| file.as_raw_fd()).max().unwrap();
        assert!(largest < 3 + VICTIMS as i32 + 5, "freed numbers are not reused: {largest}");
        victims
    }

    fn are_untouched(&self) {
        for (path, file) in &self.0 {
            assert!(file.is_ours(), "closed: {}", path.display());
            assert_eq!(fs::read_to_string(path).unwrap(), Self::TEXT.repeat(1_000), "{}", path.display());
        }
    }
}

/// Numbers are used anew; the store works on, several batches long.
fn suffer(mut handle: Handle, path: &Path) {
    let token = handle.acquire(SHORT).expect("a free lease");
    let lost = Instant::now();
    close_all();
    let victims = Victims::open(path);
    for _ in 0..5 {
        is_refused(handle.one(renew(token, SHORT)), lost);
        is_refused(handle.store.rows(None), lost);
        is_refused(handle.store.revoke(&election(), None), lost);
        let lock = handle.store.lock_fd();
        assert!(lock.is_none() || lost.elapsed() >= SETTLED, "the lock's number is not ours");
    }
    handle.wait_for(&Hint::Gone);
    victims.are_untouched();
    let next = acquire_anew(&mut handle);
    assert!(next > token);
    for _ in 0..5 {
        assert_eq!(handle.one(renew(next, LEASE)), Ok(Outcome::Renewed));
    }
    victims.are_untouched();
    say(next);
    listen();
    drop(handle);
    victims.are_untouched();
    say("dropped");
    listen();
}

/// Or a busy machine took so long that the store may have been opened anew.
fn is_refused(answer: Result<impl Debug, StoreError>, lost: Instant) {
    match answer {
        Err(refusal) => assert!(refusal.to_string().contains("closed descriptors"), "{refusal}"),
        Ok(found) => assert!(lost.elapsed() >= SETTLED, "not noticed: {found:?}"),
    }
}

fn acquire_anew(handle: &mut Handle) -> elector::core::FencingToken {
    let end = Instant::now() + SOON;
    loop {
        match handle.one(acquire(LEASE)) {
            Ok(Outcome::Granted { token }) => return token,
            found => assert!(Instant::now() < end, "not opened anew: {found:?}"),
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The first of this process's numbers that leads there, once there is one.
fn number_of(file: &str) -> i32 {
    let leads_there = |path: &PathBuf| fs::read_link(path).is_ok_and(|link| link == Path::new(file));
    let end = Instant::now() + SOON;
    loop {
        let numbers = fs::read_dir("/proc/self/fd").unwrap().flatten();
        if let Some(path) = numbers.map(|entry| entry.path()).find(leads_there) {
            return path.file_name().unwrap().to_str().unwrap().parse().unwrap();
        }
        assert!(Instant::now() < end, "nothing leads to {file}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// This number leads to another file from now on.
fn take(number: i32, stranger: &impl AsFd) {
    // SAFETY: both numbers are open.
    assert_eq!(unsafe { libc::dup2(stranger.as_fd().as_raw_fd(), number) }, number);
}

/// One number alone, whose file it is told, is the program's own from now on.
fn lose_one(mut handle: Handle, path: &Path) {
    let file = listen();
    let token = handle.acquire(SHORT).expect("a free lease");
    let victim = path.with_extension("victim");
    fs::write(&victim, Victims::TEXT).unwrap();
    let stranger = File::options().read(true).write(true).open(&victim).unwrap();
    let number = number_of(&file);
    let lost = Instant::now();
    take(number, &stranger);
    is_refused(handle.one(renew(token, SHORT)), lost);
    let next = acquire_anew(&mut handle);
    assert_eq!(handle.one(renew(next, LEASE)), Ok(Outcome::Renewed));
    drop(handle);
    assert_eq!(fs::read_to_string(&victim).unwrap(), Victims::TEXT);
    assert_eq!(fs::read_link(format!("/proc/self/fd/{number}")).unwrap(), victim);
    say("untouched");
}

/// The thread that listens finds the program's own descriptors in place of its own.
fn lose_the_ears(mut handle: Handle, path: &Path) {
    let file = listen();
    handle.acquire(LEASE).expect("a free lease");
    let number = number_of(&file);
    let own = Inotify::init(InitFlags::IN_CLOEXEC).unwrap();
    own.add_watch(path.parent().unwrap(), AddWatchFlags::IN_CREATE).unwrap();
    fs::write(path.with_extension("victim"), Victims::TEXT).unwrap();
    take(number, &own);
    // It is awake for this.
    File::options().append(true).open(format!("{}-lock", path.display())).unwrap();
    handle.wait_for(&Hint::Gone);
    assert!(handle.one(Op::Look).is_err());
    drop(handle);
    // SAFETY: the number is open, and nothing else owns it.
    let kept = unsafe { Inotify::from_raw_fd(number) };
    assert_eq!(kept.read_events().unwrap().len(), 1, "the program's own event");
    say("untouched");
}

fn fork_a_daemon(mut handle: Handle) {
    handle.acquire(LEASE).expect("a free lease");
    // SAFETY: the child makes system calls only.
    match unsafe { nix::unistd::fork() }.unwrap() {
        nix::unistd::ForkResult::Child => {
            close_all();
            std::thread::sleep(5 * SOON);
            // SAFETY: ends the process at once.
            unsafe { libc::_exit(0) }
        }
        nix::unistd::ForkResult::Parent { child } => {
            say(child);
            listen();
        }
    }
}

/// The program's own descriptors lead to the very directory that the store's led to.
fn open_the_directory(mut handle: Handle, path: &Path) {
    handle.acquire(SHORT).expect("a free lease");
    close_all();
    let directory = path.parent().unwrap();
    let own: Vec<File> = (0..VICTIMS).map(|_| File::open(directory).unwrap()).collect();
    acquire_anew(&mut handle);
    let is_kept = |file: &File| file.metadata().is_ok_and(|found| found.is_dir());
    // Not dropped: that a number was closed is the test's to say.
    let closed: Vec<_> = own.into_iter().map(ManuallyDrop::new).filter(|file| !is_kept(file)).collect();
    assert!(closed.is_empty(), "closed, and used anew: {closed:?}");
    say("untouched");
}

/// The lock of a store that is gone is dropped when its lease has ended, while a new store uses its numbers.
fn leave_a_lock_behind(mut handle: Handle, path: &Path) {
    let lost = Instant::now();
    handle.acquire(SHORT).expect("a free lease");
    close_all();
    is_refused(handle.store.rows(None), lost);
    drop(handle);
    let mut next = Handle::open(path).unwrap();
    let token = next.acquire_at_its_end();
    std::thread::sleep(SHORT);
    // Locks whose leases have ended are dropped when a store is opened.
    let other = Handle::open(&path.with_extension("other")).unwrap();
    assert_eq!(next.one(renew(token, LEASE)), Ok(Outcome::Renewed));
    drop((next, other));
    say("renewed");
}

/// The parent, whose store the child inherits, ends; the child has a store of its own.
fn lead_in_a_child(handle: Handle, path: &Path) {
    // SAFETY: no other thread of this process does anything at this moment.
    match unsafe { nix::unistd::fork() }.unwrap() {
        nix::unistd::ForkResult::Child => {
            let mut own = Handle::open(path).unwrap();
            let token = own.acquire(LEASE).expect("a free lease");
            say(token);
            listen();
            say(format!("{:?}", own.one(renew(token, LEASE))));
        }
        nix::unistd::ForkResult::Parent { .. } => std::mem::forget(handle),
    }
    // SAFETY: ends the process at once.
    unsafe { libc::_exit(0) }
}

/// A program without standard output writes to it nevertheless.
fn open_without_output(handle: Handle, path: &Path) {
    drop(handle);
    // SAFETY: numbers only; the output is put back before it is used.
    let output = unsafe { libc::dup(1) };
    unsafe { (libc::close(1), libc::close(2)) };
    let fresh = Handle::open(&path.with_extension("fresh"));
    for number in [1, 2] {
        // SAFETY: a constant, and its length.
        unsafe { libc::write(number, c"garbage".as_ptr().cast(), 7) };
    }
    // SAFETY: as above.
    unsafe { (libc::dup2(output, 1), libc::dup2(output, 2)) };
    say(fresh.unwrap().acquire(LEASE).is_some());
    listen();
}

/// Long enough for no renewal to come while a test waits.
fn candidate(path: &Path, lease: Duration) -> Elector {
    let builder = Elector::builder("e").store(format!("sqlite:{}", path.display())).lease(lease);
    builder.renew(lease / 3).jitter(lease / 100).build().unwrap()
}

/// Leads, closes everything when it is told to, and says until when it led and how that ended.
fn lead(path: &Path) {
    let elector = candidate(path, Duration::from_millis(listen().parse().unwrap()));
    let mut changes = elector.changes();
    elector.campaign();
    let token = elector.wait_until_leader(SOON).expect("no other candidate leads");
    say(token);
    listen();
    close_all();
    let victims = Victims::open(path);
    let led_until = loop {
        // Read before the question: an answer is of no earlier instant.
        let now = clock::now();
        if !elector.am_i_leader() {
            break now;
        }
        std::thread::sleep(Duration::from_millis(1));
    };
    say(led_until.as_nanos());
    say(format!("{:?}", reason_of_end(&mut changes)));
    let next = elector.wait_until_leader(3 * SOON).map_or(0, |token| token.get());
    say(next);
    victims.are_untouched();
    drop(elector);
    say("untouched");
    listen();
}

fn reason_of_end(changes: &mut Changes) -> DeposedReason {
    loop {
        let change = changes.next_timeout(SOON).expect("the end of the term");
        if let Event::Deposed { reason, .. } = change.event {
            return reason;
        }
    }
}

#[test]
fn a_program_that_closes_all_descriptors_keeps_its_lease_held() {
    let site = Site::new();
    let mut helper = site.helper("sweeper");
    helper.hear();
    let mut standby = site.open();
    assert_eq!(helper.hear(), "closed");
    for _ in 0..20 {
        assert_eq!(standby.acquire(LEASE), None, "taken from a process that lives");
        std::thread::sleep(Duration::from_millis(5));
    }
    helper.process.kill().unwrap();
    standby.acquire_at_a_hint();
}

#[test]
fn files_that_get_the_numbers_of_the_stores_are_not_touched_and_the_store_begins_anew() {
    let site = Site::new();
    let mut helper = site.helper("victim");
    let token: u64 = helper.hear_within(3 * SOON).parse().expect("a token");
    let mut standby = site.open();
    let row = standby.look().expect("a row");
    assert_eq!(row.token.map(|token| token.get()), Some(token));
    assert_eq!(standby.acquire(LEASE), None, "held by the new byte");
    helper.tell("drop it");
    assert_eq!(helper.hear(), "dropped");
    assert_eq!(standby.acquire(LEASE), None, "a lease outlives its store");
    helper.process.kill().unwrap();
    standby.acquire_at_a_hint();
}

#[test]
fn each_number_alone_is_missed() {
    let sites: Vec<Site> = (0..5).map(|_| Site::new()).collect();
    let start = |(site, suffix): (&Site, &str)| {
        let mut helper = site.helper("one");
        helper.tell(&match suffix {
            "/" => site.path.parent().unwrap().display().to_string(),
            _ => format!("{}{suffix}", site.path.display()),
        });
        (helper, suffix.to_owned())
    };
    let helpers: Vec<(Helper, String)> =
        sites.iter().zip(["", "-wal", "-shm", "-lock", "/"]).map(start).collect();
    for (helper, suffix) in helpers {
        assert_eq!(helper.hear_within(3 * SOON), "untouched", "{suffix:?}");
    }
}

#[test]
fn nothing_is_heard_through_a_number_that_is_the_programs_own() {
    let site = Site::new();
    let mut helper = site.helper("deaf");
    helper.tell("anon_inode:inotify");
    assert_eq!(helper.hear(), "untouched");
}

#[test]
fn a_forked_child_that_closes_its_descriptors_does_not_keep_its_parents_lock() {
    let site = Site::new();
    let mut helper = site.helper("daemon");
    let child = nix::unistd::Pid::from_raw(helper.hear().parse().unwrap());
    let mut standby = site.open();
    assert_eq!(standby.acquire(LEASE), None);
    helper.process.kill().unwrap();
    helper.process.wait().unwrap();
    standby.acquire_at_a_hint();
    nix::sys::signal::kill(child, nix::sys::signal::Signal::SIGKILL).unwrap();
}

#[test]
fn what_leads_to_the_stores_directory_is_not_closed_if_the_program_opened_it() {
    let site = Site::new();
    assert_eq!(site.helper("directories").hear_within(3 * SOON), "untouched");
}

#[test]
fn a_lock_that_was_left_closes_nothing_of_the_next_store() {
    let site = Site::new();
    // Both stores open what is there, in the same order, so the second one gets the numbers of the first.
    drop(site.open());
    assert_eq!(site.helper("two stores").hear_within(3 * SOON), "renewed");
}

#[test]
fn a_forked_childs_own_store_survives_the_end_of_its_parent_and_a_question() {
    let site = Site::new();
    let mut helper = site.helper("child");
    helper.hear();
    // Not by `wait`, which would close the input that the child has as well.
    while helper.process.try_wait().unwrap().is_none() {
        std::thread::sleep(Duration::from_millis(1));
    }
    let mut asker = SqliteStore::open(&site.path, LEAVE, Arc::new(|_| ())).unwrap();
    asker.rows(None).unwrap();
    // The process that closes the database last removes its log.
    drop(asker);
    helper.tell("renew");
    assert_eq!(helper.hear(), "Ok(Renewed)");
}

#[test]
fn the_output_of_a_program_that_has_none_goes_to_no_file_of_the_store() {
    let site = Site::new();
    let mut helper = site.helper("mute");
    assert_eq!(helper.hear(), "true");
    let path = site.path.with_extension("fresh");
    assert!(!fs::read(format!("{}-lock", path.display())).unwrap().starts_with(b"garb"));
    Handle::open(&path).unwrap().look().expect("the row");
    helper.tell("end");
}

#[test]
fn nobody_leads_before_the_trust_of_a_leader_without_descriptors_has_ended() {
    let lease = Duration::from_secs(10);
    let site = Site::new();
    let mut helper = site.helper("leader");
    helper.tell(&lease.as_millis().to_string());
    let first: u64 = helper.hear().parse().expect("a token");
    let other = candidate(&site.path, lease);
    other.campaign();
    other.connect(SOON).unwrap();
    helper.tell("close");
    let second = other.wait_until_leader(SOON).expect("the lease of the other has ended");
    let led_from = clock::now();
    let led_until: u64 = helper.hear().parse().expect("an instant");
    assert!(led_until < led_from.as_nanos(), "two leaders");
    assert!(second.get() > first);
    assert_eq!(helper.hear(), "Revoked");
    other.release();
    let third: u64 = helper.hear_within(3 * SOON).parse().expect("a token");
    // On a busy machine it may have been elected again, and released, before the other was.
    assert!(third > first && third != second.get(), "it leads again: {first}, {second}, {third}");
    assert_eq!(helper.hear(), "untouched");
}

#[test]
fn trust_ends_at_once_when_the_descriptors_are_closed() {
    let site = Site::new();
    let mut helper = site.helper("leader");
    helper.tell("600000");
    helper.hear();
    helper.tell("close");
    // Neither by a renewal, one in 198 s, nor by the end of the lease.
    helper.hear();
    assert_eq!(helper.hear(), "Revoked");
}
