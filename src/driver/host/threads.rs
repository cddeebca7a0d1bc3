//! Starts the threads of this library.

use std::io;
use std::thread::{Builder, JoinHandle};

use nix::sys::signal::{SigSet, SigmaskHow, Signal};

/// Signals for faults of the thread itself. If they were blocked, the kernel would end the process without
/// calling its handlers.
const OWN_FAULTS: [Signal; 5] =
    [Signal::SIGBUS, Signal::SIGFPE, Signal::SIGILL, Signal::SIGSEGV, Signal::SIGTRAP];

/// Starts a thread that receives no signals, except for its own faults; the threads that it starts inherit
/// that.
///
/// Signals go to the host's threads, which handle them. SIGPIPE is blocked too: a connection that breaks
/// during a write must not end a host that does not ignore it.
pub(crate) fn spawn<T: Send + 'static>(
    name: &str,
    body: impl FnOnce() -> T + Send + 'static,
) -> io::Result<JoinHandle<T>> {
    let mut blocked = SigSet::all();
    OWN_FAULTS.into_iter().for_each(|fault| blocked.remove(fault));
    // A new thread inherits the signal mask of the thread that starts it.
    let before = blocked.thread_swap_mask(SigmaskHow::SIG_BLOCK)?;
    let spawned = Builder::new().name(name.to_owned()).spawn(body);
    before.thread_set_mask()?;
    spawned
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_receives_no_signals_but_its_own_faults_and_the_starters_mask_is_unchanged() {
        let before = SigSet::thread_get_mask().unwrap();
        let mask = spawn("elector-test", SigSet::thread_get_mask).unwrap().join().unwrap().unwrap();
        assert!(mask.contains(Signal::SIGPIPE) && mask.contains(Signal::SIGTERM));
        assert!(!mask.contains(Signal::SIGSEGV));
        assert_eq!(SigSet::thread_get_mask().unwrap(), before);
    }
}
