//! The life of an elector.

use std::sync::Arc;
use std::time::Duration;

use super::boundary::{call, reference};
use super::callbacks::{self, Entry, is_callback};
use super::history::History;
use super::log;
use super::options::elector_options;
use super::status::{Fault, elector_error, elector_status};
use crate::driver::hub::candidate::Progress;
use crate::driver::stores::url::StoreUrl;
use crate::driver::stores::{Hint, IfMissing};
use crate::elector::Elector;
use crate::elector::error::{Error, Kind};

/// One candidate of one election. Any number of threads may use it at the same time.
pub struct elector {
    pub(super) elector: Elector,
    pub(super) history: Arc<History>,
    entry: Option<Arc<Entry>>,
}

impl elector {
    /// The elector, unless this is a forked child, where it is dead, or a panic has ended it.
    pub(super) fn here(&self) -> Result<&Elector, Fault> {
        if self.elector.inner().is_forked() {
            return Err(forked());
        }
        if self.elector.inner().has_panicked() {
            let message =
                "a bug in Elector has ended this elector, and it never leads again; create a new one";
            return Err(Fault::new(elector_status::Panic, message));
        }
        Ok(&self.elector)
    }
}

fn forked() -> Fault {
    fault(Error::forked())
}

/// The fault that C gets for an error of the library.
pub(super) fn fault(error: Error) -> Fault {
    let status = match error.kind() {
        Kind::Forked => elector_status::Forked,
        Kind::Timing(_) => elector_status::InvalidTiming,
        Kind::Name(_) | Kind::Url(_) => elector_status::InvalidArgument,
        Kind::Unconfirmed { .. } => elector_status::Timeout,
        Kind::Store(error) if error.is_permanent() => elector_status::StoreRefused,
        Kind::Store(_) => elector_status::StoreFailed,
        Kind::NoRandom(_) => elector_status::NoRandom,
        Kind::Threads(_) => elector_status::NoThread,
        // Errors of `run_as_leader` and of guarded transactions, which no function of this interface calls.
        Kind::Released { .. } | Kind::Busy { .. } => return Fault::bug(error),
        #[cfg(feature = "postgres")]
        Kind::NotLeader { .. } | Kind::Guard { .. } => return Fault::bug(error),
    };
    Fault::new(status, error.to_string())
}

/// A fault if this is a callback, in which no call may wait.
pub(super) fn may_wait(what: &str) -> Result<(), Fault> {
    if !is_callback() {
        return Ok(());
    }
    let message = format!(
        "{what} was called in a callback, where it would delay all others; call it from another thread"
    );
    Err(Fault::new(elector_status::InCallback, message))
}

/// The timeout for a number of milliseconds; `None` is ELECTOR_WAIT_FOREVER.
pub(super) fn timeout(timeout_ms: u32) -> Option<Duration> {
    (timeout_ms != u32::MAX).then(|| Duration::from_millis(timeout_ms.into()))
}

fn store(options: &elector_options) -> Result<StoreUrl, Fault> {
    let url = options.store.as_deref().map_or_else(StoreUrl::default_store, StoreUrl::parse);
    let mut url = url.map_err(Fault::argument)?;
    if let Some(schema) = &options.schema {
        url = url.in_schema(schema).map_err(Fault::argument)?;
    }
    Ok(match options.create_table {
        Some(true) => url.if_table_missing(IfMissing::Create),
        Some(false) => url.if_table_missing(IfMissing::Leave),
        None => url,
    })
}

fn make(options: &elector_options) -> Result<elector, Fault> {
    let mut builder = Elector::builder(options.election()?).store_url(store(options)?).timing(options.timing);
    if let Some(candidate) = &options.candidate {
        builder = builder.candidate(candidate);
    }
    if let Some(meta) = &options.meta {
        builder = builder.meta(meta);
    }
    if options.strict {
        builder = builder.strict();
    }
    // A program that learns of elections from its callback must not lead while that is not called.
    if options.progress_gate || options.on_change.is_some() {
        builder = builder.progress_gate();
    }
    if options.on_log.is_some() {
        log::listen();
    }
    let made = builder.build().map_err(fault)?;
    let history = History::new();
    made.inner().add_listener(history.clone());
    if options.on_change.is_some() {
        let progress = if options.progress_gate { Progress::CallbacksAndAlive } else { Progress::Callbacks };
        made.inner().gate_by(history.clone(), progress);
    }
    let (hub, election) = (Arc::clone(made.hub()), made.inner().election.clone());
    let resume = Box::new(move || hub.notify(Hint::Election(election.clone())));
    let entry = callbacks::register(&history, options.on_change, options.on_log, resume);
    let entry = entry.map_err(|error| fault(Error::threads(error)))?;
    Ok(elector { elector: made, history, entry })
}

