//! The statements for SQLite behind a client without transactions (Cloudflare D1, libSQL over HTTP) or
//! without access to the kernel (Durable Objects). Each statement decides by itself, by the clock of the
//! machine that the database runs on. SQLite 3.38 or newer.
//!
//! The table is that of [`super::sqlite`] and may hold rows of both stores. A row of this store has
//! [`BOOT`] as `boot_id`, which is the id of no boot, so both stores judge it by `expires_wall`. This store
//! also judges rows of the native store by `expires_wall`; it cannot notice that their process has died.
//!
//! Each statement has one parameter, a JSON array with one object per election. It is atomic by itself, and
//! returns a row for each element that it did something for. Numbers in the JSON are exact: tokens stay below
//! 2⁵³, and so do microseconds since 1970 until the year 2255. The statements of the clean-up have no
//! parameter.

use alloc::format;
use alloc::string::String;

use super::sqlite::FLOOR_ID;
use crate::core::FencingToken;
use crate::core::table::{CLEAN_UP_AT_ONCE, DEAD_FOR};

/// The `boot_id` of rows whose expiry counts on the wall clock only.
pub const BOOT: &str = "wall";

/// Microseconds since 1970, the same value throughout a statement. The clock counts whole milliseconds.
const NOW: &str = "CAST(round((julianday('now') - 2440587.5) * 86400000.0) AS INTEGER) * 1000";

/// Creates the table if it does not exist. It changes nothing else in the database, which may belong to the
/// application.
#[must_use]
pub fn create_table() -> String {
    let statements = super::sqlite::INITIALIZE;
    let table = statements.split(";\n").next().unwrap_or(statements);
    table.replacen("CREATE TABLE", "CREATE TABLE IF NOT EXISTS", 1)
}

/// Reads rows. `? [{"id"}]`. Returns `ord` from 0 on, `now_us`, and the row's `leader_id, token, expires_us,
/// remaining_us, lease_ms, meta`, all null if the row does not exist.
#[must_use]
pub fn look() -> String {
    format!(
        "WITH server AS MATERIALIZED (SELECT {NOW} AS now)
SELECT want.key AS ord, server.now AS now_us, l.leader_id, l.token, l.expires_wall AS expires_us,
       max(0, l.expires_wall - server.now) AS remaining_us, l.lease_ms, l.meta
  FROM json_each(?) AS want CROSS JOIN server
  LEFT JOIN leader_lease AS l ON l.id = want.value ->> 'id'
 ORDER BY ord"
    )
}

/// Takes rows that are absent or have expired. `? [{"id", "holder", "meta", "lease_ms", "condition", "token",
/// "expires_us"}]`, with a condition as in PostgreSQL: `any`, `absent`, or `same` with token and expiry.
/// Returns `id, leader_id, token, now_us` of every granted row.
#[must_use]
pub fn acquire() -> String {
    const MAX: u64 = FencingToken::MAX.get();
    format!(
        "WITH server AS MATERIALIZED (SELECT {NOW} AS now),
want AS MATERIALIZED (
    SELECT value ->> 'id' AS id, value ->> 'holder' AS holder, value ->> 'meta' AS meta,
           value ->> 'lease_ms' AS lease_ms, value ->> 'condition' AS condition,
           value ->> 'token' AS token, value ->> 'expires_us' AS expires_us
      FROM json_each(?)
)
INSERT INTO leader_lease
    (id, leader_id, token, expires_at, expires_wall, created_at, lease_ms, boot_id, process_lock, meta)
SELECT want.id, want.holder,
       max(coalesce(l.token, (SELECT token FROM leader_lease WHERE id = '{FLOOR_ID}'), 0) + 1, server.now),
       server.now + want.lease_ms * 1000, server.now + want.lease_ms * 1000, server.now, want.lease_ms,
       '{BOOT}', NULL, want.meta
  FROM want CROSS JOIN server LEFT JOIN leader_lease AS l ON l.id = want.id
 WHERE CASE WHEN l.id IS NULL THEN want.condition IN ('any', 'absent')
            ELSE l.expires_wall <= server.now AND l.token < {MAX}
                 AND (want.condition = 'any' OR (want.condition = 'same' AND l.token IS want.token
                      AND l.expires_wall = want.expires_us)) END
ON CONFLICT (id) DO UPDATE SET
    leader_id = excluded.leader_id, token = excluded.token, expires_at = excluded.expires_at,
    expires_wall = excluded.expires_wall, created_at = excluded.created_at, lease_ms = excluded.lease_ms,
    boot_id = excluded.boot_id, process_lock = excluded.process_lock, meta = excluded.meta
 WHERE leader_lease.expires_wall <= excluded.created_at
RETURNING id, leader_id, token, created_at AS now_us"
    )
}

