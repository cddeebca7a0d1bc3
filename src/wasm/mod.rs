//! The pure core for JavaScript: the lease machine as a class, the rules of its batches, the table of its
//! memory store, the SQL of the other stores, and verdicts on PostgreSQL's table and errors.
//!
//! `bindings/js/scripts/build.mjs` builds it for `wasm32-unknown-unknown`, as the npm package `elector-wasm`.
//! It contains no clock, timer, socket or random source: the host passes times in as milliseconds on its own
//! clock, and seeds as `bigint`.
//!
//! A panic becomes a JavaScript exception with the panic's message. The machine that panicked stays locked
//! and answers every further call with an exception: its candidate must not lead any more.

mod batch;
mod judged;
mod machine;
mod object;
mod reply;
mod sql;
mod table;

use wasm_bindgen::prelude::wasm_bindgen;

pub use batch::{LimitsObject, OpName, RequestObject, limits, urgency, waited_for_ms};
pub use judged::{
    ColumnRow, FailureName, TableVerdictObject, busy_row, election_refusal, encoding_lacks,
    explain_postgres_error, judge_table, lacks_character, postgres_failure, suggests_changed_table,
};
pub use machine::{Machine, MachineOptions};
pub use object::{LeaderObject, LeadershipObject, OutputObject};
pub use reply::{ReplyObject, RowObject};
pub use sql::{IdTypeName, PostgresStatementName, SqliteStatementName, postgres_sql, sqlite_sql};
pub use table::{MemoryTable, OutcomeObject};

#[wasm_bindgen(typescript_custom_section)]
const TYPES: &str = include_str!("types.d.ts");

/// Turns panics into exceptions. Runs when the module is instantiated.
#[cfg(target_arch = "wasm32")]
#[wasm_bindgen(start)]
fn start() {
    std::panic::set_hook(Box::new(|panic| {
        let payload = panic.payload();
        let text = payload.downcast_ref::<&str>().copied();
        let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
        let message = ["the lease machine panicked: ", text.unwrap_or("no message")].concat();
        wasm_bindgen::throw_str(&message);
    }));
}
