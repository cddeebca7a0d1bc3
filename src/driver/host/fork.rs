//! Notices that this process is a forked child of the one that made an elector.

use std::ptr;
use std::sync::Once;
use std::sync::atomic::{AtomicPtr, AtomicU32, Ordering};

/// Counts the forks between the first process that asked and this one.
static GENERATION: AtomicU32 = AtomicU32::new(0);
static WATCH: Once = Once::new();

/// The number of this process in the line of forks. A fork copies the memory but not the threads that keep a
/// lease, so whatever was made under another number is dead here and must never answer "leader".
///
/// Costs one relaxed load. A child made by a bare `clone` system call, which runs no fork handlers, is not
/// noticed; such a child may only call `exec`.
pub(crate) fn generation() -> u32 {
    GENERATION.load(Ordering::Relaxed)
}

/// Where that number is kept.
pub(crate) fn counter() -> &'static AtomicU32 {
    &GENERATION
}

/// Starts counting. Called before anything takes a generation.
pub(crate) fn watch() {
    extern "C" fn in_child() {
        GENERATION.fetch_add(1, Ordering::Relaxed);
    }
    WATCH.call_once(|| {
        // SAFETY: the handler only touches an atomic, which is allowed between fork and exec.
        let status = unsafe { libc::pthread_atfork(None, None, Some(in_child)) };
        assert_eq!(status, 0, "no memory for a fork handler");
    });
}

/// A static of which each forked child gets a fresh one. The parent's may hold locks that a thread had taken
/// at the moment of the fork; nobody is left in the child to free them.
pub(crate) struct PerProcess<T: 'static>(AtomicPtr<Owned<T>>);

struct Owned<T> {
    generation: u32,
    value: T,
}

impl<T: Default + Send + Sync> PerProcess<T> {
    pub(crate) const fn new() -> PerProcess<T> {
        PerProcess(AtomicPtr::new(ptr::null_mut()))
    }

    /// This process's value. A parent's is left where it is, for good.
    pub(crate) fn get(&'static self) -> &'static T {
        watch();
        let generation = generation();
        let mut found = self.0.load(Ordering::Acquire);
        loop {
            // SAFETY: what is stored here came from `Box::into_raw` and is never freed.
            if let Some(owned) = unsafe { found.as_ref() }.filter(|owned| owned.generation == generation) {
                return &owned.value;
            }
            let fresh = Box::into_raw(Box::new(Owned { generation, value: T::default() }));
            match self.0.compare_exchange(found, fresh, Ordering::AcqRel, Ordering::Acquire) {
                // SAFETY: as above.
                Ok(_) => return unsafe { &(*fresh).value },
                Err(other) => {
                    // SAFETY: nobody else has seen it.
                    drop(unsafe { Box::from_raw(fresh) });
                    found = other;
                }
            }
        }
    }
}