/// Extends leases. `? [{"id", "holder", "token", "lease_ms"}]`. Returns `id, leader_id, token, now_us` of
/// every extended row. The other leases are lost for good.
#[must_use]
pub fn renew() -> String {
    format!(
        "UPDATE leader_lease
   SET expires_at = {NOW} + want.lease_ms * 1000, expires_wall = {NOW} + want.lease_ms * 1000,
       lease_ms = want.lease_ms, boot_id = '{BOOT}'
  FROM (SELECT value ->> 'id' AS id, value ->> 'holder' AS holder, value ->> 'token' AS token,
               value ->> 'lease_ms' AS lease_ms FROM json_each(?)) AS want
 WHERE leader_lease.id = want.id AND leader_lease.leader_id = want.holder
   AND leader_lease.token = want.token AND leader_lease.expires_wall > {NOW}
RETURNING id, leader_id, token, expires_wall - lease_ms * 1000 AS now_us"
    )
}

/// Releases leases. The rows stay without holders and keep their tokens. `? [{"id", "holder", "token"}]`.
/// Returns `id, token, now_us` of every released row.
#[must_use]
pub fn release() -> String {
    format!(
        "UPDATE leader_lease
   SET leader_id = '', expires_at = {NOW}, expires_wall = {NOW}, boot_id = '{BOOT}', process_lock = NULL,
       meta = NULL
  FROM (SELECT value ->> 'id' AS id, value ->> 'holder' AS holder, value ->> 'token' AS token
          FROM json_each(?)) AS want
 WHERE leader_lease.id = want.id AND leader_lease.leader_id = want.holder
   AND leader_lease.token = want.token
RETURNING id, token, expires_wall AS now_us"
    )
}

/// The rows that a clean-up may delete: rows of this store that have been dead for [`DEAD_FOR`]. A row whose
/// token is above half of the range stays. Such a token did not come from a clock, and may have no larger
/// token: as the floor it would end all elections, not only its own.
fn dead() -> String {
    const HALF: u64 = FencingToken::MAX.get() / 2;
    let dead_for_us = DEAD_FOR.as_micros();
    format!(
        "id <> '{FLOOR_ID}' AND boot_id = '{BOOT}' AND token <= {HALF}
   AND expires_wall <= {NOW} - {dead_for_us}"
    )
}

/// Raises the floor to the largest token of the rows that [`clean_up`] may delete afterwards. Returns the
/// floor as `token`, or no row if there is nothing to delete.
///
/// One statement cannot both raise the floor and delete, and there are no transactions. So this statement
/// runs first, and [`clean_up`] deletes only rows whose tokens the floor covers, whatever happened in
/// between.
#[must_use]
pub fn raise_floor() -> String {
    let dead = dead();
    format!(
        "INSERT INTO leader_lease (id, leader_id, token, expires_at, expires_wall, created_at, boot_id)
SELECT '{FLOOR_ID}', '', dead.token, 0, 0, {NOW}, ''
  FROM (SELECT max(token) AS token FROM leader_lease WHERE {dead}) AS dead
 WHERE dead.token IS NOT NULL
ON CONFLICT (id) DO UPDATE SET token = max(leader_lease.token, excluded.token)
RETURNING token"
    )
}

/// Deletes rows that have been dead for [`DEAD_FOR`], at most [`CLEAN_UP_AT_ONCE`]. It deletes only rows
/// whose tokens the floor covers: run [`raise_floor`] first.
#[must_use]
pub fn clean_up() -> String {
    let dead = dead();
    format!(
        "DELETE FROM leader_lease WHERE id IN (
    SELECT id FROM leader_lease
     WHERE {dead}
       AND token <= (SELECT token FROM leader_lease WHERE id = '{FLOOR_ID}')
     LIMIT {CLEAN_UP_AT_ONCE})"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_the_native_stores_and_nothing_else_is_changed() {
        let text = create_table();
        assert!(
            text.starts_with("CREATE TABLE IF NOT EXISTS leader_lease (") && text.ends_with("WITHOUT ROWID")
        );
        assert!(!text.contains("PRAGMA"));
    }
}
