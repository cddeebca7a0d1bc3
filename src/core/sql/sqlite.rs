//! The statements for SQLite 3.37 or newer (`STRICT` tables).

/// `PRAGMA application_id` of Elector's files: "elec". A file with another id belongs to another program.
pub const APPLICATION_ID: i32 = 0x656c_6563;

/// `PRAGMA user_version` of Elector's files. A newer Elector wrote a file with a larger version.
pub const SCHEMA_VERSION: i32 = 1;

/// The id of the row that belongs to no election. It keeps the floor: the largest token among the rows that
/// clean-ups deleted, so that tokens grow even if the wall clock is set back. No election has an empty name.
pub const FLOOR_ID: &str = "";

/// Creates the table in a new file, and marks the file as Elector's. Run it in one write transaction.
pub const INITIALIZE: &str = "\
CREATE TABLE leader_lease (
    id           TEXT PRIMARY KEY,  -- the election
    leader_id    TEXT NOT NULL,     -- candidate#incarnation; empty: released or revoked
    token        INTEGER NOT NULL,  -- the fencing token; only grows
    expires_at   INTEGER NOT NULL,  -- microseconds on the boot clock of boot_id
    expires_wall INTEGER NOT NULL,  -- microseconds since 1970; decides only after a reboot
    created_at   INTEGER NOT NULL,  -- microseconds since 1970: start of the term
    lease_ms     INTEGER,           -- how long the holder's lease lasts
    boot_id      TEXT NOT NULL,     -- which boot of the machine expires_at counts from
    process_lock INTEGER,           -- the byte of the lock file that the holder's process keeps locked
    meta         TEXT               -- the holder's text for others
) STRICT, WITHOUT ROWID;
PRAGMA application_id = 1701602659;
PRAGMA user_version = 1;
";

/// Whether the file holds any table: one row, 0 or 1.
pub const HAS_TABLES: &str = "SELECT EXISTS (SELECT 1 FROM sqlite_schema)";

/// Turns write-ahead logging on; the file keeps the setting. Returns one row: `wal` if it succeeded.
pub const WRITE_AHEAD: &str = "PRAGMA journal_mode = WAL";

/// From now on a transaction is on disk when its commit returns. For grants: their tokens must not be lost.
pub const DURABLE: &str = "PRAGMA synchronous = FULL";

/// From now on a crash of the machine (not only of the process) may lose a committed transaction. For
/// renewals and releases: such a crash also ends every holder.
pub const VOLATILE: &str = "PRAGMA synchronous = NORMAL";

/// The row of one election. ?1 id, ?2 id of this boot. The sixth column says whether the row's expiry counts
/// on the clock of this boot.
pub const SELECT: &str = "\
SELECT leader_id, token, expires_at, expires_wall, lease_ms, boot_id = ?2, process_lock, meta, created_at, id
  FROM leader_lease WHERE id = ?1";

/// The rows of all elections by name, columns as in [`SELECT`]. ?1 [`FLOOR_ID`], ?2 id of this boot.
pub const SELECT_ALL: &str = "\
SELECT leader_id, token, expires_at, expires_wall, lease_ms, boot_id = ?2, process_lock, meta, created_at, id
  FROM leader_lease WHERE id <> ?1 ORDER BY id";

/// Takes a row that may be taken, or inserts it. ?1 id, ?2 holder, ?3 token, ?4 expiry on the boot clock,
/// ?5 expiry on the wall clock, ?6 now on the wall clock, ?7 lease in ms, ?8 boot id, ?9 lock, ?10 meta.
pub const TAKE: &str = "\
INSERT INTO leader_lease
    (id, leader_id, token, expires_at, expires_wall, created_at, lease_ms, boot_id, process_lock, meta)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)
ON CONFLICT (id) DO UPDATE SET
    leader_id = excluded.leader_id, token = excluded.token, expires_at = excluded.expires_at,
    expires_wall = excluded.expires_wall, created_at = excluded.created_at, lease_ms = excluded.lease_ms,
    boot_id = excluded.boot_id, process_lock = excluded.process_lock, meta = excluded.meta";

/// Extends an unexpired lease of this holder and token. Changes one row, or none if the lease is lost.
/// ?1 id, ?2 holder, ?3 token, ?4 new expiry on the boot clock, ?5 on the wall clock, ?6 lease in ms,
/// ?7 boot id, ?8 now on the boot clock, ?9 now on the wall clock.
pub const RENEW: &str = "\
UPDATE leader_lease SET expires_at = ?4, expires_wall = ?5, lease_ms = ?6, boot_id = ?7
 WHERE id = ?1 AND leader_id = ?2 AND token = ?3
   AND CASE WHEN boot_id = ?7 THEN expires_at > ?8 ELSE expires_wall > ?9 END";

/// Releases the lease of this holder and token. The row stays: without holder, just expired, with its token.
/// ?1 id, ?2 holder, ?3 token, ?4 now on the boot clock, ?5 now on the wall clock, ?6 boot id.
pub const RELEASE: &str = "\
UPDATE leader_lease SET leader_id = '', expires_at = ?4, expires_wall = ?5, boot_id = ?6,
       process_lock = NULL, meta = NULL
 WHERE id = ?1 AND leader_id = ?2 AND token = ?3";

/// Revokes a term. The row stays without holder and with a larger token, and blocks the election until the
/// lease expires (or its process has ended).
/// ?1 id, ?2 new token, ?3 expiry on the boot clock, ?4 on the wall clock, ?5 boot id.
pub const REVOKE: &str = "\
UPDATE leader_lease SET leader_id = '', token = ?2, expires_at = ?3, expires_wall = ?4, boot_id = ?5,
       meta = NULL
 WHERE id = ?1";

/// The ids and tokens of rows that a clean-up may delete. ?1 [`FLOOR_ID`], ?2 boot id, ?3 the latest expiry
/// of such a row on the boot clock, ?4 on the wall clock, ?5 maximum number of rows.
pub const SELECT_DEAD: &str = "\
SELECT id, token FROM leader_lease
 WHERE id <> ?1 AND CASE WHEN boot_id = ?2 THEN expires_at <= ?3 ELSE expires_wall <= ?4 END
 LIMIT ?5";

/// Deletes one row. ?1 id.
pub const DELETE: &str = "DELETE FROM leader_lease WHERE id = ?1";

/// Raises the floor of tokens. ?1 [`FLOOR_ID`], ?2 token, ?3 now on the wall clock.
pub const RAISE_FLOOR: &str = "\
INSERT INTO leader_lease (id, leader_id, token, expires_at, expires_wall, created_at, boot_id)
VALUES (?1, '', ?2, 0, 0, ?3, '')
ON CONFLICT (id) DO UPDATE SET token = max(token, excluded.token)";

/// The floor of tokens. ?1 [`FLOOR_ID`].
pub const FLOOR: &str = "SELECT token FROM leader_lease WHERE id = ?1";

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;

    #[test]
    fn the_script_sets_the_documented_numbers() {
        assert!(INITIALIZE.contains(&format!("application_id = {APPLICATION_ID};")));
        assert!(INITIALIZE.contains(&format!("user_version = {SCHEMA_VERSION};")));
    }
}
