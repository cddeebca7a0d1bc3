//! What a child process does between fork and exec: system calls only, for the parent may have threads.

use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::process::Command;

use nix::sys::signal::{SigSet, SigmaskHow, sigprocmask};

/// The child starts with this signal mask instead of ours.
pub fn has_mask(command: &mut Command, mask: SigSet) {
    // SAFETY: one system call, on a value that the closure owns.
    unsafe {
        command.pre_exec(move || Ok(sigprocmask(SigmaskHow::SIG_SETMASK, Some(&mask), None)?));
    }
}

/// The child inherits `descriptor`; other children do not. It must stay open until the spawn.
pub fn inherits(command: &mut Command, descriptor: &impl AsRawFd) {
    let descriptor = descriptor.as_raw_fd();
    // SAFETY: one system call, on a number.
    unsafe {
        command.pre_exec(move || match libc::fcntl(descriptor, libc::F_SETFD, 0) {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        });
    }
}

/// The kernel kills the child when the thread that spawns it ends, however that ends.
pub fn dies_with_us(command: &mut Command) {
    #[cfg(target_os = "linux")]
    {
        let parent = nix::unistd::getpid();
        // SAFETY: two system calls, on values that the closure owns.
        unsafe {
            command.pre_exec(move || {
                nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGKILL)?;
                // The request does nothing if the parent died before it.
                if nix::unistd::getppid() == parent { Ok(()) } else { Err(nix::Error::ESRCH.into()) }
            });
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _ = command;
}

/// The child's process group gets the terminal.
#[cfg(target_os = "linux")]
pub fn takes(command: &mut Command, terminal: Option<crate::os::terminal::Terminal>) {
    if let Some(terminal) = terminal {
        // SAFETY: `take` makes system calls only.
        unsafe {
            command.pre_exec(move || terminal.take());
        }
    }
}
