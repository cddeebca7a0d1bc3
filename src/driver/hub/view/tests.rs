//! Tests the two atomics behind `am_i_leader()` and `token()` in every order that the memory model allows.
//!
//! loom runs each model once for each order of the threads' steps and each value that a load may then return.

use std::cell::Cell;

use loom::sync::Arc;
use loom::sync::atomic::AtomicU64;
use loom::thread;

use super::{Atomic, Ordering};

type View = super::View<AtomicU64>;

impl Atomic for AtomicU64 {
    fn load(&self, order: Ordering) -> u64 {
        AtomicU64::load(self, order)
    }

    fn store(&self, value: u64, order: Ordering) {
        AtomicU64::store(self, value, order);
    }
}

/// A view and the time, which change while other threads read.
#[derive(Default)]
struct World {
    view: View,
    time: AtomicU64,
    released: AtomicU64,
}

impl World {
    fn time(&self) -> u64 {
        self.time.load(Ordering::SeqCst)
    }
}

/// Term 1 is trusted until 10. Term 2 begins at 15 and is trusted until 20.
#[test]
fn a_token_is_returned_only_at_a_time_at_which_its_term_was_trusted() {
    loom::model(|| {
        let world = Arc::new(World::default());
        world.view.publish(1, 10);
        let writer = {
            let world = Arc::clone(&world);
            thread::spawn(move || {
                world.time.store(15, Ordering::SeqCst);
                world.view.publish(2, 20);
            })
        };
        let asked_at = Cell::new(u64::MAX);
        let token = world.view.token(|| {
            asked_at.set(world.time());
            asked_at.get()
        });
        match token {
            0 => {}
            1 => assert!(asked_at.get() < 10, "term 1 at {}", asked_at.get()),
            2 => assert!((15..20).contains(&asked_at.get()), "term 2 at {}", asked_at.get()),
            other => panic!("no term had token {other}"),
        }
        writer.join().unwrap();
        assert_eq!(world.view.token(|| 19), 2);
        assert_eq!(world.view.token(|| 20), 0);
    });
}

#[test]
fn the_view_shows_no_leader_after_the_end_of_trust() {
    loom::model(|| {
        let world = Arc::new(World::default());
        world.view.publish(1, 10);
        let clock = {
            let world = Arc::clone(&world);
            thread::spawn(move || {
                world.time.store(10, Ordering::SeqCst);
                world.view.withdraw();
                world.time.store(15, Ordering::SeqCst);
                world.view.publish(2, 20);
            })
        };
        let asked_at = Cell::new(u64::MAX);
        let leads = world.view.leads(|| {
            asked_at.set(world.time());
            asked_at.get()
        });
        assert!(!leads || asked_at.get() != 10, "there is no leader between the terms");
        clock.join().unwrap();
    });
}

#[test]
fn a_thread_that_knows_of_a_release_reads_no_leader_at_any_time() {
    loom::model(|| {
        let world = Arc::new(World::default());
        let host = {
            let world = Arc::clone(&world);
            thread::spawn(move || {
                world.view.publish(1, 10);
                world.view.withdraw();
                world.released.store(1, Ordering::Release);
            })
        };
        if world.released.load(Ordering::Acquire) == 1 {
            assert!(!world.view.leads(|| 0));
            assert_eq!(world.view.token(|| 0), 0);
        }
        host.join().unwrap();
    });
}

#[test]
fn a_counted_change_was_published_before() {
    loom::model(|| {
        let world = Arc::new(World::default());
        let writer = {
            let world = Arc::clone(&world);
            thread::spawn(move || {
                world.view.publish(1, 10);
                assert_eq!(world.view.count_change(), 1);
                world.view.withdraw();
                assert_eq!(world.view.count_change(), 2);
            })
        };
        match world.view.revision() {
            0 => {}
            1 => assert!([0, 1].contains(&world.view.token(|| 0))),
            2 => assert!(!world.view.leads(|| 0)),
            other => panic!("there were two changes, not {other}"),
        }
        writer.join().unwrap();
    });
}
