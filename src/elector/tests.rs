//! Electors whose machine panics, and electors whose host does not receive changes.

use std::task::Waker;

use super::*;
use crate::core::lease::{DeposedReason, Event};
#[cfg(feature = "capi")]
use crate::driver::hub::candidate::{Delivery, Progress};
use crate::driver::hub::changes::{Change, Listener};

/// Panics as a bug would: under the machine's lock, in the middle of a step.
struct PanickingListener;

impl Listener for PanickingListener {
    fn push(&self, change: Change) -> Option<Waker> {
        assert!(!matches!(change.event, Event::Elected { .. }), "planted by a test");
        None
    }

    fn close(&self) {}
}

#[test]
fn a_panic_ends_one_elector_for_good_and_no_other() {
    let soon = Duration::from_secs(60);
    let candidate = |election: &str| {
        Elector::builder(election).store("memory:panicking").lease(Duration::from_secs(60)).build().unwrap()
    };
    let (victim, other) = (candidate("victim"), candidate("other"));
    let mut changes = victim.changes();
    let panicking: Arc<dyn Listener> = Arc::new(PanickingListener);
    victim.inner().add_listener(Arc::clone(&panicking));
    victim.campaign();
    let elected = changes.next_timeout(soon).map(|change| change.event);
    let Some(Event::Elected { token }) = elected else { panic!("{elected:?}") };
    let deposed = changes.next_timeout(soon).map(|change| change.event);
    assert_eq!(deposed, Some(Event::Deposed { token, reason: DeposedReason::Revoked }));
    assert!(!victim.am_i_leader() && victim.token().is_none());
    victim.campaign();
    victim.release_and_wait(soon).unwrap();
    assert!(!victim.leadership().is_leader && changes.try_next().is_none());
    other.campaign();
    other.wait_until_leader(soon).unwrap();
    assert!(!victim.am_i_leader());
}

/// A host whose callbacks are up to date, or are not while the flag is set.
#[cfg(feature = "capi")]
struct Undelivered(AtomicBool);

#[cfg(feature = "capi")]
impl Delivery for Undelivered {
    fn is_up_to_date(&self) -> bool {
        !self.0.load(Ordering::Relaxed)
    }
}

#[cfg(feature = "capi")]
#[test]
fn an_undelivered_term_ends_even_if_the_host_calls_alive() {
    std::thread::scope(|scope| {
        for progress in [Progress::Callbacks, Progress::CallbacksAndAlive] {
            scope.spawn(move || assert_that_an_undelivered_term_ends(progress));
        }
    });
}

#[cfg(feature = "capi")]
fn assert_that_an_undelivered_term_ends(progress: Progress) {
    let soon = Duration::from_secs(60);
    let host = Arc::new(Undelivered(AtomicBool::new(false)));
    let store = format!("memory:undelivered-{progress:?}");
    let elector = Elector::builder("undelivered").store(&store).progress_gate().build().unwrap();
    elector.inner().gate_by(host.clone(), progress);
    let mut changes = elector.changes();
    elector.campaign();
    let token = elector.wait_until_leader(soon).unwrap();
    host.0.store(true, Ordering::Relaxed);
    let end = std::time::Instant::now() + soon;
    while elector.am_i_leader() && std::time::Instant::now() < end {
        elector.alive();
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(!elector.am_i_leader());
    let next = || changes.next_timeout(soon).map(|change| change.event);
    let deposed = std::iter::from_fn(next).find(|event| matches!(event, Event::Deposed { .. }));
    assert_eq!(deposed, Some(Event::Deposed { token, reason: DeposedReason::Stalled }));
    elector.release_and_wait(soon).unwrap();
}