/// Creates an elector, to be freed with `elector_free`. Checks all options and does no I/O: the first
/// `elector_campaign` opens the store, and retries until it succeeds. Electors of one store share one
/// connection and a few threads, in which all signals are blocked. `*elector_out` is NULL unless the call
/// returns OK.
///
/// INVALID_ARGUMENT, INVALID_TIMING: an option is wrong. NO_THREAD, NO_RANDOM: the operating system provided
/// no thread or no random number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn elector_new(
    options: *const elector_options,
    elector_out: *mut *mut elector,
    error_out: *mut elector_error,
) -> elector_status {
    // SAFETY: the caller keeps the conventions.
    unsafe {
        call(error_out, || {
            let out = elector_out.as_mut().ok_or_else(|| Fault::null("elector_out"))?;
            *out = std::ptr::null_mut();
            *out = Box::into_raw(Box::new(make(reference(options, "options")?)?));
            Ok(())
        })
    }
}

/// Runs `body` with the elector, unless that is NULL or dead.
unsafe fn with(
    elector: *const elector,
    error_out: *mut elector_error,
    body: impl FnOnce(&Elector) -> Result<(), Fault>,
) -> elector_status {
    // SAFETY: the caller keeps the conventions.
    unsafe { call(error_out, || body(reference(elector, "elector")?.here()?)) }
}

/// Runs a method that cannot fail.
unsafe fn tell(
    elector: *const elector,
    error_out: *mut elector_error,
    what: impl FnOnce(&Elector),
) -> elector_status {
    // SAFETY: the caller keeps the conventions.
    unsafe {
        with(elector, error_out, |elector| {
            what(elector);
            Ok(())
        })
    }
}

/// Campaigns until `elector_release` or a drain: acquires the lease when it is free, renews it, and campaigns
/// again after each lost term. Returns at once. No effect, and OK, if this candidate campaigns already.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn elector_campaign(
    elector: *const elector,
    error_out: *mut elector_error,
) -> elector_status {
    // SAFETY: the caller keeps the conventions.
    unsafe { tell(elector, error_out, Elector::campaign) }
}

/// Opens the store if it is not open yet, and returns the result. Optional, because `elector_campaign` also
/// opens the store and retries until it succeeds; use it to report a wrong path or password at start-up. Not
/// from a callback (IN_CALLBACK).
///
/// STORE_FAILED, STORE_REFUSED: the error of the store. STORE_REFUSED also means that the store cannot keep
/// the names or the meta text of this elector. TIMEOUT: the store did not answer within `timeout_ms`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn elector_connect(
    elector: *const elector,
    timeout_ms: u32,
    error_out: *mut elector_error,
) -> elector_status {
    let connect = |elector: &Elector| {
        may_wait("elector_connect")?;
        elector.connect(timeout(timeout_ms).unwrap_or(Duration::MAX)).map_err(fault)
    };
    // SAFETY: the caller keeps the conventions.
    unsafe { with(elector, error_out, connect) }
}

/// Stands down: from this call on the candidate does not lead, and it does not campaign until the next
/// `elector_campaign`. No effect, and OK, if it has stood down already.
///
/// The store is told in the background, so that the next candidate can lead at once. The call waits up to
/// `timeout_ms` for the store's confirmation; with 0 it returns OK at once. TIMEOUT: the store has not
/// confirmed; the candidate has stood down, and the lease expires if the release never arrives. With a
/// timeout a callback gets IN_CALLBACK; the candidate has stood down all the same.
///
/// Before this call, end the work that needs the lease, or use `elector_drain`: the next leader may start at
/// once.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn elector_release(
    elector: *const elector,
    timeout_ms: u32,
    error_out: *mut elector_error,
) -> elector_status {
    let release = |elector: &Elector| {
        if timeout_ms == 0 || is_callback() {
            elector.release();
            return if timeout_ms == 0 { Ok(()) } else { may_wait("elector_release with a timeout") };
        }
        // One call for both: another thread may campaign between two.
        elector.release_and_wait(timeout(timeout_ms).unwrap_or(Duration::MAX)).map_err(fault)
    };
    // SAFETY: the caller keeps the conventions.
    unsafe { with(elector, error_out, release) }
}

