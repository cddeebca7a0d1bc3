//! Hosts that misbehave: wakers that call back, readers that never read, ten thousand electors that are
//! dropped at once. None of it may hang a hub or fill the memory.

use std::future::Future;
use std::pin::Pin;
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::task::{Context, Wake, Waker};
use std::time::{Duration, Instant};

use elector::Elector;
use elector::core::lease::Event;
use elector_kit::witness::Witness;

/// How long a test waits for what must come.
const SOON: Duration = Duration::from_secs(60);

/// A candidate whose lease outlasts every wait of the tests: what follows it was released.
fn candidate(store: &str, election: &str) -> Elector {
    let builder = Elector::builder(election).store(format!("memory:{store}"));
    builder.lease(10 * SOON).retry(SOON / 1_000).build().unwrap()
}

/// Runs `body` on a thread of its own and fails if it hangs.
fn in_time(body: impl FnOnce() + Send + 'static) {
    let (done, is_done) = channel();
    let thread = std::thread::spawn(move || {
        body();
        let _ = done.send(());
    });
    match is_done.recv_timeout(3 * SOON) {
        Err(std::sync::mpsc::RecvTimeoutError::Timeout) => panic!("it hangs"),
        _ => thread.join().unwrap(),
    }
}

/// A waker that owns something and does something to it when it is woken, as small executors do: the last
/// waker of a task that was given up drops the task, and with it all that its future held.
struct Owner<T>(Mutex<Option<T>>, fn(T));

impl<T: Send + 'static> Owner<T> {
    fn waker(value: T, when_woken: fn(T)) -> Waker {
        Waker::from(Arc::new(Owner(Mutex::new(Some(value)), when_woken)))
    }
}

impl<T: Send + 'static> Wake for Owner<T> {
    fn wake(self: Arc<Self>) {
        let value = self.0.lock().unwrap().take();
        value.into_iter().for_each(self.1);
    }
}

#[test]
fn a_waker_may_drop_or_use_the_elector_that_wakes_it() {
    let uses: [fn(Elector); 3] = [
        drop,
        |elector| elector.release(),
        |elector| {
            let _ = elector.leadership();
            elector.campaign();
        },
    ];
    for used in uses {
        in_time(move || {
            let elector = candidate("waker", "changes");
            let mut changes = elector.changes();
            let waker = Owner::waker(elector.clone(), used);
            assert!(
                futures_core::Stream::poll_next(Pin::new(&mut changes), &mut Context::from_waker(&waker))
                    .is_pending()
            );
            drop(waker);
            elector.campaign();
            assert!(changes.next_timeout(SOON).is_some(), "the waker ran, and the hub goes on");
            // The same for who waits for a release.
            let holder = candidate("waker", "settled");
            holder.campaign();
            holder.wait_until_leader(SOON).unwrap();
            let waker = Owner::waker(holder.clone(), used);
            let released = Box::pin(async move { holder.release_and_confirm().await });
            let mut released: Pin<Box<dyn Future<Output = ()> + Send>> = released;
            let _ = released.as_mut().poll(&mut Context::from_waker(&waker));
            drop((released, waker));
            let next = candidate("waker", "after");
            next.campaign();
            next.wait_until_leader(SOON).expect("the hub still works");
        });
    }
}

#[test]
fn a_stream_that_ends_may_wake_somebody_who_drops_another_elector_of_the_hub() {
    in_time(|| {
        let (ended, other) = (candidate("ends", "a"), candidate("ends", "b"));
        let mut changes = ended.changes();
        let waker = Owner::waker(other, drop);
        assert!(
            futures_core::Stream::poll_next(Pin::new(&mut changes), &mut Context::from_waker(&waker))
                .is_pending()
        );
        drop(waker);
        drop(ended);
        assert!(changes.next_timeout(SOON).is_none(), "the stream ends with its elector");
        let next = candidate("ends", "c");
        next.campaign();
        next.wait_until_leader(SOON).expect("the hub still works");
    });
}

/// Has 10 000 electors lead and drops them all; how long it took until the last election was led again.
fn drop_ten_thousand(store: &str, witness: &Witness) -> Duration {
    let electors: Vec<Elector> = (0..10_000).map(|n| candidate(store, &format!("drop-{n}"))).collect();
    electors.iter().for_each(Elector::campaign);
    for elector in &electors {
        elector.wait_until_leader(SOON).unwrap();
    }
    let next = candidate(store, "drop-9999");
    next.campaign();
    witness.reset();
    let dropped = Instant::now();
    drop(electors);
    println!("dropped in {:?}", dropped.elapsed());
    next.wait_until_leader(SOON).expect("all were released");
    println!("led again after {:?}", dropped.elapsed());
    dropped.elapsed()
}

#[test]
fn ten_thousand_electors_may_be_dropped_at_once() {
    in_time(|| {
        drop_ten_thousand("drop-all", &Witness::start(&[]));
    });
}

/// Bounds on real time.
mod timed {
    use super::*;

    #[test]
    fn ten_thousand_electors_that_are_dropped_at_once_are_released_within_five_seconds() {
        let witness = Witness::start(&[]);
        let took = drop_ten_thousand("drop-in-time", &witness);
        witness.at_most(took, Duration::from_secs(5), "to release 10 000 electors");
    }
}

#[test]
fn changes_that_are_never_read_take_bounded_memory() {
    let elector = candidate("unread", "a");
    let mut unread = elector.changes();
    // Four changes each: elected, who leads, deposed, who leads.
    for _ in 0..300 {
        elector.campaign();
        elector.wait_until_leader(SOON).unwrap();
        elector.release();
    }
    let mut left = Vec::new();
    while let Some(change) = unread.try_next() {
        left.push(change);
    }
    assert_eq!(left.len(), 1_000, "unread changes that were kept");
    assert!(matches!(left.last().unwrap().event, Event::LeaderChanged { .. }), "the latest are kept");
}
