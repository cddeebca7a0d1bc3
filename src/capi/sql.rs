//! The statements, for hosts of the pure machine.

use std::ffi::c_char;

use super::boundary::value;
use super::text;
use crate::core::sql::postgres::{IdType, Table};
use crate::core::sql::sqlite;

/// A database's kind of SQL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub enum elector_dialect {
    /// PostgreSQL 13 or newer.
    Postgres = 1,
    /// SQLite 3.37 or newer.
    Sqlite = 2,
}

/// A statement of a store, for a table as CREATE_TABLE makes it. (The ids in a table that
/// `nest-leader-election` made are integers; only `elector_new` serves that.)
///
/// PostgreSQL: the parameters of LOOK, ACQUIRE, RENEW and RELEASE are arrays with an element for each
/// election, if not said otherwise. There is a row for each element, in any order: `ord` says which one, from
/// 1; `now_us` and `timeline` are the store's clock. A row of the table is in `leader_id, token, lease_ms,
/// meta, expires_us, remaining_us`, null where there is none.
///
/// SQLite: the parameters are single values. "Boot" is a time in microseconds on a clock that starts with the
/// machine, "wall" one since 1970, "boot id" any text that names this start of the machine. Decide by boot in
/// a row of this boot, by wall in others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub enum elector_statement {
    /// Makes the table. PostgreSQL: several statements, to be run in one transaction by its owner.
    CreateTable = 1,
    /// Reads rows: $1 text elections; a row of the table. SQLite, one row: ?1 election, ?2 boot id; columns
    /// holder, token, expiry boot, expiry wall, lease ms, whether it is of this boot, lock, meta, begin wall,
    /// election.
    Look = 2,
    /// Takes rows that are absent or have expired: $1 text elections, $2 text holders, $3 text metas, $4
    /// bigint leases in ms, $5 text `any`, `absent`, or `same` with $6 bigint token and $7 bigint expiry in
    /// us; a row of the table as it was, and `granted`, the new token or null. SQLite: takes a row that may
    /// be taken; look before, in the same `BEGIN IMMEDIATE` transaction. ?1 election, ?2 holder, ?3 token:
    /// the larger of the row's + 1 and now wall; ?4 expiry boot, ?5 expiry wall, ?6 now wall, ?7 lease ms,
    /// ?8 boot id, ?9 null, ?10 meta.
    Acquire = 3,
    /// Extends leases: $1 text elections, $2 text holders, $3 bigint tokens, $4 bigint leases in ms;
    /// `renewed`, and `busy`: somebody else has locked the row, try again. Neither: lost. SQLite: ?1
    /// election, ?2 holder, ?3 token, ?4 expiry boot, ?5 expiry wall, ?6 lease ms, ?7 boot id, ?8 now boot,
    /// ?9 now wall; one row is changed, or none if it is lost.
    Renew = 4,
    /// Ends leases, and notifies: $1 text elections, $2 text holders, $3 bigint tokens, $4 one text, the
    /// schema; `busy`. SQLite: ?1 election, ?2 holder, ?3 token, ?4 now boot, ?5 now wall, ?6 boot id.
    Release = 5,
    /// Deletes rows that have been dead for a minute. PostgreSQL only: two statements, to be sent as one text
    /// without parameters; `deleted`.
    CleanUp = 6,
    /// Checks a term and holds its row in the caller's transaction. PostgreSQL only: $1 text election, $2
    /// text holder, $3 bigint token, single values; one row while the term lasts, else none or an error. What
    /// is said of `elector_guard_sql` holds for it.
    Guard = 7,
}

/// Writes a statement of a store. `statement` is one of `enum elector_statement`, `dialect` one of
/// `enum elector_dialect`; `schema` is that of the table in PostgreSQL, NULL for "public".
///
/// Returns its length without its NUL, and writes "" if it does not fit: a statement that is cut is none. 0:
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
