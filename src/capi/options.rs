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

/// Called for each change of an elector: see `elector_options_on_change`. `change` is valid during the call
/// only.
#[cfg(feature = "driver")]
pub type elector_change_callback =
    Option<unsafe extern "C" fn(user_data: *mut c_void, change: *const elector_change)>;

/// Called for each line of the log: see `elector_options_on_log`. `level` is one of `enum elector_log_level`;
/// `message` is valid during the call only.
#[cfg(feature = "driver")]
pub type elector_log_callback =
    Option<unsafe extern "C" fn(user_data: *mut c_void, level: i32, message: *const c_char)>;

/// The severity of a line of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub enum elector_log_level {
    /// An operator must act.
    Error = 1,
    /// An operation failed and is retried.
    Warn = 2,
    /// A term began or ended.
    Info = 3,
    /// Details for finding a fault.
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

/// Options under construction. An option that is not set has its default. One thread at a time.
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
        self.election.as_deref().ok_or_else(|| {
            Fault::argument("the election has no name; call elector_options_set_election first")
        })
    }

    pub(super) fn timing(&self) -> Result<crate::core::Timing, Fault> {
        let invalid =
            |error: crate::core::InvalidTiming| Fault::new(elector_status::InvalidTiming, error.to_string());
        self.timing.build().map_err(invalid)
    }

    /// For a machine without a driver, whose host must know its own name and draw its own numbers.
    pub(super) fn config(&self, incarnation: u64, seed: u64) -> Result<Config, Fault> {
        let candidate = self.candidate.as_deref().ok_or_else(|| {
            Fault::argument("the candidate has no name; call elector_options_set_candidate first")
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

/// Creates options, to be freed with `elector_options_free`. Any thread.
#[unsafe(no_mangle)]
pub extern "C" fn elector_options_new() -> *mut elector_options {
    Box::into_raw(Box::default())
}

/// Frees options; accepts NULL. Electors that were created from them keep their settings.
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

/// Sets where leases are kept: "postgres://USER@HOST/DATABASE", "sqlite:PATH" or "memory:NAME". Default: the
/// environment variable ELECTOR_STORE, else an SQLite file in the user's state directory.
///
/// All candidates of an election must use the same store: candidates on different stores lead at the same
/// time. "sqlite:" elects among the processes of one machine, "memory:" among the electors of one process.
///
/// INVALID_ARGUMENT: the text is not a URL, or this build has no store of its kind.
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

/// Sets the election's name, 1 to 255 bytes. Required. Candidates with different names do not compete: a
/// misspelt name leads beside the right one.
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

/// Sets this candidate's name, 1 to 255 bytes. Default: host name and process id, "api-1-4711". Candidates
/// may share a name: a random number, the incarnation, tells them apart.
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

/// Sets a text that other candidates and operators can read while this candidate leads, such as an address or
/// a version. At most 65536 bytes. Default: none. Put no secret into it.
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

/// Sets the PostgreSQL schema of the table; any identifier of 1 to 63 bytes, which the library quotes.
/// Default: the schema in the store URL, else "public". All candidates of an election must use the same
/// schema. For stores other than PostgreSQL `elector_new` returns INVALID_ARGUMENT.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn elector_options_set_schema(
    options: *mut elector_options,
    schema: *const c_char,
    error_out: *mut elector_error,
) -> elector_status {
    let keep = |options: &mut elector_options, schema: &str| {
        if !is_schema(schema) {
            let found = schema.len();
            return Err(Fault::argument(format!("the schema name has {found} bytes; use 1 to 63")));
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

/// Sets whether PostgreSQL's table is created if it is missing. Default: the setting in the store URL, else
/// true. False suits a role that may not create tables: run `elector migrate` first. Other stores ignore this
/// and always create their table.
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

/// Sets the length of the lease, which each renewal starts anew; 100 to 86400000 ms. 0: the default, 10000.
///
/// It bounds how long a crashed leader blocks the next one. Too long: a crash stops the work for that long.
/// Too short: a slow store or a pause of the process ends terms. `elector_new` checks that all timings fit
/// together.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn elector_options_set_lease_ms(
    options: *mut elector_options,
    lease_ms: u64,
    error_out: *mut elector_error,
) -> elector_status {
    // SAFETY: the caller keeps the conventions.
    unsafe { assign(options, error_out, |options| options.timing.lease = millis(lease_ms)) }
}

/// Sets the longest time from one renewal to the next, at least 10 ms. 0: the default, 30 % of the lease.
///
/// Too long: fewer attempts fit before the hard deadline, so a short outage of the store ends the term;
/// `elector_new` refuses times that leave fewer than three attempts. Too short: more load on the store.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn elector_options_set_renew_ms(
    options: *mut elector_options,
    renew_ms: u64,
    error_out: *mut elector_error,
) -> elector_status {
    // SAFETY: the caller keeps the conventions.
    unsafe { assign(options, error_out, |options| options.timing.renew = millis(renew_ms)) }
}

/// Sets the jitter: a renewal is sent up to this much earlier than `renew_ms`, at random. At most `renew_ms`
/// less 10 ms; 0: the default, 20 % of the lease, at most two thirds of `renew_ms`. Too short: the renewals
/// of many candidates reach the store at the same time.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn elector_options_set_jitter_ms(
    options: *mut elector_options,
    jitter_ms: u64,
    error_out: *mut elector_error,
) -> elector_status {
    // SAFETY: the caller keeps the conventions.
    unsafe { assign(options, error_out, |options| options.timing.jitter = millis(jitter_ms)) }
}

/// Sets the margin: the leader stops trusting its lease this much before the lease can expire in the store,
/// in addition to 1 % of the lease for clocks of different rates. At least 1 ms. 0: the default, the larger
/// of 250 ms and a fifteenth of the lease.
///
/// The margin covers the time from asking whether you lead to acting on the answer, and a forward step of the
/// store's clock up to this size. Too short: a leader that is delayed between asking and acting can act while
/// another candidate leads. Too long: less time for renewals.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn elector_options_set_margin_ms(
    options: *mut elector_options,
    margin_ms: u64,
    error_out: *mut elector_error,
) -> elector_status {
    // SAFETY: the caller keeps the conventions.
    unsafe { assign(options, error_out, |options| options.timing.margin = millis(margin_ms)) }
}

/// Sets whether this candidate takes over only a row that did not change for a full lease of the candidate's
/// own clock. Default: false.
///
/// Strict protects against two leaders when the store's clock is stepped forward before this candidate first
/// read it, and when a promoted standby lost commits. It delays every change of leader by one lease. Set it
/// for all candidates of an election: one without it can become the second leader.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn elector_options_set_strict(
    options: *mut elector_options,
    strict: bool,
    error_out: *mut elector_error,
) -> elector_status {
    // SAFETY: the caller keeps the conventions.
    unsafe { assign(options, error_out, |options| options.strict = strict) }
}

