//! Detects that this process is a forked child of the process that made an elector.

use std::ptr;
use std::sync::Once;
use std::sync::atomic::{AtomicPtr, AtomicU32, Ordering};

/// The number of forks between the process that first called [`watch`] and this one.
static GENERATION: AtomicU32 = AtomicU32::new(0);
static WATCH: Once = Once::new();

/// The fork generation of this process. A fork copies the memory but not the threads that renew a lease, so
/// an object of another generation has no threads here and must never answer "leader".
///
/// Costs one relaxed load. A child made by a bare `clone` system call is not detected, since that runs no
/// fork handlers; such a child may only call `exec`.
pub(crate) fn generation() -> u32 {
    GENERATION.load(Ordering::Relaxed)
}

/// The counter behind [`generation`], for views that are read without a call.
pub(crate) fn counter() -> &'static AtomicU32 {
    &GENERATION
}

/// Starts counting forks. Must be called before the first object stores a generation.
pub(crate) fn watch() {
    extern "C" fn in_child() {
        GENERATION.fetch_add(1, Ordering::Relaxed);
    }
    WATCH.call_once(|| {
        // SAFETY: the handler only changes an atomic, which is allowed between fork and exec.
        let status = unsafe { libc::pthread_atfork(None, None, Some(in_child)) };
        assert_eq!(status, 0, "no memory for a fork handler");
    });
}

/// A static with a fresh value in each forked child. The parent's value may hold locks that another thread
/// had taken at the moment of the fork, and that thread does not exist in the child to release them.
pub(crate) struct PerProcess<T: 'static>(AtomicPtr<Owned<T>>);

struct Owned<T> {
    generation: u32,
    value: T,
}

impl<T: Default + Send + Sync> PerProcess<T> {
    pub(crate) const fn new() -> PerProcess<T> {
        PerProcess(AtomicPtr::new(ptr::null_mut()))
    }

    /// This process's value. The parent's value is leaked in the child.
    pub(crate) fn get(&'static self) -> &'static T {
        watch();
        let generation = generation();
        let mut found = self.0.load(Ordering::Acquire);
        loop {
            // SAFETY: every pointer stored here came from `Box::into_raw` and is never freed.
            if let Some(owned) = unsafe { found.as_ref() }.filter(|owned| owned.generation == generation) {
                return &owned.value;
            }
            let fresh = Box::into_raw(Box::new(Owned { generation, value: T::default() }));
            match self.0.compare_exchange(found, fresh, Ordering::AcqRel, Ordering::Acquire) {
                // SAFETY: as above.
                Ok(_) => return unsafe { &(*fresh).value },
                Err(other) => {
                    // SAFETY: no other thread has seen the pointer.
                    drop(unsafe { Box::from_raw(fresh) });
                    found = other;
                }
            }
        }
    }
}
