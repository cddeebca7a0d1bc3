//! The store's path leads elsewhere while a command runs: its directory is moved or mounted over.

use std::fs::{self, File};
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::sys::signal::Signal;

use crate::beats::{self, Manner};
use crate::faults::Ending;
use crate::place::{Candidate, ENDS, LONG, Place, alive, elector, wait_for};

/// What becomes of the directory. Undone when it is dropped.
pub enum Displaced {
    Moved,
    Mounted(PathBuf),
}

impl Displaced {
    pub fn by_move(directory: &Path) -> Displaced {
        fs::rename(directory, directory.with_extension("moved")).expect("a move");
        fs::create_dir(directory).expect("a directory in its place");
        Displaced::Moved
    }

    pub fn by_mount(directory: &Path) -> Displaced {
        let mut mount = Command::new("mount");
        let output = mount.args(["-t", "tmpfs", "elector-test"]).arg(directory).output();
        let output = output.expect("mount(8); install util-linux");
        assert!(
            output.status.success(),
            "this test mounts a tmpfs and may not: run it as root, or in `unshare --map-root-user --mount`; \
             mount said: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
        Displaced::Mounted(directory.to_owned())
    }
}

impl Drop for Displaced {
    fn drop(&mut self) {
        if let Displaced::Mounted(directory) = self {
            let _ = Command::new("umount").arg("-l").arg(&*directory).status();
        }
    }
}

/// The command of a leader, which is stopped or not, ends at once when its store is displaced. Then another
/// candidate leads in the new place.
fn ends_the_command(is_stopped: bool, displace: fn(&Path) -> Displaced) {
    let place = Place::new(LONG);
    let old = place.run("a", Manner::IgnoresTerm, &[]);
    ends_the_command_of(&place, &old, is_stopped, displace);
}

fn ends_the_command_of(place: &Place, old: &Candidate, is_stopped: bool, displace: fn(&Path) -> Displaced) {
    let token = old.wait_for_beats(0).token;
    let guardian = old.guardian();
    if is_stopped {
        old.stop();
    }
    let directory = place.directory();
    let fault = place.now();
    let _displaced = displace(&directory);
    // Only who was there knows that it must wait, so the next one starts when the command has ended.
    wait_for("the guardian to end the command", || (!alive(guardian.as_raw())).then_some(()));
    let new = place.run("b", Manner::Plain, &[]);
    Ending::of(fault, old, new.wait_for_beats(token));
}

#[test]
fn the_command_ends_when_the_directory_is_moved_while_run_is_stopped() {
    ends_the_command(true, Displaced::by_move);
}

#[test]
fn the_command_ends_when_the_directory_is_mounted_over() {
    ends_the_command(false, Displaced::by_mount);
}

#[test]
fn the_command_ends_when_the_directory_is_mounted_over_while_run_is_stopped() {
    ends_the_command(true, Displaced::by_mount);
}

/// Neither `elector run` nor its guardian hears of anything, as where the processes of a user have used up
/// their inotify(7) instances.
#[test]
fn the_command_ends_where_nothing_is_heard_when_the_directory_is_moved_while_run_is_stopped() {
    let place = Place::new(LONG);
    let command = beats::command(Manner::IgnoresTerm, &place.file("a"));
    let old = place.run_like_this("a", &command, &[], |run| {
        let deafen = || {
            // SAFETY: one system call; the child has one thread.
            match unsafe { libc::unshare(libc::CLONE_NEWUSER) } {
                0 => fs::write("/proc/sys/user/max_inotify_instances", "0"),
                _ => Err(io::Error::last_os_error()),
            }
        };
        // SAFETY: system calls only between fork and exec.
        unsafe { run.arg("--quiet").pre_exec(deafen) };
    });
    ends_the_command_of(&place, &old, true, Displaced::by_move);
}

/// A candidate that stands waits for the leases that it saw before it stands in the new place.
fn is_waited_for(displace: fn(&Path) -> Displaced) {
    let place = Place::new(ENDS);
    let old = place.run("a", Manner::IgnoresTerm, &[]);
    let token = old.wait_for_beats(0).token;
    let events = place.file("events");
    let new = place.run("b", Manner::Plain, &[&format!("--events={}", events.display())]);
    wait_for("the other candidate to see who leads", || {
        fs::read_to_string(&events).unwrap_or_default().contains("leader_changed").then_some(())
    });
    old.stop();
    let directory = place.directory();
    let fault = place.now();
    let _displaced = displace(&directory);
    let ending = Ending::of(fault, &old, new.wait_for_beats(token));
    let waited = ending.next.at.saturating_since(fault);
    assert!(waited.as_secs() >= 10, "{waited:?}: not the length of the lease");
}

#[test]
fn a_candidate_that_stands_waits_for_the_lease_when_the_directory_is_moved() {
    is_waited_for(Displaced::by_move);
}

#[test]
fn a_candidate_that_stands_waits_for_the_lease_when_the_directory_is_mounted_over() {
    is_waited_for(Displaced::by_mount);
}

#[test]
fn a_candidate_that_starts_after_the_files_were_removed_waits_for_the_old_processes() {
    let place = Place::new(LONG);
    let old = place.run("a", Manner::IgnoresTerm, &[]);
    let token = old.wait_for_beats(0).token;
    old.stop();
    for file in fs::read_dir(place.directory()).expect("its files").flatten() {
        fs::remove_file(file.path()).expect("a file");
    }
    let said = place.file("said");
    let mut new = elector(&["run", "--election=e"]);
    new.arg(place.store()).args(LONG).stderr(Stdio::from(File::create(&said).expect("a file")));
    let mut new = new.args(["--", "sh", "-c", "exit 9"]).spawn().expect("elector run");
    wait_for("the new one to say what it waits for", || {
        assert_eq!(new.try_wait().expect("our child"), None, "{:?}", fs::read_to_string(&said));
        fs::read_to_string(&said).unwrap_or_default().contains("still run").then_some(())
    });
    assert!(old.beats().iter().all(|beat| beat.token == token));
    old.signal(Signal::SIGKILL);
    let status = wait_for("the new one to lead", || new.try_wait().expect("our child"));
    assert_eq!(status.code(), Some(9), "{:?}", fs::read_to_string(&said));
}
