//! Functions that read the state of an elector.

use std::ffi::c_char;
use std::mem::offset_of;

use super::boundary::{call, can_fill, fill, reference, value};
use super::callbacks::is_callback;
use super::change::elector_change;
use super::handle::{elector, may_wait, timeout};
use super::history::{History, Notifier, Waited};
use super::leadership::elector_leadership;
use super::status::{Fault, elector_error, elector_status};
use super::text;
use crate::driver::host::clock;
use crate::driver::hub::candidate::Shown;
use crate::driver::hub::view::View;

/// The state of an elector that can be read without a call. Read it with `elector_am_i_leader_inline`, or
/// with atomic loads in the order of that function. Never write to it.
#[repr(C)]
pub struct elector_view {
    /// The hard deadline, on the clock of `elector_now_ns`: this candidate leads before it. 0: it does not
    /// lead. Atomic.
    pub trusted_until_ns: u64,
    /// The fencing token of the term; valid only before `trusted_until_ns`. Atomic.
    pub token: u64,
    /// The number of the latest change. Atomic.
    pub revision: u64,
    /// How many forks led from the program's first process to this one. Atomic.
    pub forks: *const u32,
    /// The value of `*forks` when the elector was created. If the two differ, this is a forked child.
    pub forks_then: u32,
}

const _: () = {
    assert!(size_of::<elector_view>() == size_of::<Shown>());
    let view = offset_of!(Shown, view);
    assert!(offset_of!(elector_view, trusted_until_ns) == view + offset_of!(View, trusted_until));
    assert!(offset_of!(elector_view, token) == view + offset_of!(View, token));
    assert!(offset_of!(elector_view, revision) == view + offset_of!(View, revision));
    assert!(offset_of!(elector_view, forks) == offset_of!(Shown, forks));
    assert!(offset_of!(elector_view, forks_then) == offset_of!(Shown, forks_then));
};

/// Returns whether this candidate leads at this instant. Takes an atomic load and a clock read: no lock, no
/// I/O. False for NULL and in a forked child.
///
/// The answer can be out of date by the time you act on it. Work that begins after a `true` must end before
/// the hard deadline: see `trusted_for_ms`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn elector_am_i_leader(elector: *const elector) -> bool {
    // SAFETY: the caller keeps the conventions.
    value(false, || unsafe { elector.as_ref() }.map(|elector| elector.elector.am_i_leader()))
}

/// Returns the fencing token of the current term, or 0 if this candidate does not lead. Send it with every
/// write of your work, to a resource that refuses a token smaller than the largest it has seen: once the next
/// leader has written, the resource refuses an old leader that has not noticed the end of its term.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn elector_token(elector: *const elector) -> u64 {
    // SAFETY: the caller keeps the conventions.
    value(0, || unsafe { elector.as_ref() }?.elector.token().map(|token| token.get()))
}

fn observe(elector: &elector) -> elector_leadership {
    if elector.here().is_err() {
        return elector_leadership::forked();
    }
    let (leadership, revision, now) = elector.elector.inner().observe();
    elector_leadership::of(leadership, revision, now)
}

/// Fills in whether this candidate leads, with token, time left and reason of the same instant. FORKED: this
/// is a forked child; the struct is filled in with "not leader".
#[unsafe(no_mangle)]
pub unsafe extern "C" fn elector_get_leadership(
    elector: *const elector,
    leadership_out: *mut elector_leadership,
    error_out: *mut elector_error,
) -> elector_status {
    // SAFETY: the caller keeps the conventions.
    unsafe {
        call(error_out, || {
            let elector = reference(elector, "elector")?;
            can_fill(leadership_out, "leadership_out")?;
            fill(leadership_out, &observe(elector));
            elector.here().map(|_| ())
        })
    }
}

