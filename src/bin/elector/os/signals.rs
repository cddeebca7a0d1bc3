//! The signals that `elector run` and `elector demo` handle.

use std::{io, thread};

use nix::sys::signal::{SigSet, SigmaskHow, Signal, sigprocmask};

const HANDLED: [Signal; 7] = [
    Signal::SIGTERM,
    Signal::SIGINT,
    Signal::SIGHUP,
    Signal::SIGQUIT,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
    Signal::SIGCONT,
];

/// The signals that ask a program to end.
#[cfg(target_os = "linux")]
pub const ENDING: [Signal; 4] = [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGQUIT];

/// Calls `tell`, on a thread of its own, with every signal from now on, until that returns false. Returns the
/// mask from before, for children. To be called before other threads are started: they inherit the mask.
///
/// A signal that the caller of this program ignores stays ignored (`nohup`, background jobs of a shell).
pub fn listen(tell: impl Fn(Signal) -> bool + Send + 'static) -> io::Result<SigSet> {
    let mut handled = SigSet::empty();
    handled.extend(HANDLED.into_iter().filter(|signal| !is_ignored(*signal)));
    let mut before = SigSet::empty();
    sigprocmask(SigmaskHow::SIG_BLOCK, Some(&handled), Some(&mut before))?;
    let listen = move || {
        while let Ok(signal) = handled.wait() {
            if !tell(signal) {
                return;
            }
        }
    };
    thread::Builder::new().name("signals".into()).spawn(listen)?;
    Ok(before)
}

/// Starts a thread with all signals blocked, also before [`listen`] was called.
pub fn spawn_without_signals(name: &str, body: impl FnOnce() + Send + 'static) -> io::Result<()> {
    // A new thread inherits the mask of its creator.
    let before = SigSet::all().thread_swap_mask(SigmaskHow::SIG_BLOCK)?;
    let spawned = thread::Builder::new().name(name.to_owned()).spawn(body);
    before.thread_set_mask()?;
    spawned.map(|_| ())
}

fn is_ignored(signal: Signal) -> bool {
    let mut action = std::mem::MaybeUninit::<libc::sigaction>::uninit();
    // SAFETY: with no new action, the call only fills in the present one; it is read only if the call
    // succeeded.
    unsafe {
        libc::sigaction(signal as i32, std::ptr::null(), action.as_mut_ptr()) == 0
            && action.assume_init().sa_sigaction == libc::SIG_IGN
    }
}
