//! The processes that a command leaves behind: finding them, and ending every one.
//!
//! A process that wants to hear of all its descendants' orphans is a "child subreaper" (prctl(2)): whoever
//! lost its parent becomes its child, whatever group or session it moved to. So "nothing is left" is simply
//! "`waitpid` knows no child".

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

/// Makes sure that we learn how our children end. A caller that ignores SIGCHLD hands that down to us.
pub fn wait_for_children() {
    // SAFETY: no handler is installed.
    let _ = unsafe { signal::signal(Signal::SIGCHLD, SigHandler::SigDfl) };
}

/// Whether this system tells who the children of a process are.
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
/// `group` must be given only while its leader is not reaped: after that its number may be somebody else's.
pub fn signal_all(group: Option<Pid>, signal: Signal) {
    if let Some(group) = group {
        let _ = killpg(group, signal);
    }
    for pid in descendants() {
        // Between being found and being signalled a grandchild may end and be reaped. Its number is used
        // again only after all others were, so this cannot hit a stranger in practice.
        if group.is_none() || getpgid(Some(pid)) != group.ok_or(Errno::ESRCH) {
            let _ = kill(pid, signal);
        }
    }
}

/// Sends SIGKILL to the group and to all direct children. Whoever is orphaned by that becomes a child, so
/// doing it again until no child is left gets everybody. Direct children cannot be mistaken: only we reap
/// them.
pub fn kill_children(group: Option<Pid>) {
    if let Some(group) = group {
        let _ = killpg(group, Signal::SIGKILL);
    }
    for pid in children() {
        let _ = kill(pid, Signal::SIGKILL);
    }
}

/// What happened to a child. Signals are numbers: a real-time one has no name.
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

/// The next change of a child without waiting for it.
pub enum Reaped {
    /// This happened to this child.
    Child(Pid, Change),
    /// There are children, and nothing happened to them.
    Nothing,
    /// There is no child.
    NoChild,
}

/// Asks for the next change of any child.
pub fn reap() -> Reaped {
    // Not nix's: it reaps a child that a real-time signal has ended, and then says that this was an error.
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

/// Reaps ended children except `awaited`, which `Term` reaps. They may be children of any kind: those of a
/// shell that became this program by `exec`, and every orphan of a container whose first process this is.
pub fn reap_except(awaited: Option<Pid>) {
    while let Some(ended) = ended_child() {
        if Some(ended) == awaited {
            // The kernel names it first each time, so the others are asked for by their numbers.
            children().into_iter().filter(|pid| *pid != ended).for_each(reap_one);
            return;
        }
        reap_one(ended);
    }
}

/// A child that has ended and is not reaped.
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
