//! Calls code of other crates whose panics must stay contained: wakers, and subscribers of `tracing` and
//! `metrics`.

use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs `code`; returns `None` if it panicked. The panic hook has reported the panic by then. It must neither
/// cost a term nor end a thread that renews the terms of other electors.
pub(crate) fn run<T>(code: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(code)).ok()
}
