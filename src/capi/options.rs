//! What an elector, or a lease machine, is made from.

use std::ffi::c_char;
#[cfg(feature = "driver")]
use std::ffi::c_void;
use std::time::Duration;

use super::boundary::{call, exclusive};
#[cfg(feature = "driver")]
use super::change::elector_change;
use super::status::{Fault, elector_error, elector_status};
use super::text;
use crate::core::lease::Config;
use crate::core::sql::postgres::is_schema;
use crate::core::{Name, TimingOptions};

/// Is told of each change of one elector: see `elector_options_on_change`. `change` lives during the call.
#[cfg(feature = "driver")]
pub type elector_change_callback =
    Option<unsafe extern "C" fn(user_data: *mut c_void, change: *const elector_change)>;

/// Is told a line for the log: see `elector_options_on_log`. `level` is one of `enum elector_log_level`;
/// `message` lives during the call.
#[cfg(feature = "driver")]
pub type elector_log_callback =
    Option<unsafe extern "C" fn(user_data: *mut c_void, level: i32, message: *const c_char)>;

/// How much a line of the log matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub enum elector_log_level {
    /// Somebody must act.
    Error = 1,
    /// Something failed, and is tried again.
    Warn = 2,
    /// A term began or ended.
    Info = 3,
    /// For whoever looks for a fault.
    Debug = 4,
}

/// A function of the caller's with what it wants to be passed.
#[cfg(feature = "driver")]
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Callback<F> {
    pub(super) function: F,
    pub(super) user_data: *mut c_void,
}

// SAFETY: the conventions say that callbacks run on a thread of this library, so the caller's data may be
// used there.
#[cfg(feature = "driver")]
unsafe impl<F: Send> Send for Callback<F> {}
// SAFETY: as above; it is only copied.
#[cfg(feature = "driver")]
unsafe impl<F: Sync> Sync for Callback<F> {}

#[cfg(feature = "driver")]
pub(super) type OnChange = Callback<unsafe extern "C" fn(*mut c_void, *const elector_change)>;
#[cfg(feature = "driver")]
pub(super) type OnLog = Callback<unsafe extern "C" fn(*mut c_void, i32, *const c_char)>;

/// Options under construction. One thread at a time. Whatever is not set has a default.
#[derive(Clone, Default)]
pub struct elector_options {
    pub(super) store: Option<String>,
    pub(super) election: Option<String>,
    pub(super) candidate: Option<String>,
    pub(super) meta: Option<String>,
    pub(super) schema: Option<String>,
    pub(super) create_table: Option<bool>,
    pub(super) timing: TimingOptions,
    pub(super) strict: bool,
    pub(super) progress_gate: bool,
    #[cfg(feature = "driver")]
    pub(super) on_change: Option<OnChange>,
    #[cfg(feature = "driver")]
    pub(super) on_log: Option<OnLog>,
}

impl elector_options {
    pub(super) fn election(&self) -> Result<&str, Fault> {
        self.election
            .as_deref()
            .ok_or_else(|| Fault::argument("no election was named; call elector_options_set_election before"))
    }

    pub(super) fn timing(&self) -> Result<crate::core::Timing, Fault> {
        let invalid =
            |error: crate::core::InvalidTiming| Fault::new(elector_status::InvalidTiming, error.to_string());
        self.timing.build().map_err(invalid)
    }

    /// For a machine without a driver, whose host must know its own name and draw its own numbers.
    pub(super) fn config(&self, incarnation: u64, seed: u64) -> Result<Config, Fault> {
        let candidate = self.candidate.as_deref().ok_or_else(|| {
            Fault::argument("no candidate was named; call elector_options_set_candidate before")
        })?;
        Ok(Config {
            election: Name::new("election", self.election()?).map_err(Fault::argument)?,
            candidate: Name::new("candidate", candidate).map_err(Fault::argument)?,
            incarnation,
            meta: self.meta.as_deref().map(Into::into),
            timing: self.timing()?,
            strict: self.strict,
            progress_gate: self.progress_gate,
            seed,
        })
    }
}

/// New options, to be freed with `elector_options_free`. Any thread.
#[unsafe(no_mangle)]
pub extern "C" fn elector_options_new() -> *mut elector_options {
    Box::into_raw(Box::default())
}

/// Frees options; NULL is fine. Electors that were made from them stay as they are.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn elector_options_free(options: *mut elector_options) {
    if !options.is_null() {
        // SAFETY: it came from `elector_options_new` and is not used any more.
        drop(unsafe { Box::from_raw(options) });
    }
}

