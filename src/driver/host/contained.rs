//! Calls code of others: wakers, and subscribers of `tracing` and `metrics`.

use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs it; `None` if it panicked. A fault of others, which the panic hook has told of by then, must not
/// cost a term, nor end a thread that keeps the terms of others.
pub(crate) fn run<T>(code: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(code)).ok()
}
