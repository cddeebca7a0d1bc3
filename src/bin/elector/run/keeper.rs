//! The keeper: the parent process of the guardian. When the guardian is killed, the keeper ends the processes
//! that are left of the command.
//!
//! ```text
//! elector run ── keeper ── guardian ── CMD ── …
//! ```
//!
//! The kernel gives orphans to the nearest subreaper above them (prctl(2)). `elector run` cannot be that: it
//! may have children that are not of the command, from a shell that replaced itself by `exec elector run`, or
//! all orphans of a container whose first process it is. The keeper starts with the term and starts the
//! guardian only, so all its children descend from the guardian.
//!
//! If the keeper dies, the guardian ends the command: SIGTERM, the grace, SIGKILL.

use std::io;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};

use nix::sys::prctl;
use nix::sys::signal::{SigSet, Signal, kill};
use nix::unistd::{ForkResult, Pid, fork, getppid, setpgid};

use crate::os::processes::{self, Reaped};
use crate::os::signals::ENDING;

/// `elector run` to the keeper: kill the guardian at once. The guardian gets the same signal when the keeper
/// is killed.
pub const ALARM: Signal = Signal::SIGUSR1;

/// What a process does after [`split`].
pub enum Next {
    /// This is the guardian: it starts the command.
    Guard,
    /// Nothing is left to do: no process of the term is left, or none was started.
    Exit,
}

/// Splits this process, which has one thread, in two: the keeper and, below it, the guardian. Returns at once
/// in the guardian, and in the keeper when no process of the term is left. `handled` are the signals that the
/// keeper waits for; they must be blocked.
pub fn split(channel: RawFd, handled: &SigSet) -> io::Result<Next> {
    setpgid(Pid::from_raw(0), Pid::from_raw(0))?;
    prctl::set_child_subreaper(true)?;
    let keeper = Pid::this();
    // SAFETY: no other thread exists, so the child may do all that its parent may.
    match unsafe { fork()? } {
        ForkResult::Child => {
            prctl::set_pdeathsig(ALARM)?;
            // The request does nothing if the parent died before it. Nothing was started yet.
            Ok(if getppid() == keeper { Next::Guard } else { Next::Exit })
        }
        ForkResult::Parent { child } => {
            // SAFETY: the guardian has its own copy, and nothing else in this process owns this one. Its
            // stream must end when the guardian does.
            drop(unsafe { OwnedFd::from_raw_fd(channel) });
            prctl::set_name(c"elector-keeper")?;
            keep(child, handled);
            Ok(Next::Exit)
        }
    }
}

/// Returns when the guardian has ended and no process of the command is left.
fn keep(guardian: Pid, handled: &SigSet) {
    loop {
        match processes::reap() {
            Reaped::Child(pid, change) if pid == guardian && change.is_end() => {
                return processes::kill_until_none_is_left();
            }
            Reaped::Child(..) => {}
            Reaped::NoChild => return,
            // The guardian is our child and not reaped, so no other process has its number.
            Reaped::Nothing => match handled.wait() {
                Ok(ALARM) => drop(kill(guardian, Signal::SIGKILL)),
                Ok(signal) if ENDING.contains(&signal) => drop(kill(guardian, Signal::SIGTERM)),
                _ => {}
            },
        }
    }
}