/// Sets whether the candidate campaigns and renews only while your program calls `elector_alive` at least
/// every half lease. Default: false.
///
/// Without the gate a program that hangs leads for ever, because the library's threads go on renewing. With
/// it, a program that calls `elector_alive` too rarely loses its terms (STALLED).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn elector_options_set_progress_gate(
    options: *mut elector_options,
    progress_gate: bool,
    error_out: *mut elector_error,
) -> elector_status {
    // SAFETY: the caller keeps the conventions.
    unsafe { assign(options, error_out, |options| options.progress_gate = progress_gate) }
}

/// Sets the function that is called for each change of every elector that is created from these options: in
/// order, one call at a time, on a thread of this library. NULL removes it. A renewal is a change only if it
/// follows AT_RISK or STOP_NEW_WORK. This callback is optional: `elector_wait` and `elector_get_change`
/// report the changes too.
///
/// * The callback may call any function that does not wait, including `elector_free`. Functions that wait
///   return IN_CALLBACK.
/// * It must return normally: no exception, `longjmp` or `pthread_exit` may leave it.
/// * All signals are blocked in it, and in programs that it starts, unless they are unblocked there.
/// * In a child process that it forks, the rest of the callback counts as ordinary code.
/// * It is not called any more once `elector_free` has returned.
///
/// A slow callback, of changes or of the log, delays the callbacks of all electors. If ELECTED waits for half
/// a lease to be delivered, the term is no longer renewed and ends as STALLED. Once the callback has been
/// called with ELECTED, the term is renewed however long the callback takes.
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

/// Sets the function that is called for each line that this library logs, about any elector or store of the
/// process, while an elector that was created from these options exists. NULL removes it. The rules of
/// `elector_options_on_change` hold for it. If several electors have the same function with the same
/// `user_data`, it is called once for each line. While a callback is slow, at most 1000 lines wait: the
/// oldest are dropped, and a later line says how many.
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
