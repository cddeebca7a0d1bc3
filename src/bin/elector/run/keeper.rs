//! The keeper: a process of the guardian's program whose only child is the guardian, so that whatever a
//! killed guardian leaves behind has somebody to end it.
//!
//! ```text
//! elector run ── keeper ── guardian ── CMD ── …
//! ```
//!
//! Orphans go to the next living subreaper above them (prctl(2)). Were that `elector run` itself, its
//! children could be anybody's: those of a shell that replaced itself by `exec elector run`, and as the first
//! process of a container every orphan in it. The keeper is new when the term begins, so all that ever
//! becomes its child descends from the guardian.
//!
//! It decides nothing. If it dies, the guardian ends the command in an orderly way.

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
    // SAFETY: no other thread exists, so the child may do whatever its parent may.
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

/// Returns when the guardian has ended and nothing of the command is left.
fn keep(guardian: Pid, handled: &SigSet) {
    loop {
        match processes::reap() {
            Reaped::Child(pid, change) if pid == guardian && change.is_end() => {
                return processes::kill_until_none_is_left();
            }
            Reaped::Child(..) => {}
            Reaped::NoChild => return,
            // The guardian is our child and not reaped, so its number is nobody else's.
            Reaped::Nothing => match handled.wait() {
                Ok(ALARM) => drop(kill(guardian, Signal::SIGKILL)),
                Ok(signal) if ENDING.contains(&signal) => drop(kill(guardian, Signal::SIGTERM)),
                _ => {}
            },
        }
    }
}
