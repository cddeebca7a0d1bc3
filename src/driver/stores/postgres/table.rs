//! Finds, creates or adopts the table, and runs the statements for operators.

use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Error, SimpleQueryMessage};

use crate::core::lease::{Failure, Row};
use crate::core::sql::postgres::judged::{Column, Hidden, Verdict, commands_of_candidates, judge};
use crate::core::sql::postgres::{CHANNEL, DDL_LOCK, Table, quote_literal};
use crate::core::{FencingToken, Name};
use crate::driver::stores::{ElectionRow, IfMissing, Job, StoreError};

use super::access;
use super::batch::{self, Queries, Query, StatementResult};
use super::config::PostgresUrl;
use super::connect::Session;
use super::encoding::Encoding;

/// The table of a connection, and its prepared statements.
pub(super) struct Ready {
    table: Table,
    hidden: Hidden,
    pub(super) encoding: Encoding,
    queries: Queries,
    list: Query,
    revoke: Query,
}

/// A backend that holds a lock on an election's row.
pub(super) struct Blocker {
    pub(super) election: String,
    pub(super) pid: i32,
    pub(super) application: String,
    pub(super) open_for_s: Option<i64>,
}

impl Blocker {
    /// One line for display.
    pub(super) fn remark(&self) -> String {
        let open = self.open_for_s.map_or(String::new(), |seconds| format!(" open for {seconds} s,"));
        format!(
            "election {:?}: a transaction of backend {} ({:?}),{open} holds the row; no candidate can take \
             over before it ends",
            self.election, self.pid, self.application
        )
    }
}

impl Ready {
    pub(super) async fn prepare(url: &PostgresUrl, session: &Session) -> Result<Ready, StoreError> {
        let client = &session.client;
        let (table, hidden, encoding) = find(url, session).await?;
        let statements = session.server.statements;
        let revoke = &[Type::TEXT, Type::INT8, Type::TEXT];
        // Sent together, to save round trips to a distant server.
        let ready = async {
            let (queries, list, revoke) = tokio::try_join!(
                Queries::new(client, &table, statements),
                Query::new(client, table.list(), &[Type::TEXT], statements),
                Query::new(client, table.revoke(), revoke, statements),
            )?;
            Ok(Ready { queries, list, revoke, hidden, encoding, table: table.clone() })
        };
        ready.await.map_err(|error| session.fault("prepare its statements", &error).error)
    }

    /// Listens for releases, and sends a notification to this session itself as a test. Returns whether it
    /// should arrive. Behind a pooler nothing is sent: notifications do not arrive there, and candidates find
    /// releases only by polling.
    pub(super) async fn listen(&self, url: &PostgresUrl, session: &Session) -> bool {
        if session.server.pooled {
            tracing::debug!(store = %url, "there is a pooler, so releases are found only by polling");
            return false;
        }
        let payload = quote_literal(&format!("{}/", url.schema()));
        let text = format!("LISTEN {CHANNEL}; SELECT pg_notify('{CHANNEL}', {payload})");
        match session.client.batch_execute(&text).await {
            Ok(()) => true,
            Err(error) => {
                let error = session.fault("listen", &error).error;
                tracing::warn!("{error}; releases are found only by polling");
                false
            }
        }
    }

    pub(super) fn table(&self) -> &Table {
        &self.table
    }

    pub(super) async fn run(
        &self,
        session: &Session,
        schema: &str,
        jobs: &[Job],
        open: Vec<usize>,
    ) -> [StatementResult; 4] {
        batch::run(&session.client, &self.queries, schema, jobs, open.into_iter()).await
    }

    pub(super) async fn list(
        &self,
        session: &Session,
        election: Option<&Name>,
    ) -> Result<Vec<ElectionRow>, Error> {
        let election = election.map(Name::as_str);
        let mut listed = Vec::new();
        for row in self.list.run(&session.client, &[&election]).await? {
            // An invalid name was written by another program: skipped.
            let Ok(election) = Name::new("election", row.try_get("id")?) else { continue };
            let Some(shown) = batch::row_of(&row)? else { continue };
            listed.push(ElectionRow { election, row: shown, since_unix_us: row.try_get("since_us")? });
        }
        Ok(listed)
    }

    pub(super) async fn revoke(
        &self,
        session: &Session,
        schema: &str,
        election: &Name,
        token: Option<FencingToken>,
    ) -> Result<Option<Row>, Error> {
        let token = token.map(|token| token.get() as i64);
        let rows = self.revoke.run(&session.client, &[&election.as_str(), &token, &schema]).await?;
        rows.first().map_or(Ok(None), batch::row_of)
    }

    /// An error if row security hides rows from candidates.
    pub(super) fn check_visible_to_candidates(&self, url: &PostgresUrl) -> Result<(), StoreError> {
        access::refuse(url, self.hidden.refusal(url.schema(), commands_of_candidates(self.table.id_type())))
    }

