//! The table's shape: the statements that create the table, and those that examine an existing table.

use alloc::format;
use alloc::string::String;

use super::{DDL_LOCK, Table, quote_identifier, quote_literal};

impl Table {
    /// The statements that create the table if it does not exist, and that add Elector's columns to a table
    /// that `nest-leader-election` made. They change nothing else. The owner of the schema runs them in one
    /// transaction. If several processes may do so at once, the transaction first takes [`DDL_LOCK`], because
    /// `IF NOT EXISTS` alone races.
    ///
    /// From PostgreSQL 16 on the expiry gets a BRIN index, which leaves renewals HOT. In older versions every
    /// index on the expiry would make every renewal write to the index too.
    #[must_use]
    pub fn migrate(schema: &str) -> String {
        let table = format!("{}.leader_lease", quote_identifier(schema));
        // A dollar quote ends at its tag, so the name must not contain the tag.
        let mut tag = String::from("$elector$");
        while table.contains(&tag) {
            tag.insert(1, 'x');
        }
        format!(
            "CREATE TABLE IF NOT EXISTS {table} (
    id         text PRIMARY KEY,      -- the election
    leader_id  text NOT NULL,         -- candidate#incarnation; empty: released or revoked
    expires_at timestamptz NOT NULL,  -- when the lease ends, by this server's clock
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),  -- start of the term
    CHECK (expires_at > created_at)
) WITH (fillfactor = 50);
ALTER TABLE {table}
    ADD COLUMN IF NOT EXISTS token bigint NOT NULL
        DEFAULT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint,  -- the fencing token; only grows
    ADD COLUMN IF NOT EXISTS lease_ms bigint,  -- how long the holder's lease lasts
    ADD COLUMN IF NOT EXISTS meta text;        -- the holder's text for others
DO {tag}
BEGIN
    IF current_setting('server_version_num')::int >= 160000 THEN
        CREATE INDEX IF NOT EXISTS leader_lease_expires_at_brin ON {table} USING brin (expires_at);
    END IF;
END
{tag};
"
        )
    }

    /// [`Table::migrate`] and the creation of a missing schema as one statement, for clients that send one
    /// statement at a time or cannot keep a transaction open. A single statement is a transaction, and this
    /// one takes the lock itself.
    #[must_use]
    pub fn migrate_at_once(schema: &str) -> String {
        let (statements, make_schema) = (Table::migrate(schema), Table::create_schema(schema));
        let name = quote_literal(schema);
        let mut tag = String::from("$migrate$");
        while statements.contains(&tag) || name.contains(&tag) {
            tag.insert(1, 'x');
        }
        let lock = DDL_LOCK.replacen("SELECT", "PERFORM", 1);
        format!(
            "DO {tag}
BEGIN
PERFORM set_config('lock_timeout', '3s', true);
{lock};
IF NOT EXISTS (SELECT FROM pg_namespace WHERE nspname = {name}) THEN
{make_schema}END IF;
{statements}END
{tag}"
        )
    }

    /// Creates the schema if it does not exist. It needs the privilege CREATE on the database even if the
    /// schema exists, so run [`Table::HAS_SCHEMA`] first.
    #[must_use]
    pub fn create_schema(schema: &str) -> String {
        format!("CREATE SCHEMA IF NOT EXISTS {};\n", quote_identifier(schema))
    }

    /// Whether the schema exists: returns one row or none. `$1 text` its name.
    pub const HAS_SCHEMA: &'static str = "SELECT 1 FROM pg_namespace WHERE nspname = $1::text";

    /// The table's columns, to find out whether the table exists and whether Elector can use it. `$1 text`
    /// the schema. Returns one row per column, and no row if there is no table:
    ///
    /// * `name, type`: the column's name, and its type in `format_type`.
    /// * `modifier`: the maximum length of a text, or the digits of a second; null without a limit.
    /// * `is_key`: the column alone has a unique index.
    /// * `is_demanded`: every inserted row must have a value for the column.
    /// * `is_logged`: the table survives a crash of the server.
    /// * `hidden`: the commands, such as `INSERT, UPDATE`, for which row security has no policy that lets the
    ///   session's role see or write any row; null if there are none.
    /// * `role`: the session's role.
    /// * `encoding`: the database's encoding if it lacks characters; otherwise null.
    pub const COLUMNS: &'static str = "\
SELECT a.attname::text AS name, format_type(a.atttypid, NULL) AS type,
       CASE WHEN a.atttypmod >= 0
            THEN a.atttypmod - CASE WHEN a.atttypid = 'varchar'::regtype THEN 4 ELSE 0 END END AS modifier,
       EXISTS (SELECT FROM pg_index AS i
                WHERE i.indrelid = c.oid AND i.indisunique AND i.indisvalid AND i.indpred IS NULL
                  AND i.indnkeyatts = 1 AND i.indkey[0] = a.attnum) AS is_key,
       a.attnotnull AND NOT a.atthasdef AND a.attidentity = '' AS is_demanded,
       c.relpersistence = 'p' AS is_logged,
       (SELECT string_agg(need.act, ', ' ORDER BY need.place)
          FROM (VALUES (1, 'SELECT', 'r'), (2, 'INSERT', 'a'), (3, 'UPDATE', 'w'), (4, 'DELETE', 'd'))
               AS need(place, act, command)
         WHERE row_security_active(c.oid) AND NOT EXISTS (
               SELECT FROM pg_policy AS p, unnest(p.polroles) AS granted(role)
                WHERE p.polrelid = c.oid AND p.polpermissive AND p.polcmd::text IN ('*', need.command)
                  AND (granted.role = 0 OR pg_has_role(granted.role, 'USAGE')))) AS hidden,
       current_user::text AS role,
       nullif(nullif(getdatabaseencoding()::text, 'UTF8'), 'SQL_ASCII') AS encoding
  FROM pg_attribute AS a JOIN pg_class AS c ON c.oid = a.attrelid
  JOIN pg_namespace AS n ON n.oid = c.relnamespace
 WHERE n.nspname = $1::text AND c.relname = 'leader_lease' AND c.relkind IN ('r', 'p', 'v', 'f', 'm')
   AND a.attnum > 0 AND NOT a.attisdropped";

    /// Fails with SQLSTATE 22P05 or 22021 if the database's encoding lacks a character of one of these
    /// texts. `$1 bytea[]` the texts in UTF-8, as bytes, so that the server accepts the parameter.
    pub const KEEPS: &'static str = "\
SELECT count(convert(given.bytes, 'UTF8', getdatabaseencoding())) AS kept
  FROM unnest($1::bytea[]) AS given(bytes)";

    /// The privileges on the table that a candidate needs and its role lacks. `$1 text` the table's quoted
    /// name. Returns one row per privilege, such as `UPDATE`, in the column `lacking`. DELETE is needed only
    /// where a release deletes the row.
    pub const LACKING: &'static str = "\
SELECT DISTINCT need.act AS lacking
  FROM pg_attribute AS a, (VALUES ('SELECT'), ('INSERT'), ('UPDATE')) AS need(act)
 WHERE a.attrelid = $1::text::regclass AND NOT a.attisdropped
   AND a.attname IN ('id', 'leader_id', 'expires_at', 'created_at', 'token', 'lease_ms', 'meta')
   AND NOT (need.act = 'UPDATE' AND a.attname = 'id')
   AND NOT has_column_privilege(a.attrelid, a.attnum, need.act)
 UNION
SELECT 'DELETE' FROM pg_attribute AS a
 WHERE a.attrelid = $1::text::regclass AND a.attname = 'id' AND a.atttypid <> 'text'::regtype
   AND a.atttypid <> 'varchar'::regtype AND NOT has_table_privilege(a.attrelid, 'DELETE')
 ORDER BY lacking";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schema_of_any_name_cannot_end_the_dollar_quote() {
        let text = Table::migrate("$elector$");
        assert!(text.contains("DO $xelector$") && text.contains("\"$elector$\".leader_lease"), "{text}");
    }
}
