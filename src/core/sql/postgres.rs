//! The statements for PostgreSQL 13 or newer.
//!
//! Each is one round trip for any number of elections: arrays in, one row out per element, with its
//! number in the arrays. Each is atomic by itself, needs no surrounding transaction, and works on
//! prepared and unnamed statements.
//!
//! # Rules that every statement keeps
//! * Whether a lease has ended is asked of `clock_timestamp()`, never of `now()`, which stands still in a
//!   transaction. A new lease counts from the start of its statement.
//! * `acquire` locks with `FOR UPDATE SKIP LOCKED`: it takes no row that a guarded transaction holds with
//!   `FOR KEY SHARE`, and racing candidates never queue. Renewals change no key column and lock with `FOR NO
//!   KEY UPDATE SKIP LOCKED`, so guards never block them, and a row that somebody else has locked costs the
//!   other elections of its batch nothing.
//! * A statement that changes nothing writes nothing: no WAL, no transaction id.
//! * None is quadratic, whatever the server guesses: it plans a prepared statement for arrays of a few
//!   elements, and then joins what it thinks small by a loop in a loop. So nothing but the table itself, by
//!   its key, is joined to the arrays: each step hands on all that the next one needs, and what came of it
//!   is found by a hash or a sort.
//! * Every write names the token that it acts on, so one that arrives late changes nothing.
//!
//! Every answer carries `now_us`, the server's clock in microseconds since 1970, and `timeline`, which
//! changes when a standby is promoted. The latter fails on a standby, so that a demoted primary is
//! noticed even by a look.

use alloc::format;
use alloc::string::String;

use crate::core::table::{CLEAN_UP_AT_ONCE, CLEAN_UP_WITHIN, DEAD_FOR, PEER_LEASE};
use crate::core::{FencingToken, Name};

mod id_type;
pub mod judged;
mod shape;

pub use id_type::IdType;

/// The channel on which a release is told. The payload is `schema/election`.
pub const CHANNEL: &str = "elector";

/// Takes the advisory lock under which tables are made and altered, until the transaction ends. The number is
/// "elector" in ASCII.
pub const DDL_LOCK: &str = "SELECT pg_advisory_xact_lock(28548155363848050)";

/// Has the commit of this transaction wait until it is on the disk, whatever the server's default is: a
/// renewal that was forgotten in a crash would let a lease end too early. It ends with the transaction.
pub const DURABLE: &str = "\
CASE WHEN current_setting('synchronous_commit') IN ('off', 'local', 'remote_write')
                THEN set_config('synchronous_commit', 'on', true) END";

/// Has this transaction wait for a lock no longer than half a second, where nothing else bounds that: behind
/// a pooler the session's own limits cannot be set. It ends with the transaction.
const BOUNDED: &str = "\
CASE WHEN current_setting('lock_timeout') = '0' THEN set_config('lock_timeout', '500ms', true) END";

/// The server's timeline; it fails on a standby. Aurora has no WAL of its own to name, and its replicas share
/// the primary's storage, so nothing that was committed is lost by a fail-over there.
const TIMELINE: &str = "\
CASE WHEN to_regproc('pg_catalog.aurora_version') IS NOT NULL THEN 0 ELSE
           ('x' || substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8))::bit(32)::bigint END";

/// The server's clock and timeline, evaluated once, a durable commit, and bounded waits.
fn server() -> String {
    format!(
        "server AS MATERIALIZED (
    SELECT clock_timestamp() AS now, {DURABLE} AS durable, {BOUNDED} AS bounded,
           {TIMELINE} AS timeline
)"
    )
}

/// The server's clock alone, in microseconds since 1970.
pub const SERVER_CLOCK: &str = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint";

/// When the row `l` expires, as a number can tell it: somebody may have written `infinity`.
const EXPIRES: &str = "\
CASE WHEN isfinite(l.expires_at) IS NOT FALSE THEN l.expires_at WHEN l.expires_at > server.now
            THEN timestamptz '9999-12-31 00:00:00+00' ELSE timestamptz '1970-01-01 00:00:00+00' END";

/// Columns of `l`, a row of the table, as every statement that shows rows names them. A meta text that is
/// longer than ours can be is another program's, and not sent with each look.
fn row() -> String {
    const MAX: usize = Name::MAX_TEXT_BYTES;
    format!(
        "l.leader_id, l.token, l.lease_ms, CASE WHEN octet_length(l.meta) <= {MAX} THEN l.meta END AS meta,
       (extract(epoch FROM {EXPIRES}) * 1000000)::bigint AS expires_us,
       greatest(0, (extract(epoch FROM {EXPIRES} - server.now) * 1000000)::bigint) AS remaining_us"
    )
}