/// Changes options with a checked string.
unsafe fn set(
    options: *mut elector_options,
    value: *const c_char,
    what: &str,
    error_out: *mut elector_error,
    keep: impl FnOnce(&mut elector_options, &str) -> Result<(), Fault>,
) -> elector_status {
    // SAFETY: the caller keeps the conventions.
    unsafe { call(error_out, || keep(exclusive(options, "options")?, text::required(value, what)?)) }
}

/// Sets where leases are kept: "postgres://USER@HOST/DATABASE", "sqlite:PATH" or "memory:NAME".
/// Default: the environment variable ELECTOR_STORE, else an SQLite file in the user's state directory.
/// INVALID_ARGUMENT: it is no URL of a store that this build has.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn elector_options_set_store(
    options: *mut elector_options,
    url: *const c_char,
    error_out: *mut elector_error,
) -> elector_status {
    let keep = |options: &mut elector_options, url: &str| {
        #[cfg(feature = "driver")]
        crate::driver::stores::url::StoreUrl::parse(url).map_err(Fault::argument)?;
        options.store = Some(url.to_owned());
        Ok(())
    };
    // SAFETY: the caller keeps the conventions.
    unsafe { set(options, url, "the store URL", error_out, keep) }
}

/// Sets the election's name, 1 to 255 bytes. Required.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn elector_options_set_election(
    options: *mut elector_options,
    name: *const c_char,
    error_out: *mut elector_error,
) -> elector_status {
    let keep = |options: &mut elector_options, name: &str| {
        options.election = Some(Name::new("election", name).map_err(Fault::argument)?.to_string());
        Ok(())
    };
    // SAFETY: the caller keeps the conventions.
    unsafe { set(options, name, "the election name", error_out, keep) }
}

/// Sets this candidate's name, 1 to 255 bytes. Default: host name and process id, "api-1-4711". Two
/// candidates may share a name; they are still told apart.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn elector_options_set_candidate(
    options: *mut elector_options,
    name: *const c_char,
    error_out: *mut elector_error,
) -> elector_status {
    let keep = |options: &mut elector_options, name: &str| {
        options.candidate = Some(Name::new("candidate", name).map_err(Fault::argument)?.to_string());
        Ok(())
    };
    // SAFETY: the caller keeps the conventions.
    unsafe { set(options, name, "the candidate name", error_out, keep) }
}

/// Sets a text for others to read while this candidate leads: an address, a version. At most 65536 bytes.
/// Default: none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn elector_options_set_meta(
    options: *mut elector_options,
    text: *const c_char,
    error_out: *mut elector_error,
) -> elector_status {
    let keep = |options: &mut elector_options, text: &str| {
        Name::check_text("meta text", text).map_err(Fault::argument)?;
        options.meta = Some(text.to_owned());
        Ok(())
    };
    // SAFETY: the caller keeps the conventions.
    unsafe { set(options, text, "the meta text", error_out, keep) }
}

/// Sets the schema of the table in PostgreSQL, any identifier of 1 to 63 bytes; it is always quoted.
/// Default: what the store URL says, else "public". Other stores refuse it in `elector_new`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn elector_options_set_schema(
    options: *mut elector_options,
    schema: *const c_char,
    error_out: *mut elector_error,
) -> elector_status {
    let keep = |options: &mut elector_options, schema: &str| {
        if !is_schema(schema) {
            let found = schema.len();
            return Err(Fault::argument(format!("the schema has {found} bytes; give it 1 to 63")));
        }
        options.schema = Some(schema.to_owned());
        Ok(())
    };
    // SAFETY: the caller keeps the conventions.
    unsafe { set(options, schema, "the schema", error_out, keep) }
}

/// Changes options with a value that needs no check.
unsafe fn assign(
    options: *mut elector_options,
    error_out: *mut elector_error,
    keep: impl FnOnce(&mut elector_options),
) -> elector_status {
    // SAFETY: the caller keeps the conventions.
    unsafe {
        call(error_out, || {
            keep(exclusive(options, "options")?);
            Ok(())
        })
    }
}

/// Sets whether a table that is missing in PostgreSQL is made. Default: what the store URL says, else true.
/// Other stores make their tables always.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn elector_options_set_create_table(
    options: *mut elector_options,
    create_table: bool,
    error_out: *mut elector_error,
) -> elector_status {
    // SAFETY: the caller keeps the conventions.
    unsafe { assign(options, error_out, |options| options.create_table = Some(create_table)) }
}

/// A number of milliseconds; 0 stands for the default.
fn millis(number: u64) -> Option<Duration> {
    (number != 0).then(|| Duration::from_millis(number))
}

