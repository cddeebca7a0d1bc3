//! The table's shape: what makes it, and what tells whether one that is there can be used.

use alloc::format;
use alloc::string::String;

use super::{DDL_LOCK, Table, quote_identifier, quote_literal};

impl Table {
    /// The statements that make the table where there is none, and add our columns to one that
    /// `nest-leader-election` made, changing nothing else. To be run in one transaction by whoever owns the
    /// schema, after taking [`DDL_LOCK`] if several may do it at once: `IF NOT EXISTS`
    /// alone races.
    ///
    /// From version 16 on the expiry gets a BRIN index, which leaves renewals HOT; before, any index on
    /// it would make every renewal write to the index too.
    #[must_use]
    pub fn migrate(schema: &str) -> String {
        let table = format!("{}.leader_lease", quote_identifier(schema));
        // A dollar quote ends at its own tag, whatever else the name holds.
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

    /// The same and the schema where there is none, as one statement, for clients that send one at a time or
    /// cannot keep a transaction open: a statement is a transaction, and this one takes the lock itself.
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

    /// Makes the schema where there is none. Needs the right to create in the database even if it is
    /// there, so ask first.
    #[must_use]
    pub fn create_schema(schema: &str) -> String {
        format!("CREATE SCHEMA IF NOT EXISTS {};\n", quote_identifier(schema))
    }

    /// Whether the schema exists: one row or none. `$1 text` its name.
    pub const HAS_SCHEMA: &'static str = "SELECT 1 FROM pg_namespace WHERE nspname = $1::text";

    /// The table's columns, to see whether it is there and whose it is. `$1 text` the schema. Answers
    /// `name, type, modifier, is_key, is_demanded, is_logged, hidden, role, encoding` rows, none if there
    /// is no table. The modifier is the longest text or the digits of a second, or null; a key is unique by
    /// itself; what is demanded must be given with each row; what is not logged is lost in a crash of the
    /// server; `hidden` lists the commands, such as `INSERT, UPDATE`, for which row security finds no
    /// policy that lets the session's role see or write any row, or is null; `encoding` is the database's
    /// if it lacks characters, or null.
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
    /// texts. `$1 bytea[]` texts in UTF-8, which as such are no text to the server yet.
    pub const KEEPS: &'static str = "\
SELECT count(convert(given.bytes, 'UTF8', getdatabaseencoding())) AS kept
  FROM unnest($1::bytea[]) AS given(bytes)";

    /// What a candidate needs to do with the table and its role may not. `$1 text` the table's quoted name.
    /// Answers `lacking` rows, such as `UPDATE`. To delete is needed where a release deletes.
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