/// The start of the term, which lies ahead once the server's clock was set back. Any end from `server.now`
/// on passes the row's own check against it, even in a table that keeps whole milliseconds only.
const STARTED: &str = "least(l.created_at, server.now - interval '1 millisecond')";

const CLOCK: &str = "\
(extract(epoch FROM server.now) * 1000000)::bigint AS now_us, server.timeline AS timeline";

/// Whether the server keeps a schema under this name: 1 to 63 bytes without NUL. A longer one would
/// silently be cut.
#[must_use]
pub fn is_schema(name: &str) -> bool {
    (1..=63).contains(&name.len()) && !name.contains('\0')
}

/// Quotes an identifier, whatever it holds.
///
/// ```
/// assert_eq!(elector::core::sql::postgres::quote_identifier("my \"schema"), "\"my \"\"schema\"");
/// ```
#[must_use]
pub fn quote_identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Quotes a string, whatever it holds, for texts that cannot take parameters.
#[must_use]
pub fn quote_literal(text: &str) -> String {
    let quoted = text.replace('\'', "''");
    if quoted.contains('\\') {
        format!(" E'{}'", quoted.replace('\\', "\\\\"))
    } else {
        format!("'{quoted}'")
    }
}

/// A `leader_lease` table: where it is and what its ids are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    name: String,
    id: IdType,
}

impl Table {
    /// The table in `schema`, which may be any identifier.
    #[must_use]
    pub fn new(schema: &str, id: IdType) -> Table {
        Table { name: format!("{}.leader_lease", quote_identifier(schema)), id }
    }

    /// The table's name, quoted.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The type of its ids.
    #[must_use]
    pub fn id_type(&self) -> IdType {
        self.id
    }

    /// Reads rows. `$1 text[]` elections.
    /// Answers `ord, now_us, timeline, leader_id, token, lease_ms, meta, expires_us, remaining_us`; the row's
    /// columns are null where there is none.
    #[must_use]
    pub fn look(&self) -> String {
        let (table, id, server, row) = (&self.name, self.id.sql(), server(), row());
        format!(
            "WITH {server}
SELECT want.ord, {CLOCK}, {row}
  FROM server, unnest($1::text[]) WITH ORDINALITY AS want(id, ord)
  LEFT JOIN {table} AS l ON l.id = want.id::{id}"
        )
    }

