//! The statements, for hosts of the pure machine.

use std::ffi::c_char;

use super::boundary::value;
use super::text;
use crate::core::sql::postgres::{IdType, Table};
use crate::core::sql::sqlite;

/// The SQL dialect of a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub enum elector_dialect {
    /// PostgreSQL 13 or newer.
    Postgres = 1,
    /// SQLite 3.37 or newer.
    Sqlite = 2,
}

/// A statement for a table as CREATE_TABLE creates it. Only `elector_new` supports the table of
/// `nest-leader-election`, whose ids are integers.
///
/// PostgreSQL: each parameter of LOOK, ACQUIRE, RENEW and RELEASE is an array with one element for each
/// election, unless its comment says otherwise. The result has one row for each element, in any order, with
/// these columns: `ord`, the element's number from 1; `now_us` and `timeline`, the store's clock; and those
/// that the statement's comment names. "The row's columns" are `leader_id, token, lease_ms, meta, expires_us,
/// remaining_us`; they are null if there is no row.
///
/// SQLite: each parameter is a single value. "Boot time" is in microseconds on a clock that starts with the
/// machine, "wall time" in microseconds since 1970. The "boot id" is any text that identifies this start of
/// the machine. Whether a row has expired is decided by boot time if the row has this boot id, otherwise by
/// wall time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub enum elector_statement {
    /// Creates the table. PostgreSQL: several statements, to be run in one transaction by the table's owner.
    /// SQLite: to be run in one write transaction.
    CreateTable = 1,
    /// Reads rows.
    ///
    /// PostgreSQL: $1 text[] elections. Returns the row's columns.
    ///
    /// SQLite: ?1 election, ?2 boot id. Returns one row, or none: holder, token, expiry in boot time, expiry
    /// in wall time, lease in ms, whether the row has this boot id, lock, meta, start of the term in wall
    /// time, election.
    Look = 2,
    /// Takes rows that are absent or have expired.
    ///
    /// PostgreSQL: $1 text[] elections, $2 text[] holders, $3 text[] metas, $4 bigint[] leases in ms, $5
    /// text[] conditions: `any`, `absent`, or `same` with $6 bigint[] tokens and $7 bigint[] expiries in us.
    /// Returns the row's columns as they were, and `granted`: the new token, or null if the row was not
    /// taken.
    ///
    /// SQLite: takes the row without checking that it is free. Run LOOK before, in the same `BEGIN IMMEDIATE`
    /// transaction, and check: otherwise two leaders are possible. ?1 election, ?2 holder, ?3 token: the
    /// larger of the row's token + 1 and the wall time; ?4 expiry in boot time, ?5 expiry in wall time, ?6
    /// wall time, ?7 lease in ms, ?8 boot id, ?9 null, ?10 meta.
    Acquire = 3,
    /// Extends leases.
    ///
    /// PostgreSQL: $1 text[] elections, $2 text[] holders, $3 bigint[] tokens, $4 bigint[] leases in ms.
    /// Returns `renewed`, and `busy`: the row is locked by another transaction, so try again. If both are
    /// false, the lease is lost.
    ///
    /// SQLite: ?1 election, ?2 holder, ?3 token, ?4 expiry in boot time, ?5 expiry in wall time, ?6 lease in
    /// ms, ?7 boot id, ?8 boot time, ?9 wall time. Changes one row; none if the lease is lost.
    Renew = 4,
    /// Ends leases, and notifies listening candidates (PostgreSQL).
    ///
    /// PostgreSQL: $1 text[] elections, $2 text[] holders, $3 bigint[] tokens, $4 text, one value: the
    /// schema. Returns `busy`: the row is locked by another transaction, so try again.
    ///
    /// SQLite: ?1 election, ?2 holder, ?3 token, ?4 boot time, ?5 wall time, ?6 boot id.
    Release = 5,
    /// Deletes rows that expired more than a minute ago. PostgreSQL only: two statements without parameters,
    /// to be sent as one text. The second returns `deleted`, the number of deleted rows.
    CleanUp = 6,
    /// Checks a term, and holds its row until the caller's transaction ends. PostgreSQL only: $1 text
    /// election, $2 text holder, $3 bigint token; single values. Returns one row while the term lasts,
    /// otherwise none or an error. The comment of `elector_guard_sql` says how to use it.
    Guard = 7,
}

/// Writes a statement of a store. `statement` is one of `enum elector_statement`, `dialect` one of `enum
/// elector_dialect`. `schema` is the PostgreSQL schema of the table; NULL: "public".
///
/// Returns the statement's length without its NUL, and writes "" if the statement does not fit. Returns 0 if
/// there is no such statement, or the schema is not UTF-8. Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn elector_sql(
    statement: i32,
    dialect: i32,
    schema: *const c_char,
    buffer: *mut c_char,
    capacity: usize,
) -> usize {
    // SAFETY: the caller keeps the conventions.
    value(0, || unsafe {
        text::write(buffer, capacity, &[""]);
        let schema = text::optional(schema, "the schema").ok()?.unwrap_or("public");
        Some(text::write_whole(buffer, capacity, &written(statement, dialect, schema)?))
    })
}

fn written(statement: i32, dialect: i32, schema: &str) -> Option<String> {
    use elector_statement as Of;
    let all = [Of::CreateTable, Of::Look, Of::Acquire, Of::Renew, Of::Release, Of::CleanUp, Of::Guard];
    let statement = all.into_iter().find(|known| *known as i32 == statement)?;
    if dialect == elector_dialect::Postgres as i32 {
        let table = Table::new(schema, IdType::Text);
        return Some(match statement {
            Of::CreateTable => Table::migrate(schema),
            Of::Look => table.look(),
            Of::Acquire => table.acquire(),
            Of::Renew => table.renew(),
            Of::Release => table.release(),
            Of::CleanUp => table.clean_up(),
            Of::Guard => table.guard(),
        });
    }
    let text = match statement {
        Of::CreateTable => sqlite::INITIALIZE,
        Of::Look => sqlite::SELECT,
        Of::Acquire => sqlite::TAKE,
        Of::Renew => sqlite::RENEW,
        Of::Release => sqlite::RELEASE,
        Of::CleanUp | Of::Guard => return None,
    };
    (dialect == elector_dialect::Sqlite as i32).then(|| text.to_owned())
}
