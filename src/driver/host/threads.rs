//! The threads of this library.

use std::io;
use std::thread::{Builder, JoinHandle};

use nix::sys::signal::{SigSet, SigmaskHow, Signal};

/// What a thread does to itself. Blocked, they would end the process without asking its handlers.
const OWN_FAULTS: [Signal; 5] =
    [Signal::SIGBUS, Signal::SIGFPE, Signal::SIGILL, Signal::SIGSEGV, Signal::SIGTRAP];

/// Starts a thread that takes no signals, and whose own threads take none.
///
/// They are for the host's threads, which know what is to be done about them; and a connection that breaks
/// while it is written to must not end a host that does not ignore SIGPIPE.
pub(crate) fn spawn<T: Send + 'static>(
    name: &str,
    body: impl FnOnce() -> T + Send + 'static,
) -> io::Result<JoinHandle<T>> {
    let mut blocked = SigSet::all();
    OWN_FAULTS.into_iter().for_each(|fault| blocked.remove(fault));
    // A new thread has the mask of the one that starts it.
    let before = blocked.thread_swap_mask(SigmaskHow::SIG_BLOCK)?;
    let spawned = Builder::new().name(name.to_owned()).spawn(body);
    before.thread_set_mask()?;
    spawned
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_takes_no_signals_but_its_own_faults_and_the_starter_still_does() {
        let before = SigSet::thread_get_mask().unwrap();
        let mask = spawn("elector-test", SigSet::thread_get_mask).unwrap().join().unwrap().unwrap();
        assert!(mask.contains(Signal::SIGPIPE) && mask.contains(Signal::SIGTERM));
        assert!(!mask.contains(Signal::SIGSEGV));
        assert_eq!(SigSet::thread_get_mask().unwrap(), before);
    }
}
