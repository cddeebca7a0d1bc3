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

/// One candidate of one election. Any thread may use it, any number at once.
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
            let message = "a bug in Elector ended this elector before; it is never leader again";
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
    let message = format!("{what} was called by a callback, where it would delay all others; use a thread");
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

/// Makes an elector, to be freed with `elector_free`. Checks everything and does no I/O: the store is opened
/// by the first campaign, which also tries again for ever. Electors of one store share one connection and a
/// few threads, in which all signals are blocked. `*elector_out` is NULL unless it returns OK.
///
/// INVALID_ARGUMENT, INVALID_TIMING: something in the options is wrong. NO_THREAD, NO_RANDOM: the system gave
/// none.
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

/// Stands for election until `elector_release`. After a loss it stands again by itself. Standing already: OK,
/// no effect. Returns at once.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn elector_campaign(
    elector: *const elector,
    error_out: *mut elector_error,
) -> elector_status {
    // SAFETY: the caller keeps the conventions.
    unsafe { tell(elector, error_out, Elector::campaign) }
}

/// Opens the store if it is not open yet, and says what came of it. Not needed: a campaign does so too, and
/// tries again for ever. Good for telling a wrong path or password at start-up. Not from a callback
/// (IN_CALLBACK).
///
/// STORE_FAILED, STORE_REFUSED: what the store said. STORE_REFUSED too if it cannot keep the names or the
/// meta text of this elector. TIMEOUT: it said nothing within `timeout_ms`.
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

/// Stands down: not leader from the call on, and no candidate until the next `elector_campaign`. Again: OK,
/// no effect.
///
/// Then it waits up to `timeout_ms` for the store to confirm, so that the next candidate leads at once; 0:
/// it does not wait, and returns OK. TIMEOUT: not confirmed in time; the lease ends by itself all the same.
/// With a timeout it may not be called from a callback (IN_CALLBACK; it has stood down nevertheless).
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

/// Stands down once the work in progress is done: not leader from the call on, but the lease is kept, so that
/// nobody else starts, until `elector_drained` or until it can be kept no longer. Not leader: as
/// `elector_release` with a timeout of 0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn elector_drain(
    elector: *const elector,
    error_out: *mut elector_error,
) -> elector_status {
    // SAFETY: the caller keeps the conventions.
    unsafe { tell(elector, error_out, Elector::drain) }
}

/// `elector_drain`, and the lease is renewed for `drain_ms` more at most (ELECTOR_WAIT_FOREVER: without
/// a bound). Work that takes longer keeps what is left of the lease then; STOP_NEW_WORK says once more when
/// it must end, and others are elected when the lease has ended by itself. Of several bounds the earliest
/// counts. For a program that is asked to end while work may hang.
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

/// Says that the work in progress is done: ends what `elector_drain` or `elector_drain_for` began. Not
/// draining: OK, no effect.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn elector_drained(
    elector: *const elector,
    error_out: *mut elector_error,
) -> elector_status {
    // SAFETY: the caller keeps the conventions.
    unsafe { tell(elector, error_out, Elector::drained) }
}

/// Says that this program makes progress: see `elector_options_set_progress_gate`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn elector_alive(
    elector: *const elector,
    error_out: *mut elector_error,
) -> elector_status {
    // SAFETY: the caller keeps the conventions.
    unsafe { tell(elector, error_out, Elector::alive) }
}

/// Frees an elector; NULL is fine. Prompt, does no I/O, and **DOES NOT RELEASE**: a lease that it holds
/// ends by itself; call `elector_release` before to hand over at once. A release that the store has not
/// confirmed yet is still told to it, by threads of the library. No other thread may be in a call with this
/// elector, nor use it or its view afterwards. It waits for a callback of this elector that is running,
/// unless it is called from one.
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
