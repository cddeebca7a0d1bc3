//! The statements for SQLite behind a client that has no transactions (Cloudflare D1, libSQL over HTTP) or
//! no kernel to ask (Durable Objects): each decides by itself, by the clock of the machine that the database
//! is on. SQLite 3.38 or newer.
//!
//! The table is that of [`super::sqlite`], and such rows stand beside those of the native store: their
//! `boot_id` is [`BOOT`], which is no boot's, so everybody judges them by `expires_wall`. Rows of the native
//! store are judged by `expires_wall` here, whoever may have died meanwhile.
//!
//! Each statement has one parameter, a JSON array of objects with any number of elections, is atomic by
//! itself, and answers a row for each element that it did something for. Numbers in the JSON are exact:
//! tokens stay below 2⁵³, and so do microseconds since 1970 until the year 2255. Those of the clean-up have
//! no parameter.

use alloc::format;
use alloc::string::String;

use super::sqlite::FLOOR_ID;
use crate::core::FencingToken;
use crate::core::table::{CLEAN_UP_AT_ONCE, DEAD_FOR};

/// The `boot_id` of rows that no boot clock judges.
pub const BOOT: &str = "wall";

/// Microseconds since 1970. One value within a statement; the clock has whole milliseconds.
const NOW: &str = "CAST(round((julianday('now') - 2440587.5) * 86400000.0) AS INTEGER) * 1000";

/// Makes the table where there is none, and changes nothing else in the database, which may be the
/// application's own.
#[must_use]
pub fn create_table() -> String {
    let statements = super::sqlite::INITIALIZE;
    let table = statements.split(";\n").next().unwrap_or(statements);
    table.replacen("CREATE TABLE", "CREATE TABLE IF NOT EXISTS", 1)
}

/// Reads rows. `? [{"id"}]`. Answers `ord` from 0 on, `now_us`, and the row's `leader_id, token, expires_us,
/// remaining_us, lease_ms, meta`, all null where there is none.
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
/// Answers `id, leader_id, token, now_us` of what was granted.
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

/// Extends leases. `? [{"id", "holder", "token", "lease_ms"}]`. Answers `id, leader_id, token, now_us` of
/// what was extended; the rest is lost for good.
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

/// Leaves tombstones that keep their tokens. `? [{"id", "holder", "token"}]`. Answers `id, token, now_us`
/// of what was released.
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

/// What a clean-up may remove: rows of this store that have been dead for [`DEAD_FOR`]. A row whose token no
/// clock gave stays, since it may be unable to grow: as the floor it would end all elections, not only its
/// own.
fn dead() -> String {
    const HALF: u64 = FencingToken::MAX.get() / 2;
    let dead_for_us = DEAD_FOR.as_micros();
    format!(
        "id <> '{FLOOR_ID}' AND boot_id = '{BOOT}' AND token <= {HALF}
   AND expires_wall <= {NOW} - {dead_for_us}"
    )
}

/// Raises the floor of tokens to those of the rows that [`clean_up`] may remove then. Answers the floor as
/// `token`, or no row if there is nothing to remove.
///
/// No statement here can do both, and there are no transactions: so this is first, and the other removes
/// only what the floor covers, whatever happened in between.
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

/// Removes rows that have been dead for [`DEAD_FOR`], at most [`CLEAN_UP_AT_ONCE`], and only those whose
/// tokens the floor covers.
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
