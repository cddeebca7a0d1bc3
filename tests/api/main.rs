//! The public API over the store in memory: what a Rust user relies on.
#![cfg(feature = "sqlite")]

mod leadership;
mod revisions;
mod timed;
mod work;

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use elector::core::lease::{DeposedReason, Event, Failure, Phase};
use elector::core::{FencingToken, Name};
use elector::driver::stores::memory::MemoryStore;
use elector::driver::stores::{Hint, StoreError};
use elector::{Builder, Elector};

/// How long a test waits for what must come.
const SOON: Duration = Duration::from_secs(60);
const MS: Duration = Duration::from_millis(1);

/// A candidate whose lease outlasts every wait of the tests: it keeps leadership on a machine of any speed.
/// A candidate that stands behind it looks at the row once in a third of the lease: what it learns sooner, it
/// was notified of.
fn lasting(store: &str, name: &str) -> Elector {
    outlasting(store).candidate(name).build().unwrap()
}

fn outlasting(store: &str) -> Builder {
    let builder = Elector::builder("nightly").store(format!("memory:{store}"));
    builder.lease(10 * SOON).retry(50 * MS)
}

/// A candidate whose lease ends within a test: 600 ms, trusted for 544 ms, soft deadline at 484 ms.
fn brief(store: &str) -> Builder {
    Elector::builder("nightly").store(store).lease(600 * MS).margin(50 * MS)
}

/// Runs a future on this thread, without any runtime.
fn block_on<F: Future>(future: F) -> F::Output {
    struct Thread(std::thread::Thread);
    impl Wake for Thread {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Thread(std::thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => std::thread::park(),
        }
    }
}

fn down(kind: Failure) -> Option<StoreError> {
    Some(StoreError::new(kind, "the test says that the store is down"))
}

/// Waits until it is so.
fn until(what: &str, so: impl Fn() -> bool) {
    let end = Instant::now() + SOON;
    while !so() {
        assert!(Instant::now() < end, "{what}");
        std::thread::sleep(MS);
    }
}

/// The next event that is neither a renewal nor about who leads.
fn next_turn(changes: &mut elector::Changes) -> Event {
    let end = Instant::now() + SOON;
    loop {
        let change = changes.next_timeout(SOON).filter(|_| Instant::now() < end).expect("an event in time");
        if !matches!(change.event, Event::Renewed { .. } | Event::LeaderChanged { .. }) {
            return change.event;
        }
    }
}

/// Why this term ended.
fn reason_of_end(changes: &mut elector::Changes, term: FencingToken) -> DeposedReason {
    loop {
        match changes.next_timeout(SOON).expect("the end of the term").event {
            Event::Deposed { token, reason } if token == term => return reason,
            _ => {}
        }
    }
}
