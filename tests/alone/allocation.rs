//! A question costs no allocation, whatever its answer.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::hint::black_box;
use std::time::Duration;

use elector::Elector;

/// The system's allocator, which counts what the asking thread allocates; the hub's threads do as they like.
struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: every call is passed on unchanged, and counting touches a thread-local without a destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller keeps the rules of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the rules of `dealloc`.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// How often `ask` allocates in many questions.
fn allocations<T>(ask: impl Fn() -> T) -> u64 {
    let before = ALLOCATIONS.get();
    (0..10_000).for_each(|_| drop(black_box(ask())));
    ALLOCATIONS.get() - before
}

#[test]
fn no_question_allocates() {
    if !crate::is_alone("allocation::no_question_allocates") {
        return;
    }
    let soon = Duration::from_secs(60);
    let builder = Elector::builder("e").store("memory:allocation").lease(soon);
    let elector = builder.build().expect("right options");
    assert!(allocations(|| Box::new(1)) >= 10_000, "the allocator counts");
    let check = || {
        assert_eq!(allocations(|| elector.am_i_leader()), 0);
        assert_eq!(allocations(|| elector.token()), 0);
        assert_eq!(allocations(|| elector.leadership()), 0);
    };
    check();
    elector.campaign();
    elector.wait_until_leader(soon).expect("no other candidate leads");
    assert!(elector.am_i_leader());
    check();
    elector.release();
    check();
}
