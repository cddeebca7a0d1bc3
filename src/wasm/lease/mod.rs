//! The lease machine for JavaScript: the machine as a class, the rules of its batches, the table of its
//! memory store, the SQL of the other stores, and verdicts on PostgreSQL's table and errors.

mod batch;
mod judged;
mod machine;
mod output;
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
pub use output::{LeaderObject, LeadershipObject, OutputObject};
pub use reply::{ReplyObject, RowObject};
pub use sql::{IdTypeName, PostgresStatementName, SqliteStatementName, postgres_sql, sqlite_sql};
pub use table::{MemoryTable, OutcomeObject};

#[wasm_bindgen(typescript_custom_section)]
const TYPES: &str = include_str!("types.d.ts");
