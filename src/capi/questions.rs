//! What may be asked of an elector.

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

/// What may be read of an elector without a call. Read it with `elector_am_i_leader_inline`, or with atomic
/// loads in the same order; never write it.
#[repr(C)]
pub struct elector_view {
    /// Until when this candidate leads, on the clock of `elector_now_ns`; 0: it does not. Atomic.
    pub trusted_until_ns: u64,
    /// The term's fencing token; means something only while the term is trusted. Atomic.
    pub token: u64,
    /// The number of the latest change. Atomic.
    pub revision: u64,
    /// Counts the forks that led to this process. Atomic.
    pub forks: *const u32,
    /// The same when the elector was made: another number means that this is a forked child.
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

/// Whether this candidate leads at this instant. Costs an atomic load and a clock read; no lock, no I/O.
///
/// False for NULL and in a forked child. What starts because of a `true` must end before trust does: see
/// `trusted_for_ms`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn elector_am_i_leader(elector: *const elector) -> bool {
    // SAFETY: the caller keeps the conventions.
    value(false, || unsafe { elector.as_ref() }.map(|elector| elector.elector.am_i_leader()))
}

/// The fencing token of the current term, or 0 if this candidate does not lead. Give it to whatever the work
/// writes to, which refuses a smaller one than it has seen.
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

/// Fills in one consistent answer. FORKED, and filled in, in a forked child.
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

/// Waits until the latest change has another number than `seen_revision`, which may be so already, and
/// fills in the leadership as it is then. Start with `seen_revision` 0, go on with the `revision` that was
/// filled in.
///
/// `timeout_ms`: ELECTOR_WAIT_FOREVER waits without an end, 0 does not wait. TIMEOUT: nothing changed;
/// WOKEN: nothing changed, and `elector_wake` was called meanwhile; it is filled in all the same.
/// `leadership_out` may be NULL. Not from a callback (IN_CALLBACK).
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
            // A change that came in between is told now: who goes on with this revision would miss it.
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
            Waited::TimedOut => Err(Fault::new(elector_status::Timeout, "nothing changed in time")),
        }
    };
    // SAFETY: there is no error to write.
    unsafe { call(std::ptr::null_mut(), wait) }
}

/// Waits until anything of any elector of this process has changed: until the count of all changes is another
/// than `seen_count`. Returns the count; the same one when `timeout_ms` was over, and at once in a callback.
/// For a program that serves many electors with one thread; which one changed is seen in their views.
#[unsafe(no_mangle)]
pub extern "C" fn elector_wait_any(seen_count: u64, timeout_ms: u32) -> u64 {
    let timeout_ms = if is_callback() { 0 } else { timeout_ms };
    value(seen_count, || Some(Notifier::wait(seen_count, timeout(timeout_ms))))
}

/// Ends every `elector_wait` and `elector_wait_any` of this process. Each `elector_wait` that has begun
/// returns WOKEN; one that begins later waits, so set your flag first, and call it again until the thread has
/// reacted. Each `elector_wait_any` returns as if something had changed, at once also one that begins later
/// and has not seen this. For a program that ends a thread which waits. Any thread, but no signal handler.
#[unsafe(no_mangle)]
pub extern "C" fn elector_wake() {
    value((), || {
        History::wake_all();
        Some(())
    });
}

/// Fills in the change with this number. The latest 1000 are known. UNKNOWN_CHANGE: it is older, or has not
/// happened.
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
                let message = format!("change {revision} is not known: the latest one is {latest}");
                Fault::new(elector_status::UnknownChange, message)
            })?;
            fill(change_out, &elector_change::of(&change));
            Ok(())
        })
    }
}

/// Writes who leads, as far as this candidate knows while it stands, as two strings one behind the other: the
/// leader's name, and from `buffer + strlen(buffer) + 1` on its meta text (empty if it has none).
///
/// Returns how long both are, with the NUL between them and without the last one; 0 if nobody is known to
/// lead. What does not fit is cut; `buffer` may be NULL if `capacity` is 0.
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

/// Writes the guard: a statement for PostgreSQL with this term's values in it, safely quoted. Run it first
/// in your own transaction: one row means that the term lasts, and nobody else is elected before that
/// transaction ends; no row, or an error, means that the term may be over, so roll back.
///
/// Any isolation level will do; above READ COMMITTED there is no row either if the table was rewritten
/// (VACUUM FULL, CLUSTER) since the transaction's first statement. Rolling back to a savepoint also ends a
/// guard that was run after it, and so does the EXCEPTION clause of a PL/pgSQL block around the guard: run it
/// outside of them, or again afterwards.
///
/// Returns the statement's length without its NUL, and writes "" if it does not fit: a statement that is cut
/// is none. 0 if this candidate has no term (while it drains it has one) or its store is not PostgreSQL.
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

/// Writes what the store complains about, one line, or "" if its latest operation worked; while writes fail,
/// reading a free row does not clear it. It never holds a password. Returns its length without its NUL; what
/// does not fit is cut.
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

/// The view of an elector, for `elector_am_i_leader_inline`. Lives until `elector_free`. NULL for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn elector_get_view(elector: *const elector) -> *const elector_view {
    // SAFETY: the caller keeps the conventions.
    let shown = || unsafe { elector.as_ref() }.map(|elector| elector.elector.inner().shown());
    value(std::ptr::null(), || shown().map(|shown| std::ptr::from_ref(shown).cast::<elector_view>()))
}

/// Now, in nanoseconds on the clock that leases are trusted by: one that also counts the time for which the
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
