//! What the session's role may do with the table. Rows that row security hides look like rows that are
//! absent or locked, so what is hidden is asked for and named.

use tokio_postgres::Error;
use tokio_postgres::types::Type;

use super::config::PostgresUrl;
use super::connect::Session;
use crate::core::lease::Failure;
use crate::core::sql::postgres::{IdType, Table, quote_identifier};
use crate::driver::stores::StoreError;

/// The commands for which row security lets the role see or write no row at all.
#[derive(Clone, Debug)]
pub(super) struct Hidden {
    role: String,
    commands: Vec<String>,
}

impl Hidden {
    /// From the answer to [`Table::COLUMNS`].
    pub(super) fn new(role: &str, commands: Option<&str>) -> Hidden {
        let commands = commands.map(|list| list.split(", ").map(str::to_owned).collect());
        Hidden { role: role.to_owned(), commands: commands.unwrap_or_default() }
    }

    /// Refuses what needs one of these commands.
    pub(super) fn refuse(&self, url: &PostgresUrl, needed: &[&str]) -> Result<(), StoreError> {
        let is_needed = |command: &&str| needed.contains(command);
        let hidden: Vec<&str> = self.commands.iter().map(String::as_str).filter(is_needed).collect();
        if hidden.is_empty() {
            return Ok(());
        }
        let (role, hidden) = (&self.role, hidden.join(", "));
        let table = Table::new(url.schema(), IdType::Text);
        let message = format!(
            "{url}: row security hides table leader_lease from role {role:?}: no policy allows {hidden}; \
             have its owner run CREATE POLICY elector ON {} TO {} USING (true) WITH CHECK (true)",
            table.name(),
            quote_identifier(role)
        );
        Err(StoreError::new(Failure::Refused, message))
    }
}

/// What a candidate does with the table. A release deletes where ids are numbers.
pub(super) fn of_candidates(id: IdType) -> &'static [&'static str] {
    match id {
        IdType::Text => &["SELECT", "INSERT", "UPDATE"],
        IdType::Integer | IdType::BigInt => &["SELECT", "INSERT", "UPDATE", "DELETE"],
    }
}

/// The rights that a candidate needs and that the session's role was not granted.
pub(super) async fn lacking(session: &Session, table: &Table) -> Result<Vec<String>, Error> {
    let rows = session.client.query_typed(Table::LACKING, &[(&table.name(), Type::TEXT)]).await?;
    rows.iter().map(|row| row.try_get("lacking")).collect()
}

/// Refuses a candidate whose role lacks rights.
pub(super) fn refuse_lacking(url: &PostgresUrl, table: &Table, lacking: &[String]) -> Result<(), StoreError> {
    if lacking.is_empty() {
        return Ok(());
    }
    let (lacking, table, user) = (lacking.join(", "), table.name(), &url.user);
    let message = format!(
        "{url}: permission denied for table leader_lease: role {user:?} lacks {lacking}; have its owner run \
         GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO {}",
        quote_identifier(user)
    );
    Err(StoreError::new(Failure::Refused, message))
}