/// Sets how long a grant or a renewal lasts, 100 to 86400000 ms; 0: the default, 10000. It bounds how long
/// a crashed leader blocks the next one. Whether all timings fit is checked when an elector is made.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn elector_options_set_lease_ms(
    options: *mut elector_options,
    lease_ms: u64,
    error_out: *mut elector_error,
) -> elector_status {
    // SAFETY: the caller keeps the conventions.
    unsafe { assign(options, error_out, |options| options.timing.lease = millis(lease_ms)) }
}

/// Sets the latest time from one renewal to the next, at least 10 ms; 0: the default, 30 % of the lease.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn elector_options_set_renew_ms(
    options: *mut elector_options,
    renew_ms: u64,
    error_out: *mut elector_error,
) -> elector_status {
    // SAFETY: the caller keeps the conventions.
    unsafe { assign(options, error_out, |options| options.timing.renew = millis(renew_ms)) }
}

/// Sets how much earlier than that a renewal may be sent, drawn anew each time; 0: the default, 20 % of the
/// lease, at most two thirds of the renewal time.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn elector_options_set_jitter_ms(
    options: *mut elector_options,
    jitter_ms: u64,
    error_out: *mut elector_error,
) -> elector_status {
    // SAFETY: the caller keeps the conventions.
    unsafe { assign(options, error_out, |options| options.timing.jitter = millis(jitter_ms)) }
}

/// Sets how much earlier than it must a leader stops trusting its lease; 0: the default, the larger of 250 ms
/// and a fifteenth of the lease.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn elector_options_set_margin_ms(
    options: *mut elector_options,
    margin_ms: u64,
    error_out: *mut elector_error,
) -> elector_status {
    // SAFETY: the caller keeps the conventions.
    unsafe { assign(options, error_out, |options| options.timing.margin = millis(margin_ms)) }
}

/// Sets whether to take over only what stood unchanged for a full lease of this candidate's own clock.
/// Default: false. It protects against forward steps of the store's clock before this candidate first read it
/// and against commits lost by a promoted standby, and costs one lease of waiting at every change of leader.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn elector_options_set_strict(
    options: *mut elector_options,
    strict: bool,
    error_out: *mut elector_error,
) -> elector_status {
    // SAFETY: the caller keeps the conventions.
    unsafe { assign(options, error_out, |options| options.strict = strict) }
}

/// Sets whether to campaign and renew only while `elector_alive` is called at least every half lease, so that
/// a program that hangs does not lead for ever. Default: false.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn elector_options_set_progress_gate(
    options: *mut elector_options,
    progress_gate: bool,
    error_out: *mut elector_error,
) -> elector_status {
    // SAFETY: the caller keeps the conventions.
    unsafe { assign(options, error_out, |options| options.progress_gate = progress_gate) }
}

/// Has `function` called for each change of every elector that is made from these options, in order, on a
/// thread of this library, one call at a time. NULL: not any more. A renewal is a change only if it follows
/// an AT_RISK or STOP_NEW_WORK.
///
/// It may call any function that does not wait, `elector_free` too; those that wait return IN_CALLBACK. It
/// must return: no exception, `longjmp` or `pthread_exit` may leave it. Signals are blocked in it, and so in
/// programs that it starts, unless they or you unblock them. A child that it forks is no callback any more.
///
/// A callback that takes long, of the log too, delays the callbacks of all electors. A term whose ELECTED has
/// waited half a lease for the callback thread is no longer renewed, and ends as STALLED. Once ELECTED is
/// told, its term goes on however long the callback takes. Once `elector_free` has returned it is not called
/// again. Callbacks are never needed: `elector_wait` does all they do.
#[cfg(feature = "driver")]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn elector_options_on_change(
    options: *mut elector_options,
    function: elector_change_callback,
    user_data: *mut c_void,
    error_out: *mut elector_error,
) -> elector_status {
    let callback = function.map(|function| Callback { function, user_data });
    // SAFETY: the caller keeps the conventions.
    unsafe { assign(options, error_out, |options| options.on_change = callback) }
}

/// Has `function` called for each line that this library logs while an elector made from these options lives,
/// whichever elector or store of the process it is about. The same function with the same `user_data` hears
/// each line once, however many electors have it. Threads and order as with `elector_options_on_change`.
#[cfg(feature = "driver")]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn elector_options_on_log(
    options: *mut elector_options,
    function: elector_log_callback,
    user_data: *mut c_void,
    error_out: *mut elector_error,
) -> elector_status {
    let callback = function.map(|function| Callback { function, user_data });
    // SAFETY: the caller keeps the conventions.
    unsafe { assign(options, error_out, |options| options.on_log = callback) }
}