/// Waits until the number of the latest change differs from `seen_revision`, then fills in the leadership.
/// Returns at once if it differs already. Begin with `seen_revision` 0, and continue with the `revision` that
/// the call filled in.
///
/// `timeout_ms`: 0 does not wait, ELECTOR_WAIT_FOREVER waits without a timeout. TIMEOUT: there was no change.
/// WOKEN: there was no change, and `elector_wake` was called meanwhile. `leadership_out` may be NULL; it is
/// filled in with TIMEOUT, WOKEN and FORKED too. Not from a callback (IN_CALLBACK).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn elector_wait(
    elector: *const elector,
    seen_revision: u64,
    timeout_ms: u32,
    leadership_out: *mut elector_leadership,
) -> elector_status {
    let wait = || {
        // SAFETY: the caller keeps the conventions.
        let elector = unsafe { reference(elector, "elector") }?;
        if !leadership_out.is_null() {
            // SAFETY: as above.
            unsafe { can_fill(leadership_out, "leadership_out") }?;
        }
        let here = elector.here();
        if here.is_ok() && timeout_ms != 0 {
            may_wait("elector_wait")?;
        }
        let mut waited = match here {
            Ok(_) => elector.history.wait(seen_revision, timeout(timeout_ms)),
            Err(_) => Waited::TimedOut,
        };
        if !leadership_out.is_null() {
            let seen = observe(elector);
            // A change since the wait is reported now: the caller continues from this revision, and would
            // miss it.
            if seen.revision != seen_revision {
                waited = Waited::Changed;
            }
            // SAFETY: it was checked.
            unsafe { fill(leadership_out, &seen) };
        }
        here?;
        match waited {
            Waited::Changed => Ok(()),
            Waited::Woken => Err(Fault::new(elector_status::Woken, "elector_wake was called")),
            Waited::TimedOut => {
                Err(Fault::new(elector_status::Timeout, "there was no change within the timeout"))
            }
        }
    };
    // SAFETY: there is no error to write.
    unsafe { call(std::ptr::null_mut(), wait) }
}

/// Waits until the count of changes of all electors of this process differs from `seen_count`. Returns the
/// count: `seen_count` itself if `timeout_ms` passed first. In a callback it does not wait. The count also
/// grows by `elector_wake` and other internal events, so a return does not prove a change.
///
/// For a program that serves many electors with one thread: it then compares `revision` in their views.
#[unsafe(no_mangle)]
pub extern "C" fn elector_wait_any(seen_count: u64, timeout_ms: u32) -> u64 {
    let timeout_ms = if is_callback() { 0 } else { timeout_ms };
    value(seen_count, || Some(Notifier::wait(seen_count, timeout(timeout_ms))))
}

/// Ends the waits of this process, so that a waiting thread can exit. Set your own flag first, then call this
/// until the thread has reacted. Any thread, but not a signal handler.
///
/// Each `elector_wait` in progress returns WOKEN; a later `elector_wait` is not affected. Each
/// `elector_wait_any` in progress returns a new count, and so does a later one whose `seen_count` is older.
#[unsafe(no_mangle)]
pub extern "C" fn elector_wake() {
    value((), || {
        History::wake_all();
        Some(())
    });
}

/// Fills in the change with this number. The latest 1000 changes are kept. UNKNOWN_CHANGE: the change is
/// older, or has not happened yet.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn elector_get_change(
    elector: *const elector,
    revision: u64,
    change_out: *mut elector_change,
    error_out: *mut elector_error,
) -> elector_status {
    // SAFETY: the caller keeps the conventions.
    unsafe {
        call(error_out, || {
            let elector = reference(elector, "elector")?;
            can_fill(change_out, "change_out")?;
            elector.here()?;
            let change = elector.history.get(revision).ok_or_else(|| {
                let latest = elector.history.latest();
                let message =
                    format!("change {revision} is not known; the latest is {latest}, and 1000 are kept");
                Fault::new(elector_status::UnknownChange, message)
            })?;
            fill(change_out, &elector_change::of(&change));
            Ok(())
        })
    }
}