    /// An error if row security hides rows from the statement that revokes a term.
    pub(super) fn check_visible_to_operators(&self, url: &PostgresUrl) -> Result<(), StoreError> {
        access::refuse(url, self.hidden.refusal(url.schema(), &["UPDATE"]))
    }

    /// Whether row security now hides rows from candidates, since it may have been enabled after the first
    /// check.
    pub(super) async fn is_hidden_now(&self, url: &PostgresUrl, session: &Session) -> Result<bool, Error> {
        let found = look(&session.client, url.schema()).await?;
        Ok(found.hidden.refusal(url.schema(), commands_of_candidates(self.table.id_type())).is_some())
    }

    pub(super) async fn clean_up(&self, session: &Session) -> Result<u64, Error> {
        let answers = session.client.simple_query(&self.table.clean_up()).await?;
        let deleted = answers.iter().find_map(|answer| match answer {
            SimpleQueryMessage::Row(row) => row.try_get("deleted").ok().flatten()?.parse().ok(),
            _ => None,
        });
        Ok(deleted.unwrap_or(0))
    }

    /// The transactions that have kept a row from being taken over for at least `for_s` seconds; of one
    /// election, or of all.
    pub(super) async fn blockers(
        &self,
        session: &Session,
        election: Option<&Name>,
        for_s: i64,
    ) -> Result<Vec<Blocker>, Error> {
        let election = election.map(Name::as_str);
        let values: [(&(dyn ToSql + Sync), Type); 2] = [(&election, Type::TEXT), (&for_s, Type::INT8)];
        let rows = session.client.query_typed(&self.table.blockers(), &values).await?;
        let blocker = |row: &tokio_postgres::Row| {
            Ok(Blocker {
                election: row.try_get("election")?,
                pid: row.try_get("pid")?,
                application: row.try_get("application")?,
                open_for_s: row.try_get("open_for_s")?,
            })
        };
        rows.iter().map(blocker).collect()
    }
}

/// The relation with the table's name in the schema of the URL.
struct Found {
    /// Empty if there is no table.
    columns: Vec<Column>,
    hidden: Hidden,
    encoding: Encoding,
}

/// The table in the schema of the URL. It is created or completed if the URL permits.
async fn find(url: &PostgresUrl, session: &Session) -> Result<(Table, Hidden, Encoding), StoreError> {
    let client = &session.client;
    let read = |error: Error| session.fault("look at its table", &error).error;
    let mut found = look(client, url.schema()).await.map_err(read)?;
    let mut verdict = judge(url.schema(), &found.columns);
    if url.if_missing == IfMissing::Create && matches!(verdict, Verdict::Incomplete(_)) {
        let migrated = migrate(url, client).await;
        migrated.map_err(|error| session.fault("make or complete its table", &error).error)?;
        found = look(client, url.schema()).await.map_err(read)?;
        verdict = judge(url.schema(), &found.columns);
    }
    let refused = |why| StoreError::new(Failure::Refused, format!("{url}: {why}"));
    let id = verdict.id_type().map_err(refused)?;
    let Found { hidden, encoding, .. } = found;
    access::refuse(url, hidden.refusal(url.schema(), &["SELECT"]))?;
    Ok((Table::new(url.schema(), id), hidden, encoding))
}

async fn look(client: &Client, schema: &str) -> Result<Found, Error> {
    let rows = client.query_typed(Table::COLUMNS, &[(&schema, Type::TEXT)]).await?;
    let column = |row: &tokio_postgres::Row| {
        Ok(Column {
            name: row.try_get("name")?,
            kind: row.try_get("type")?,
            modifier: row.try_get("modifier")?,
            is_key: row.try_get("is_key")?,
            is_demanded: row.try_get("is_demanded")?,
            is_logged: row.try_get("is_logged")?,
        })
    };
    let (hidden, encoding) = match rows.first() {
        Some(row) => (Hidden::new(row.try_get("role")?, row.try_get("hidden")?), row.try_get("encoding")?),
        None => (Hidden::new("", None), None),
    };
    let columns = rows.iter().map(column).collect::<Result<_, Error>>()?;
    Ok(Found { columns, hidden, encoding: Encoding::new(encoding) })
}

/// Creates or completes the table, under a lock that only one process holds at a time.
async fn migrate(url: &PostgresUrl, client: &Client) -> Result<(), Error> {
    let schema = url.schema();
    let has_schema = !client.query_typed(Table::HAS_SCHEMA, &[(&schema, Type::TEXT)]).await?.is_empty();
    let make_schema = if has_schema { String::new() } else { Table::create_schema(schema) };
    // Shorter than the time that connecting may take, so that a lock of another session on the table is
    // reported and retried.
    let statements = Table::migrate(schema);
    let text =
        format!("BEGIN;\nSET LOCAL lock_timeout = '3s';\n{DDL_LOCK};\n{make_schema}{statements}COMMIT;\n");
    let made = client.batch_execute(&text).await;
    if made.is_err() {
        // The failed transaction is still open. An error of the rollback is ignored: the first error is
        // returned.
        _ = client.batch_execute("ROLLBACK").await;
    }
    made
}
