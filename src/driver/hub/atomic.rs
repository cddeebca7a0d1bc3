//! The atomics of [`super::view`], which a test replaces by those of a model checker.

pub(super) use std::sync::atomic::{AtomicU64, Ordering};
