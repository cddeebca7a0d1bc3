//! The statements that the stores of the npm package run.

use wasm_bindgen::prelude::{JsError, JsValue, wasm_bindgen};

use crate::core::sql::postgres::{IdType, Table};
use crate::core::sql::sqlite_server;

#[wasm_bindgen]
extern "C" {
    /// `IdType` in `types.d.ts`.
    #[wasm_bindgen(typescript_type = "IdType")]
    pub type IdTypeName;

    /// `PostgresStatement` in `types.d.ts`.
    #[wasm_bindgen(typescript_type = "PostgresStatement")]
    pub type PostgresStatementName;

    /// `SqliteStatement` in `types.d.ts`.
    #[wasm_bindgen(typescript_type = "SqliteStatement")]
    pub type SqliteStatementName;
}

pub(super) fn word(value: &impl AsRef<JsValue>) -> String {
    value.as_ref().as_string().unwrap_or_default()
}

pub(super) fn id_type(name: &IdTypeName) -> Result<IdType, JsError> {
    let name = word(name);
    IdType::from_sql(&name).ok_or_else(|| JsError::new(&["unknown type of ids: ", &name].concat()))
}

/// A statement for PostgreSQL 13 or newer, on the table in `schema`, which is quoted. The text is a single
/// statement, for any number of elections.
///
/// # Errors
/// When there is no such statement or type.
#[wasm_bindgen(js_name = postgresSql)]
pub fn postgres_sql(
    statement: &PostgresStatementName,
    schema: &str,
    #[wasm_bindgen(js_name = idType)] id: &IdTypeName,
) -> Result<String, JsError> {
    let table = Table::new(schema, id_type(id)?);
    let name = word(statement);
    Ok(match name.as_str() {
        "migrate" => Table::migrate_at_once(schema),
        "columns" => Table::COLUMNS.to_owned(),
        "lacking" => Table::LACKING.to_owned(),
        "keeps" => Table::KEEPS.to_owned(),
        "look" => table.look(),
        "acquire" => table.acquire(),
        "renew" => table.renew(),
        "release" => table.release(),
        "cleanUp" => table.clean_up_alone(),
        "guard" => table.guard(),
        _ => return Err(JsError::new(&["unknown statement: ", &name].concat())),
    })
}

/// A statement for SQLite 3.38 or newer that decides by the database's own clock.
///
/// # Errors
/// When there is no such statement.
#[wasm_bindgen(js_name = sqliteSql)]
pub fn sqlite_sql(statement: &SqliteStatementName) -> Result<String, JsError> {
    let name = word(statement);
    Ok(match name.as_str() {
        "createTable" => sqlite_server::create_table(),
        "look" => sqlite_server::look(),
        "acquire" => sqlite_server::acquire(),
        "renew" => sqlite_server::renew(),
        "release" => sqlite_server::release(),
        "raiseFloor" => sqlite_server::raise_floor(),
        "cleanUp" => sqlite_server::clean_up(),
        _ => return Err(JsError::new(&["unknown statement: ", &name].concat())),
    })
}
