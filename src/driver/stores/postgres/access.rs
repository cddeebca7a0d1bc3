//! The permissions of the session's role on the table.

use tokio_postgres::Error;
use tokio_postgres::types::Type;

use super::config::PostgresUrl;
use super::connect::Session;
use crate::core::lease::Failure;
use crate::core::sql::postgres::Table;
use crate::driver::stores::StoreError;

/// The permissions that a candidate needs and the session's role lacks.
pub(super) async fn lacking(session: &Session, table: &Table) -> Result<Vec<String>, Error> {
    let rows = session.client.query_typed(Table::LACKING, &[(&table.name(), Type::TEXT)]).await?;
    rows.iter().map(|row| row.try_get("lacking")).collect()
}

/// An error if there is a reason to refuse the role.
pub(super) fn refuse(url: &PostgresUrl, why: Option<String>) -> Result<(), StoreError> {
    let refused = |why| StoreError::new(Failure::Refused, format!("{url}: {why}"));
    why.map_or(Ok(()), |why| Err(refused(why)))
}
