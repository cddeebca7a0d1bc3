//! Finds the descendants of this process, signals them, and reaps them.
//!
//! A "child subreaper" (prctl(2)) becomes the parent of each descendant whose parent has ended, whatever
//! process group or session the descendant moved to. So no process of a command is left when `waitpid` finds
//! no child.

use std::fs;
use std::thread;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::{self, SigHandler, Signal, kill, killpg};
use nix::unistd::{Pid, getpgid};

/// The children of this process.
pub fn children() -> Vec<Pid> {
    children_of(Pid::this())
}

/// Resets SIGCHLD: a process inherits from its caller that it is ignored, and `waitpid` reports nothing then.
pub fn wait_for_children() {
    // SAFETY: no handler is installed.
    let _ = unsafe { signal::signal(Signal::SIGCHLD, SigHandler::SigDfl) };
}

/// Whether this system lists the children of a process.
pub fn can_be_listed() -> bool {
    fs::read("/proc/thread-self/children").is_ok()
}

fn children_of(parent: Pid) -> Vec<Pid> {
    let Ok(threads) = fs::read_dir(format!("/proc/{parent}/task")) else { return Vec::new() };
    let lists =
        threads.flatten().filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    lists
        .flat_map(|list| list.split_whitespace().filter_map(|word| word.parse().ok()).collect::<Vec<i32>>())
        .map(Pid::from_raw)
        .collect()
}

fn descendants() -> Vec<Pid> {
    let mut found = children();
    let mut next = 0;
    while next < found.len() {
        // Each process has one parent, so nothing is found twice unless one moved meanwhile.
        let more: Vec<Pid> =
            children_of(found[next]).into_iter().filter(|pid| !found.contains(pid)).collect();
        found.extend(more);
        next += 1;
    }
    found
}

/// Sends `signal` once to each process of `group`, and to each descendant that has left the group.
///
/// `group` must be given only while its leader is not reaped: after that another group may have its number.
pub fn signal_all(group: Option<Pid>, signal: Signal) {
    if let Some(group) = group {
        let _ = killpg(group, signal);
    }
    for pid in descendants() {
        // A grandchild may end and be reaped before it is signalled. The kernel uses its number again only
        // after all others, so no other process is signalled in practice.
        if group.is_none() || getpgid(Some(pid)) != group.ok_or(Errno::ESRCH) {
            let _ = kill(pid, signal);
        }
    }
}

/// Sends SIGKILL to the group and to all direct children. Their children become ours, so repeating it until
/// no child is left ends all descendants. The number of a direct child is safe to signal: only we reap it.
pub fn kill_children(group: Option<Pid>) {
    if let Some(group) = group {
        let _ = killpg(group, Signal::SIGKILL);
    }
    for pid in children() {
        let _ = kill(pid, Signal::SIGKILL);
    }
}

/// A change of state of a child. Signals are numbers: a real-time signal has no name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It exited with this code.
    Exited(i32),
    /// This signal ended it.
    Killed(i32),
    /// This signal stopped it.
    Stopped(i32),
    /// SIGCONT continued it.
    Continued,
}

impl Change {
    fn of(status: i32) -> Change {
        if libc::WIFSTOPPED(status) {
            Change::Stopped(libc::WSTOPSIG(status))
        } else if libc::WIFCONTINUED(status) {
            Change::Continued
        } else if libc::WIFSIGNALED(status) {
            Change::Killed(libc::WTERMSIG(status))
        } else {
            Change::Exited(libc::WEXITSTATUS(status))
        }
    }

    pub fn is_end(self) -> bool {
        matches!(self, Change::Exited(_) | Change::Killed(_))
    }
}

/// The result of [`reap`].
pub enum Reaped {
    /// The state of this child changed.
    Child(Pid, Change),
    /// No state of a child has changed.
    Nothing,
    /// There is no child.
    NoChild,
}

/// The next change of state of any child, without waiting for one.
pub fn reap() -> Reaped {
    // nix's `waitpid` returns an error for a child that a real-time signal has ended, after reaping it.
    let options = libc::WNOHANG | libc::WUNTRACED | libc::WCONTINUED;
    loop {
        let mut status = 0;
        // SAFETY: the status is ours.
        match unsafe { libc::waitpid(-1, &raw mut status, options) } {
            0 => return Reaped::Nothing,
            -1 if Errno::last() == Errno::EINTR => {}
            -1 => return Reaped::NoChild,
            pid => return Reaped::Child(Pid::from_raw(pid), Change::of(status)),
        }
    }
}

/// Reaps all ended children except `awaited`, which `Term` reaps. This process may have children that it did
/// not start: those of a shell that replaced itself by `exec`, and all orphans of a container whose first
/// process this is.
pub fn reap_except(awaited: Option<Pid>) {
    while let Some(ended) = ended_child() {
        if Some(ended) == awaited {
            // The kernel names this child first each time, so the others are reaped by number.
            children().into_iter().filter(|pid| *pid != ended).for_each(reap_one);
            return;
        }
        reap_one(ended);
    }
}

/// The number of a child that has ended and is not reaped.
fn ended_child() -> Option<Pid> {
    let options = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
    // SAFETY: the structure is plain numbers, for which zeros are fine; the call fills in those of a child,
    // if there is one, and leaves the number of its process zero otherwise.
    let pid = unsafe {
        let mut info: libc::siginfo_t = std::mem::zeroed();
        if libc::waitid(libc::P_ALL, 0, &raw mut info, options) < 0 {
            return None;
        }
        info.si_pid()
    };
    (pid != 0).then(|| Pid::from_raw(pid))
}

/// Reaps this child if it has ended.
fn reap_one(pid: Pid) {
    let mut status = 0;
    // SAFETY: the status is ours.
    unsafe { libc::waitpid(pid.as_raw(), &raw mut status, libc::WNOHANG) };
}

/// Kills all children and orphans, and returns when none is left.
pub fn kill_until_none_is_left() {
    loop {
        kill_children(None);
        loop {
            match reap() {
                Reaped::Child(..) => {}
                Reaped::Nothing => break,
                Reaped::NoChild => return,
            }
        }
        thread::sleep(Duration::from_millis(1));
    }
}
