//! The statements for PostgreSQL 13 or newer.
//!
//! Each statement is one round trip for any number of elections. Its parameters are arrays; it returns one
//! row per element, with the element's number in the arrays. Each statement is atomic by itself, needs no
//! surrounding transaction, and works both as a prepared and as an unnamed statement.
//!
//! # Rules that every statement keeps
//! * Whether a lease has expired is decided by `clock_timestamp()`, never by `now()`, which stands still in a
//!   transaction. The lease of an acquire counts from the start of the statement.
//! * `acquire` locks with `FOR UPDATE SKIP LOCKED`: it takes no row that a guarded transaction has locked
//!   with `FOR KEY SHARE`, and racing candidates never queue. Renewals change no key column and lock with
//!   `FOR NO KEY UPDATE SKIP LOCKED`. So a guard never blocks a renewal, and a row that another transaction
//!   has locked does not delay the other elections of the batch.
//! * A statement that changes nothing writes nothing: no WAL, no transaction id.
//! * No statement takes quadratic time, whatever the planner estimates. The planner plans a prepared
//!   statement for arrays of a few elements, and then uses nested loops for joins that it estimates to be
//!   small. Therefore only the table itself is joined to the arrays, by its key. Each step passes on all
//!   values that the next step needs, and the next step finds them by a hash or a sort.
//! * Every write names the token that it acts on, so a late write changes nothing.
//!
//! Every statement returns `now_us`, the server's clock in microseconds since 1970, and `timeline`, which
//! changes when a standby is promoted. Reading the timeline fails on a standby, so even a look notices a
//! demoted primary.

use alloc::format;
use alloc::string::String;

use crate::core::table::{CLEAN_UP_AT_ONCE, CLEAN_UP_WITHIN, DEAD_FOR, PEER_LEASE};
use crate::core::{FencingToken, Name};

mod id_type;
pub mod judged;
mod shape;

pub use id_type::IdType;

/// The channel on which a release is notified. The payload is `schema/election`.
pub const CHANNEL: &str = "elector";

/// Takes the advisory lock for creating and altering tables. The lock is held until the transaction ends. Its
/// number is "elector" in ASCII.
pub const DDL_LOCK: &str = "SELECT pg_advisory_xact_lock(28548155363848050)";

/// Makes the commit of this transaction wait until it is on disk, whatever the server's default is. If a
/// crash lost a renewal, the lease would end too early. The setting ends with the transaction.
pub const DURABLE: &str = "\
CASE WHEN current_setting('synchronous_commit') IN ('off', 'local', 'remote_write')
                THEN set_config('synchronous_commit', 'on', true) END";

/// Limits how long this transaction waits for a lock to half a second, unless a limit is set already. Behind
/// a pooler the limits of the session cannot be set. The setting ends with the transaction.
const BOUNDED: &str = "\
CASE WHEN current_setting('lock_timeout') = '0' THEN set_config('lock_timeout', '500ms', true) END";

/// The server's timeline; fails on a standby. It is 0 on Aurora, which has no WAL files. Aurora's replicas
/// share the primary's storage, so a fail-over there loses no commit.
const TIMELINE: &str = "\
CASE WHEN to_regproc('pg_catalog.aurora_version') IS NOT NULL THEN 0 ELSE
           ('x' || substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8))::bit(32)::bigint END";

/// The common table expression `server`: the server's clock and timeline, evaluated once. It also makes the
/// commit durable and bounds the waits for locks.
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

/// The expiry of the row `l` as a finite timestamp, since another program may have written `infinity`.
const EXPIRES: &str = "\
CASE WHEN isfinite(l.expires_at) IS NOT FALSE THEN l.expires_at WHEN l.expires_at > server.now
            THEN timestamptz '9999-12-31 00:00:00+00' ELSE timestamptz '1970-01-01 00:00:00+00' END";

/// The columns of `l`, a row of the table, for every statement that returns rows. A meta text above
/// [`Name::MAX_TEXT_BYTES`] was written by another program; it is replaced by null, so that a look does not
/// send it.
fn row() -> String {
    const MAX: usize = Name::MAX_TEXT_BYTES;
    format!(
        "l.leader_id, l.token, l.lease_ms, CASE WHEN octet_length(l.meta) <= {MAX} THEN l.meta END AS meta,
       (extract(epoch FROM {EXPIRES}) * 1000000)::bigint AS expires_us,
       greatest(0, (extract(epoch FROM {EXPIRES} - server.now) * 1000000)::bigint) AS remaining_us"
    )
}

/// The start of the term, moved to just before now if the server's clock was set back. Then every expiry from
/// `server.now` on passes the check `expires_at > created_at`, even in a table that keeps whole milliseconds.
const STARTED: &str = "least(l.created_at, server.now - interval '1 millisecond')";

const CLOCK: &str = "\
(extract(epoch FROM server.now) * 1000000)::bigint AS now_us, server.timeline AS timeline";

/// Whether PostgreSQL can have a schema of this name: 1 to 63 bytes without NUL. It would silently cut a
/// longer name.
#[must_use]
pub fn is_schema(name: &str) -> bool {
    (1..=63).contains(&name.len()) && !name.contains('\0')
}

/// Quotes an identifier, which may hold any character.
///
/// ```
/// assert_eq!(elector::core::sql::postgres::quote_identifier("my \"schema"), "\"my \"\"schema\"");
/// ```
#[must_use]
pub fn quote_identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Quotes a string, which may hold any character, for statements that cannot take parameters.
#[must_use]
pub fn quote_literal(text: &str) -> String {
    let quoted = text.replace('\'', "''");
    if quoted.contains('\\') {
        format!(" E'{}'", quoted.replace('\\', "\\\\"))
    } else {
        format!("'{quoted}'")
    }
}

