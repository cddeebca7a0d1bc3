//! The C ABI. `include/elector.h` is generated from here; its first comment states the conventions.
//!
//! Every function is `unsafe` because it takes pointers: those conventions and the comment above each
//! function state what a caller must ensure. No panic leaves this module: `boundary.rs` turns it into a
//! status.

#![allow(non_camel_case_types, reason = "these are the names in C")]
#![allow(clippy::missing_safety_doc, reason = "the header states the conventions once")]

mod boundary;
#[cfg(feature = "driver")]
mod callbacks;
#[cfg(feature = "driver")]
mod change;
#[cfg(feature = "driver")]
mod handle;
#[cfg(feature = "driver")]
mod history;
mod leadership;
mod lease;
#[cfg(feature = "driver")]
mod log;
mod options;
#[cfg(feature = "driver")]
mod questions;
mod sql;
mod status;
mod text;
mod version;

pub use self::leadership::{elector_event, elector_leadership, elector_reason};
pub use self::lease::{
    elector_input, elector_input_kind, elector_lease, elector_lease_free, elector_lease_input,
    elector_lease_leadership, elector_lease_new, elector_lease_poll, elector_op, elector_outcome,
    elector_output, elector_output_kind, elector_unchanged,
};
pub use self::options::*;
pub use self::sql::{elector_dialect, elector_sql, elector_statement};
pub use self::status::{elector_error, elector_status, elector_status_name};
pub use self::version::{ELECTOR_ABI_VERSION, elector_abi_version, elector_version};
#[cfg(feature = "driver")]
pub use self::{
    change::elector_change,
    handle::{
        elector, elector_alive, elector_campaign, elector_connect, elector_drain, elector_drain_for,
        elector_drained, elector_free, elector_new, elector_release,
    },
    questions::{
        elector_am_i_leader, elector_get_change, elector_get_leadership, elector_get_view, elector_guard_sql,
        elector_last_error, elector_leader, elector_now_ns, elector_token, elector_view, elector_wait,
        elector_wait_any, elector_wake,
    },
};
