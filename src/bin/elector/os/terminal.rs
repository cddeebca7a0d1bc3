//! The terminal's foreground process group: that of the shell's job, or that of the command inside it.

use std::io::{self, IsTerminal};

use nix::errno::Errno;
use nix::sys::signal::{SigSet, SigmaskHow, Signal, killpg, sigprocmask};
use nix::unistd::{Pid, getpid, tcgetpgrp, tcsetpgrp};

/// The controlling terminal, where it is our standard input and our job was in its foreground.
#[derive(Clone, Copy, Debug)]
pub struct Terminal {
    job: Pid,
    alone: bool,
}

impl Terminal {
    /// The terminal that the process group `job` reads from, if it does.
    pub fn of(job: Pid) -> Option<Terminal> {
        let input = io::stdin();
        let alone = io::stdout().is_terminal();
        (input.is_terminal() && tcgetpgrp(&input) == Ok(job)).then_some(Terminal { job, alone })
    }

    /// Whether the command gets the terminal at its start. In `elector run … | less` another program of the
    /// job reads from it, so the command gets it when it asks.
    pub fn is_ours_alone(self) -> bool {
        self.alone
    }

    /// Gives the terminal to the calling process's group. Async-signal-safe: for use between fork and exec.
    pub fn take(self) -> io::Result<()> {
        hand_to(getpid())
    }

    /// Whether our job has it, as after `fg`.
    pub fn is_ours(self) -> bool {
        tcgetpgrp(io::stdin()) == Ok(self.job)
    }

    /// Gives the terminal to `group` if our job has it. Returns whether that succeeded.
    pub fn lend(self, group: Pid) -> bool {
        self.is_ours() && hand_to(group).is_ok()
    }

    /// Whether `group` reads from the terminal now.
    pub fn is_lent_to(self, group: Pid) -> bool {
        tcgetpgrp(io::stdin()) == Ok(group)
    }

    /// Gives the terminal back to our job if `group` still has it.
    pub fn give_back(self, group: Pid) {
        if self.is_lent_to(group) {
            let _ = hand_to(self.job);
        }
    }

    /// Takes the terminal back from a group without processes.
    pub fn reclaim(self) {
        if tcgetpgrp(io::stdin()).is_ok_and(|group| killpg(group, None) == Err(Errno::ESRCH)) {
            let _ = hand_to(self.job);
        }
    }
}

/// Makes `group` the foreground group. SIGTTOU would stop a background group that does this, so it is
/// blocked.
fn hand_to(group: Pid) -> io::Result<()> {
    let mut block = SigSet::empty();
    block.add(Signal::SIGTTOU);
    let mut before = SigSet::empty();
    sigprocmask(SigmaskHow::SIG_BLOCK, Some(&block), Some(&mut before))?;
    // SAFETY: descriptor 0 is borrowed for this call only, and nothing in this program closes it.
    let input = unsafe { std::os::fd::BorrowedFd::borrow_raw(0) };
    let result = tcsetpgrp(input, group);
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&before), None)?;
    Ok(result?)
}