/// A `leader_lease` table: its quoted name, and the type of its ids.
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
    /// Returns `ord, now_us, timeline, leader_id, token, lease_ms, meta, expires_us, remaining_us`; the
    /// columns of a row that does not exist are null.
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

    /// Takes rows that are absent or have expired. `$1 text[]` elections, `$2 text[]` holders, `$3 text[]`
    /// metas, `$4 bigint[]` leases in ms, `$5 text[]` conditions: `any`, `absent`, or `same` with the token
    /// (`$6 bigint[]`) and the expiry in µs (`$7 bigint[]`) that the row must still have.
    /// Returns the columns of [`Table::look`], and `granted`: the new token, or null if the row was not
    /// taken. The columns show the row as it was when the statement began.
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
    /// leases in ms. Returns `ord, now_us, timeline, renewed, busy`. `busy`: another transaction has locked
    /// the row, so it was not changed, and the renewal may be retried. If neither is true, the lease is lost
    /// for good.
    ///
    /// The new expiry counts from the clock as read after the row was locked. So a delayed renewal cannot
    /// overwrite the expiry of a later renewal with an earlier expiry. If the clock was set back since the
    /// term began, the start of the term is moved to just before now, because an expiry must be later than
    /// the start.
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

    /// Ends leases and notifies the listeners. In Elector's own table the row stays without a holder and
    /// keeps its token. In a table that `nest-leader-election` made the row is deleted, because
    /// `nest-leader-election` never takes a row over; the next token is then larger by the clock. `$1 text[]`
    /// elections, `$2 text[]` holders, `$3 bigint[]` tokens, `$4 text` the schema. Returns `ord, now_us,
    /// timeline, released, busy`. `busy`: another transaction has locked the row (for a deletion, a guard's
    /// lock counts too), and the lease was not released yet.
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

    /// Revokes a term: its holder fails the next renewal, and no candidate takes over before the lease
    /// expires. A poisoned expiry, which is further ahead than the row's own lease could have set it, is
    /// brought back to one lease from now. `$1 text` election, `$2 bigint` the only token to revoke (null:
    /// any), `$3 text` the schema. Returns the row as it was before with its new expiry, in the columns of
    /// [`Table::look`]; no row if there was nothing to revoke.
    ///
    /// An open guard does not delay a revocation, because a revocation elects no candidate.
    #[must_use]
    pub fn revoke(&self) -> String {
        let (table, id, server, row) = (&self.name, self.id.sql(), server(), row());
        // The limit of `core::lease::is_beyond`: 1 % for the clocks, and the default margin.
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

    /// All rows, or the row of one election, for display. `$1 text` election or null. Returns the columns of
    /// [`Table::look`], `id` as text, and `since_us`, the start of the term in microseconds since 1970.
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

    /// Deletes rows that have been dead for [`DEAD_FOR`], at most [`CLEAN_UP_AT_ONCE`]. It skips rows that
    /// are locked, and rows whose token is ahead of the clock: if such a row were deleted, the next token
    /// would not be larger. The text holds two statements, to be sent together: the first limits the time of
    /// the second to [`CLEAN_UP_WITHIN`]. The second returns `deleted`.
    #[must_use]
    pub fn clean_up(&self) -> String {
        let (delete, within_ms) = (self.clean_up_alone(), CLEAN_UP_WITHIN.as_millis());
        format!(
            "SELECT set_config('statement_timeout', '{within_ms}', true) FROM pg_settings
 WHERE name = 'statement_timeout' AND setting::bigint NOT BETWEEN 1 AND {within_ms};
{delete}"
        )
    }

    /// The second statement of [`Table::clean_up`], for clients that send one statement at a time.
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

    /// The guard: returns one row while this term lasts, and no row once it is over. It keeps every other
    /// candidate from taking the row until the transaction has ended. `$1 text` election, `$2 text` holder,
    /// `$3 bigint` token.
    ///
    /// Above READ COMMITTED the guard may read a snapshot in which a term that is over still lasts. Then the
    /// lock fails, because the row version of the snapshot is marked as updated. VACUUM FULL and CLUSTER copy
    /// row versions without that mark. Therefore the guard also returns no row if the table was rewritten
    /// since the snapshot: `relfilenode` in the snapshot is the file that the table had then,
    /// `pg_relation_filenode` is the file that it has now, and the statement's lock on the table prevents a
    /// rewrite in between. A partitioned table has no file of its own, so above READ COMMITTED its guard
    /// never passes.
    #[must_use]
    pub fn guard(&self) -> String {
        self.guard_with("$1::text", "$2::text", "$3::bigint")
    }

    /// [`Table::guard`] with the values as quoted literals, for callers that cannot pass parameters.
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

    /// The backends whose open transactions hold a lock on a row. These are guards, which delay take-overs.
    /// `$1 text` one election, or null for all; `$2 bigint` the minimum age of the transaction in seconds.
    /// Returns `election, pid, application, open_for_s`; the last is null if the role may not see the
    /// sessions of other roles.
    ///
    /// A row's `xmax` is the transaction that locks it, or a multixact, which stands for several
    /// transactions. The members of a multixact can be read only while the server still keeps it. A
    /// transaction that `xmax` names may have ended.
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
    fn a_quoted_name_cannot_end_its_quotes() {
        assert_eq!(quote_identifier("a\"; DROP"), "\"a\"\"; DROP\"");
        assert_eq!(quote_literal("o'clock"), "'o''clock'");
        assert_eq!(quote_literal("a\\'b"), " E'a\\\\''b'");
        let guard = Table::new("s", IdType::Text).guard_text("it's", "me#1", 7);
        assert!(guard.contains("id = 'it''s'::text AND leader_id = 'me#1' AND token = 7"), "{guard}");
    }
}