    /// Takes rows that are absent or have expired. `$1 text[]` elections, `$2 text[]` holders, `$3
    /// text[]` metas,
    /// `$4 bigint[]` leases in ms, `$5 text[]` conditions: `any`, `absent`, or `same` with `$6 bigint[]`
    /// token and `$7 bigint[]` expiry in µs that the row must still have.
    /// Answers as [`Table::look`], and `granted`: the new token, or null if the row was not taken; then
    /// the row is as it was when the statement began.
    #[must_use]
    pub fn acquire(&self) -> String {
        let (table, id, server, row) = (&self.name, self.id.sql(), server(), row());
        const MAX: u64 = FencingToken::MAX.get();
        format!(
            "WITH {server},
want AS MATERIALIZED (
    SELECT id::{id} AS id, holder, meta, lease_ms, condition, token, expires_us, ord
      FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::text[], $6::bigint[], $7::bigint[])
           WITH ORDINALITY AS want(id, holder, meta, lease_ms, condition, token, expires_us, ord)
),
free AS MATERIALIZED (
    SELECT l.id, want.holder, want.meta, want.lease_ms
      FROM server, want JOIN {table} AS l ON l.id = want.id
     WHERE l.expires_at <= server.now AND l.token < {MAX}
       AND (want.condition = 'any' OR (want.condition = 'same' AND l.token = want.token
            AND (extract(epoch FROM {EXPIRES}) * 1000000)::bigint = want.expires_us))
       FOR UPDATE OF l SKIP LOCKED
),
taken AS (
    UPDATE {table} AS l
       SET leader_id = free.holder, meta = free.meta, lease_ms = free.lease_ms,
           created_at = server.now,
           expires_at = server.now + free.lease_ms * interval '1 millisecond',
           token = greatest(l.token + 1, (extract(epoch FROM server.now) * 1000000)::bigint)
      FROM server, free
     WHERE l.id = free.id AND l.expires_at <= server.now
    RETURNING l.id, l.leader_id, l.token
),
made AS (
    INSERT INTO {table} AS l (id, leader_id, meta, lease_ms, created_at, expires_at, token)
    SELECT want.id, want.holder, want.meta, want.lease_ms, server.now,
           server.now + want.lease_ms * interval '1 millisecond',
           (extract(epoch FROM clock_timestamp()) * 1000000)::bigint
      FROM server, want
     WHERE want.condition IN ('any', 'absent') AND NOT EXISTS (SELECT FROM {table} AS l WHERE l.id = want.id)
     ORDER BY want.id
    ON CONFLICT (id) DO NOTHING
    RETURNING l.id, l.leader_id, l.token
),
told AS MATERIALIZED (
    SELECT id, ord, max(token) OVER (PARTITION BY id, holder) AS granted
      FROM (SELECT id, holder, ord, NULL::bigint AS token FROM want
            UNION ALL SELECT id, leader_id, NULL, token FROM taken
            UNION ALL SELECT id, leader_id, NULL, token FROM made) AS each
)
SELECT told.ord, {CLOCK}, {row}, told.granted
  FROM server, told
  LEFT JOIN {table} AS l ON l.id = told.id
 WHERE told.ord IS NOT NULL"
        )
    }

    /// Extends leases. `$1 text[]` elections, `$2 text[]` holders, `$3 bigint[]` tokens, `$4 bigint[]`
    /// leases in ms. Answers `ord, now_us, timeline, renewed, busy`. A busy row is locked by somebody else:
    /// nothing was done, and it may be tried again. What is neither is lost for good.
    ///
    /// The new expiry counts from the clock as it is once the row is locked. So a renewal that was held up
    /// cannot bring back an expiry that a later one has set. A term that began before the clock was set back
    /// begins anew, or no expiry of it would follow its start.
    #[must_use]
    pub fn renew(&self) -> String {
        let (table, id, server) = (&self.name, self.id.sql(), server());
        format!(
            "WITH {server},
want AS MATERIALIZED (
    SELECT id::{id} AS id, holder, token, lease_ms, ord
      FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[])
           WITH ORDINALITY AS want(id, holder, token, lease_ms, ord)
),
own AS MATERIALIZED (
    SELECT l.id, want.lease_ms, want.ord
      FROM server, want JOIN {table} AS l ON l.id = want.id
     WHERE l.token = want.token AND l.leader_id = want.holder AND l.expires_at > server.now
       FOR NO KEY UPDATE OF l SKIP LOCKED
),
done AS (
    UPDATE {table} AS l
       SET expires_at = clock_timestamp() + own.lease_ms * interval '1 millisecond', lease_ms = own.lease_ms,
           created_at = {STARTED}
      FROM server, own
     WHERE l.id = own.id AND l.expires_at > clock_timestamp()
    RETURNING own.ord
),
told AS MATERIALIZED (SELECT want.*, want.ord IN (SELECT ord FROM done) AS done FROM want)
SELECT told.ord, {CLOCK}, told.done AS renewed,
       NOT told.done AND EXISTS (
           SELECT FROM {table} AS l
            WHERE l.id = told.id AND l.token = told.token AND l.leader_id = told.holder
              AND l.expires_at > clock_timestamp()) AS busy
  FROM server, told"
        )
    }

    /// Ends leases and tells those who listen. A row of ours is left as a tombstone that keeps its token.
    /// In a table that `nest-leader-election` made it is deleted, since that never takes a row over; the
    /// next token is then larger by the clock. `$1 text[]` elections, `$2 text[]` holders,
    /// `$3 bigint[]` tokens, `$4 text` the schema. Answers `ord, now_us, timeline, busy`. A busy row is
    /// locked by somebody else, for a deletion also by a guard: it was not released yet.
    #[must_use]
    pub fn release(&self) -> String {
        let (table, id, server) = (&self.name, self.id.sql(), server());
        let (lock, change) = match self.id {
            IdType::Text => (
                "NO KEY UPDATE",
                format!(
                    "UPDATE {table} AS l
       SET leader_id = '', meta = NULL, created_at = {STARTED},
           expires_at = greatest(clock_timestamp(), server.now)
      FROM server, own"
                ),
            ),
            IdType::Integer | IdType::BigInt => ("UPDATE", format!("DELETE FROM {table} AS l USING own")),
        };
        format!(
            "WITH {server},
want AS MATERIALIZED (
    SELECT id::{id} AS id, holder, token, ord
      FROM unnest($1::text[], $2::text[], $3::bigint[]) WITH ORDINALITY AS want(id, holder, token, ord)
),
own AS MATERIALIZED (
    SELECT l.id, want.ord
      FROM server, want JOIN {table} AS l ON l.id = want.id
     WHERE l.token = want.token AND l.leader_id = want.holder
       FOR {lock} OF l SKIP LOCKED
),
done AS (
    {change}
     WHERE l.id = own.id
    RETURNING own.ord, pg_notify('{CHANNEL}', $4::text || '/' || l.id::text)
),
told AS MATERIALIZED (SELECT want.*, want.ord IN (SELECT ord FROM done) AS done FROM want)
SELECT told.ord, {CLOCK}, told.done AS released,
       NOT told.done AND EXISTS (
           SELECT FROM {table} AS l
            WHERE l.id = told.id AND l.token = told.token AND l.leader_id = told.holder) AS busy
  FROM server, told"
        )
    }

    /// Revokes a term: its holder fails the next renewal, and nobody takes over before the lease ends. A
    /// poisoned expiry, one that the row's own lease could not have set, is brought back to one lease from
    /// now. `$1 text` election, `$2 bigint` only this token (null: any), `$3 text` the schema. Answers the
    /// row as it was, but with the expiry that it has now, columns as [`Table::look`]; or nothing.
    ///
    /// An open guard does not hold it up: nobody is elected by it.
    #[must_use]
    pub fn revoke(&self) -> String {
        let (table, id, server, row) = (&self.name, self.id.sql(), server(), row());
        // As in `core::lease`: 1 % for the clocks, and the margin.
        let lease = format!("coalesce(l.lease_ms, {})", PEER_LEASE.as_millis());
        let furthest = format!("({lease} * 1.01 + greatest(250, {lease} / 15))");
        format!(
            "WITH {server},
old AS MATERIALIZED (
    SELECT l.*, l.expires_at > server.now + {furthest} * interval '1 millisecond' AS poisoned
      FROM server, {table} AS l
     WHERE l.id = $1::text::{id} AND l.expires_at > server.now AND l.token = coalesce($2::bigint, l.token)
       FOR NO KEY UPDATE OF l
),
done AS (
    UPDATE {table} AS l
       SET leader_id = '', meta = NULL, token = l.token + 1, created_at = {STARTED},
           expires_at = CASE WHEN old.poisoned THEN greatest(server.now,
               clock_timestamp() + {lease} * interval '1 millisecond') ELSE l.expires_at END
      FROM server, old WHERE l.id = old.id AND (old.leader_id <> '' OR old.poisoned)
    RETURNING l.id, l.expires_at, pg_notify('{CHANNEL}', $3::text || '/' || l.id::text) AS told
)
SELECT 1::bigint AS ord, {CLOCK}, {row}
  FROM server, (SELECT old.leader_id, old.token, old.lease_ms, old.meta, done.expires_at
                  FROM old JOIN done ON done.id = old.id) AS l"
        )
    }

    /// All rows, or one election's, for people. `$1 text` election or null. Answers as [`Table::look`],
    /// and `id` as text and `since_us`, the start of the term in microseconds since 1970.
    #[must_use]
    pub fn list(&self) -> String {
        let (table, id, server, row) = (&self.name, self.id.sql(), server(), row());
        format!(
            "WITH {server}
SELECT row_number() OVER (ORDER BY l.id) AS ord, {CLOCK}, {row},
       l.id::text AS id, (extract(epoch FROM l.created_at) * 1000000)::bigint AS since_us
  FROM server, {table} AS l
 WHERE $1::text IS NULL OR l.id = $1::text::{id}
 ORDER BY l.id"
        )
    }

    /// Deletes rows that have been dead for [`DEAD_FOR`], at most [`CLEAN_UP_AT_ONCE`], passing over those in
    /// use and those whose token is ahead of the clock, which alone keeps the next token larger. Two
    /// statements, to be sent together as one text: the first bounds the second by [`CLEAN_UP_WITHIN`]. The
    /// second answers `deleted`.
    #[must_use]
    pub fn clean_up(&self) -> String {
        let (delete, within_ms) = (self.clean_up_alone(), CLEAN_UP_WITHIN.as_millis());
        format!(
            "SELECT set_config('statement_timeout', '{within_ms}', true) FROM pg_settings
 WHERE name = 'statement_timeout' AND setting::bigint NOT BETWEEN 1 AND {within_ms};
{delete}"
        )
    }

    /// The second of these statements, for clients that send one at a time.
    #[must_use]
    pub fn clean_up_alone(&self) -> String {
        let (table, dead_for_s) = (&self.name, DEAD_FOR.as_secs());
        format!(
            "WITH dead AS MATERIALIZED (
    SELECT id FROM {table}
     WHERE expires_at < clock_timestamp() - {dead_for_s} * interval '1 second'
       AND token <= (extract(epoch FROM clock_timestamp()) * 1000000)::bigint
     LIMIT {CLEAN_UP_AT_ONCE} FOR UPDATE SKIP LOCKED
),
gone AS (DELETE FROM {table} AS l USING dead WHERE l.id = dead.id RETURNING 1)
SELECT count(*) AS deleted FROM gone"
        )
    }

    /// The guard: one row while this very term lasts, none once it is over. It keeps every other candidate
    /// from taking the row until the transaction has ended. `$1 text` election, `$2 text` holder, `$3
    /// bigint` token.
    ///
    /// Above READ COMMITTED it may read a snapshot in which a term that is over still lasts. Then the lock
    /// fails, since the row bears the mark of its update. VACUUM FULL and CLUSTER copy the rows without
    /// that mark, so there is no row either if the table was rewritten since the snapshot: the snapshot
    /// shows the file that the table had, `pg_relation_filenode` the one that it has, and the statement's
    /// own lock on the table keeps that from changing. A partitioned table has no file of its own, and
    /// never passes there.
    #[must_use]
    pub fn guard(&self) -> String {
        self.guard_with("$1::text", "$2::text", "$3::bigint")
    }

    /// The same with the values written in, for callers that cannot pass parameters.
    #[must_use]
    pub fn guard_text(&self, election: &str, holder: &str, token: u64) -> String {
        self.guard_with(&quote_literal(election), &quote_literal(holder), &format!("{token}"))
    }

    fn guard_with(&self, election: &str, holder: &str, token: &str) -> String {
        let (table, id, oid) = (&self.name, self.id.sql(), quote_literal(&self.name));
        format!(
            "SELECT 1 FROM {table} AS l
 WHERE id = {election}::{id} AND leader_id = {holder} AND token = {token} AND expires_at > clock_timestamp()
   AND (pg_catalog.current_setting('transaction_isolation') IN ('read committed', 'read uncommitted')
        OR EXISTS (SELECT FROM pg_catalog.pg_class AS c WHERE c.oid = {oid}::regclass
                   AND c.relfilenode = pg_catalog.pg_relation_filenode(c.oid)))
   FOR KEY SHARE OF l"
        )
    }

    /// The backends whose open transactions hold a lock on a row: guards, which delay take-overs. `$1 text`
    /// one election, or null for all; `$2 bigint` only transactions that have been open for so many seconds.
    /// Answers `election, pid, application, open_for_s`; the last is null where others' sessions are not
    /// ours to see.
    ///
    /// A row's `xmax` is the transaction that locks it, or a number that stands for several; what it stands
    /// for can be asked for as long as it is among those that the server still keeps. Either may be over.
    #[must_use]
    pub fn blockers(&self) -> String {
        let (table, id) = (&self.name, self.id.sql());
        format!(
            "WITH open AS MATERIALIZED (
    SELECT transactionid AS xid, pid FROM pg_locks
     WHERE locktype = 'transactionid' AND mode = 'ExclusiveLock' AND granted AND pid <> pg_backend_pid()
),
kept AS MATERIALIZED (SELECT max(mxid_age(datminmxid)) AS age FROM pg_database),
marked AS MATERIALIZED (
    SELECT l.id, l.xmax AS xid FROM {table} AS l
     WHERE ($1::text IS NULL OR l.id = $1::text::{id}) AND l.xmax <> '0'::xid
),
locked AS (
    SELECT id, xid FROM marked
     UNION
    SELECT marked.id, member.xid
      FROM marked, kept, pg_get_multixact_members(
               CASE WHEN mxid_age(marked.xid) BETWEEN 1 AND kept.age THEN marked.xid END) AS member(xid, mode)
)
SELECT DISTINCT locked.id::text AS election, open.pid, coalesce(a.application_name, '') AS application,
       extract(epoch FROM clock_timestamp() - a.xact_start)::bigint AS open_for_s
  FROM locked JOIN open ON open.xid = locked.xid LEFT JOIN pg_stat_activity AS a ON a.pid = open.pid
 WHERE a.xact_start IS NULL OR a.xact_start <= clock_timestamp() - $2::bigint * interval '1 second'
 ORDER BY election, open.pid"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_a_name_holds_stays_inside_its_quotes() {
        assert_eq!(quote_identifier("a\"; DROP"), "\"a\"\"; DROP\"");
        assert_eq!(quote_literal("o'clock"), "'o''clock'");
        assert_eq!(quote_literal("a\\'b"), " E'a\\\\''b'");
        let guard = Table::new("s", IdType::Text).guard_text("it's", "me#1", 7);
        assert!(guard.contains("id = 'it''s'::text AND leader_id = 'me#1' AND token = 7"), "{guard}");
    }
}