/// Stands down in two steps, for work in progress. From this call on the candidate does not lead, so start no
/// new work. Its lease is still renewed, so that no other candidate leads, until `elector_drained`, or until
/// the hard deadline passes without a successful renewal. If the candidate does not lead, the call does what
/// `elector_release` does with a timeout of 0.
///
/// Work that hangs keeps the lease for ever, and no other candidate leads: use `elector_drain_for` to bound
/// it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn elector_drain(
    elector: *const elector,
    error_out: *mut elector_error,
) -> elector_status {
    // SAFETY: the caller keeps the conventions.
    unsafe { tell(elector, error_out, Elector::drain) }
}

/// Drains like `elector_drain`, but renews the lease for at most `drain_ms` from this call
/// (ELECTOR_WAIT_FOREVER: without a bound). If several calls set a bound, the earliest counts.
///
/// After the bound the work in progress has the rest of the lease. At the soft deadline STOP_NEW_WORK is
/// reported again: end the work then, because another candidate can lead once the lease has expired. Use this
/// in a program that was asked to exit and whose work may hang.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn elector_drain_for(
    elector: *const elector,
    drain_ms: u32,
    error_out: *mut elector_error,
) -> elector_status {
    let drain = |elector: &Elector| match timeout(drain_ms) {
        Some(bound) => elector.drain_for(bound),
        None => elector.drain(),
    };
    // SAFETY: the caller keeps the conventions.
    unsafe { tell(elector, error_out, drain) }
}

/// Ends a drain and releases the lease. Call it only when all work in progress has ended: the next leader can
/// start at once. No effect, and OK, if the candidate does not drain.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn elector_drained(
    elector: *const elector,
    error_out: *mut elector_error,
) -> elector_status {
    // SAFETY: the caller keeps the conventions.
    unsafe { tell(elector, error_out, Elector::drained) }
}

/// Reports that your program makes progress. Needed only with `elector_options_set_progress_gate`, at least
/// every half lease. Call it from the code that must not hang, not from a timer: a timer goes on when that
/// code hangs.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn elector_alive(
    elector: *const elector,
    error_out: *mut elector_error,
) -> elector_status {
    // SAFETY: the caller keeps the conventions.
    unsafe { tell(elector, error_out, Elector::alive) }
}

/// Frees an elector; accepts NULL. Returns without I/O and **DOES NOT RELEASE**: a lease that is held blocks
/// the next leader until it expires. Call `elector_release` before, to hand over at once. If a release was
/// begun but not confirmed, threads of the library still complete it.
///
/// No other thread may be in a call with this elector, or use it or its view afterwards. If a callback of
/// this elector is running, the call waits for it to return, unless `elector_free` is called from a callback.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn elector_free(elector: *mut elector) {
    if elector.is_null() {
        return;
    }
    let free = || {
        // SAFETY: it came from `elector_new` and is not used any more.
        let elector = unsafe { Box::from_raw(elector) };
        if elector.elector.inner().is_forked() {
            // Its locks may be held by threads that exist in the parent process only.
            std::mem::forget(elector);
            return Ok(());
        }
        if let Some(entry) = &elector.entry {
            callbacks::unregister(entry);
        }
        elector.elector.abandon();
        Ok(())
    };
    // SAFETY: there is no error to write.
    unsafe { call(std::ptr::null_mut(), free) };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::lease::Failure;
    use crate::core::{Name, TimingOptions};
    use crate::driver::stores::StoreError;

    #[test]
    fn each_kind_of_error_has_its_own_status() {
        let store = |failure| Error::from(StoreError::new(failure, "the store said so"));
        let lease = Some(Duration::ZERO);
        let timing = TimingOptions { lease, ..TimingOptions::default() }.build().unwrap_err();
        let system = || std::io::Error::from_raw_os_error(libc::EAGAIN);
        let errors = [
            (Error::forked(), elector_status::Forked),
            (timing.into(), elector_status::InvalidTiming),
            (Name::new("election", "").unwrap_err().into(), elector_status::InvalidArgument),
            (StoreUrl::parse("nowhere:").unwrap_err().into(), elector_status::InvalidArgument),
            (Error::unconfirmed("e", Duration::ZERO, None), elector_status::Timeout),
            (store(Failure::Refused), elector_status::StoreRefused),
            (store(Failure::Unsent), elector_status::StoreFailed),
            (store(Failure::Unknown), elector_status::StoreFailed),
            (Error::no_random(system()), elector_status::NoRandom),
            (Error::threads(system()), elector_status::NoThread),
            (Error::released("e"), elector_status::Panic),
            (Error::busy("e"), elector_status::Panic),
        ];
        for (error, status) in errors {
            let found = format!("{error:?}");
            assert_eq!(fault(error).status, status, "{found}");
        }
    }
}
