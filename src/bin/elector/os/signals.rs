//! The signals that `elector run` and `elector demo` hear.

use std::{io, thread};

use nix::sys::signal::{SigSet, SigmaskHow, Signal, sigprocmask};

const HEARD: [Signal; 7] = [
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

/// Gives every signal that comes from now on to `tell`, until that returns false. Returns the mask from
/// before, for children. To be called before other threads are started: they inherit the mask.
///
/// What the caller of this program ignores stays ignored (`nohup`, a shell's background jobs).
pub fn hear(tell: impl Fn(Signal) -> bool + Send + 'static) -> io::Result<SigSet> {
    let mut heard = SigSet::empty();
    heard.extend(HEARD.into_iter().filter(|signal| !is_ignored(*signal)));
    let mut before = SigSet::empty();
    sigprocmask(SigmaskHow::SIG_BLOCK, Some(&heard), Some(&mut before))?;
    let listen = move || {
        while let Ok(signal) = heard.wait() {
            if !tell(signal) {
                return;
            }
        }
    };
    thread::Builder::new().name("signals".into()).spawn(listen)?;
    Ok(before)
}

/// Starts a thread that takes no signals, whether or not others of this process hear them yet.
pub fn spawn_deaf(name: &str, body: impl FnOnce() + Send + 'static) -> io::Result<()> {
    // A new thread has the mask of the one that starts it.
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
