//! `elector schema`: prints the statements that create the table, for an operator who runs them by hand.

use std::io::{self, Write};

use elector::core::sql::postgres::Table;
use elector::core::sql::sqlite;

use crate::exit::Failure;
use crate::options::Dialect;

/// Runs `elector schema`.
pub fn run(dialect: Dialect, schema: Option<&str>) -> Result<u8, Failure> {
    let statements = match (dialect, schema) {
        // `public` exists already, and CREATE SCHEMA needs a privilege that few roles have.
        (Dialect::Postgres, None | Some("public")) => Table::migrate("public"),
        (Dialect::Postgres, Some(schema)) => Table::create_schema(schema) + &Table::migrate(schema),
        (Dialect::Sqlite, None) => sqlite::INITIALIZE.to_owned(),
        (Dialect::Sqlite, Some(_)) => {
            return Err(Failure::usage(
                "--schema does not apply to SQLite, which has no schemas; leave it out",
            ));
        }
    };
    io::stdout().lock().write_all(statements.as_bytes())?;
    Ok(0)
}