/// Writes the latest leader that this candidate has seen; it sees leaders only while it campaigns. Two
/// strings, each with its NUL: the leader's name at `buffer`, its meta text at `buffer + strlen(buffer) + 1`
/// ("" if it has none).
///
/// Returns the length of both, including the NUL between them and excluding the last NUL; 0 if no leader is
/// known. Text that does not fit is cut; `buffer` may be NULL if `capacity` is 0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn elector_leader(
    elector: *const elector,
    buffer: *mut c_char,
    capacity: usize,
) -> usize {
    // SAFETY: the caller keeps the conventions.
    value(0, || unsafe {
        end(buffer, capacity);
        let leader = elector.as_ref()?.elector.leader()?;
        let meta = leader.meta.as_deref().unwrap_or_default();
        Some(text::write(buffer, capacity, &[leader.id.candidate(), meta]))
    })
}

/// Writes the guard: a PostgreSQL statement with the values of this term, safely quoted. Run it first in your
/// own transaction. If it returns one row, the term lasts, and no other candidate is elected before that
/// transaction ends. If it returns no row or an error, the term may be over: roll back.
///
/// The guard works at any isolation level. Above READ COMMITTED it also returns no row if the table was
/// rewritten (VACUUM FULL, CLUSTER) after the transaction's first statement.
///
/// Rolling back to a savepoint that is older than the guard ends the guard, and the transaction is
/// unprotected from then on. The EXCEPTION clause of a PL/pgSQL block around the guard does the same. Run the
/// guard outside of them, or run it again afterwards.
///
/// Returns the statement's length without its NUL, and writes "" if the statement does not fit. Returns 0 if
/// this candidate has no term or its store is not PostgreSQL; in a drain it still has its term.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn elector_guard_sql(
    elector: *const elector,
    buffer: *mut c_char,
    capacity: usize,
) -> usize {
    // SAFETY: the caller keeps the conventions.
    value(0, || unsafe {
        end(buffer, capacity);
        Some(text::write_whole(buffer, capacity, &guard(elector.as_ref()?)?))
    })
}

#[cfg(feature = "postgres")]
fn guard(elector: &elector) -> Option<String> {
    elector.elector.guard_sql().ok()
}

#[cfg(not(feature = "postgres"))]
fn guard(_: &elector) -> Option<String> {
    None
}

/// Writes the latest error of the store in one line, or "" if the latest operation succeeded. While writes
/// fail, a read of a free row does not clear the error. It never contains a password. Returns its length
/// without its NUL; text that does not fit is cut.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn elector_last_error(
    elector: *const elector,
    buffer: *mut c_char,
    capacity: usize,
) -> usize {
    // SAFETY: the caller keeps the conventions.
    value(0, || unsafe {
        end(buffer, capacity);
        let error = elector.as_ref()?.elector.last_error()?;
        Some(text::write(buffer, capacity, &[&error.to_string()]))
    })
}

/// Makes an empty string of a buffer.
unsafe fn end(buffer: *mut c_char, capacity: usize) {
    // SAFETY: the buffer has this capacity, and room for a second empty string if it can.
    unsafe { text::write(buffer, capacity, &["", ""]) };
}

/// Returns the view of an elector, for `elector_am_i_leader_inline`. Valid until `elector_free`. NULL for
/// NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn elector_get_view(elector: *const elector) -> *const elector_view {
    // SAFETY: the caller keeps the conventions.
    let shown = || unsafe { elector.as_ref() }.map(|elector| elector.elector.inner().shown());
    value(std::ptr::null(), || shown().map(|shown| std::ptr::from_ref(shown).cast::<elector_view>()))
}

/// Returns the present time in nanoseconds, on the clock of the leases: it also counts the time for which the
/// machine was suspended (Linux: CLOCK_BOOTTIME). Any thread.
#[unsafe(no_mangle)]
pub extern "C" fn elector_now_ns() -> u64 {
    value(u64::MAX, || Some(clock::now().as_nanos()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wake_ends_a_wait_for_any_elector_and_is_not_missed() {
        let waiting = std::thread::spawn(|| {
            // Another count than any: it returns at once.
            let seen = elector_wait_any(u64::MAX, u32::MAX);
            (seen, elector_wait_any(seen, u32::MAX))
        });
        while !waiting.is_finished() {
            elector_wake();
            std::thread::yield_now();
        }
        let (seen, woken) = waiting.join().unwrap();
        assert!(woken > seen);
        elector_wake();
        assert!(elector_wait_any(woken, u32::MAX) > woken);
    }
}
