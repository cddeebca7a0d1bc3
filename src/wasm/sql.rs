//! The statements that the stores of the npm package run.

use wasm_bindgen::JsCast;
use wasm_bindgen::prelude::{JsError, JsValue, wasm_bindgen};

use crate::core::lease::Failure;
use crate::core::sql::postgres::{self, IdType, Table};
use crate::core::sql::{sqlite_server, sqlstate};

/// What a clean-up removes: rows that have been dead for so long, so many at once.
const DEAD_FOR_S: u32 = 60;
const AT_ONCE: u32 = 1_000;

#[wasm_bindgen]
extern "C" {
    /// `IdType` of the types.
    #[wasm_bindgen(typescript_type = "IdType")]
    pub type IdTypeName;

    /// `PostgresStatement` of the types.
    #[wasm_bindgen(typescript_type = "PostgresStatement")]
    pub type PostgresStatementName;

    /// `Failure` of the types.
    #[wasm_bindgen(typescript_type = "Failure")]
    pub type FailureName;

    /// `SqliteStatement` of the types.
    #[wasm_bindgen(typescript_type = "SqliteStatement")]
    pub type SqliteStatementName;
}

fn word(value: &impl AsRef<JsValue>) -> String {
    value.as_ref().as_string().unwrap_or_default()
}

fn id_type(name: &IdTypeName) -> Result<IdType, JsError> {
    let name = word(name);
    IdType::from_sql(&name)
        .ok_or_else(|| JsError::new(&["no election is kept under ids of type ", &name].concat()))
}

/// A statement for PostgreSQL 13 or newer, with the table in `schema`, quoted. Each is one statement, for
/// any number of elections.
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
        "cleanUp" => table.clean_up_alone(DEAD_FOR_S, AT_ONCE),
        "guard" => table.guard(),
        _ => return Err(JsError::new(&["there is no statement ", &name].concat())),
    })
}

/// What became of a statement that PostgreSQL answered with this SQLSTATE; `endsSession` if the severity was
/// `FATAL` or `PANIC`.
#[must_use]
#[wasm_bindgen(js_name = postgresFailure)]
pub fn postgres_failure(
    sqlstate: &str,
    #[wasm_bindgen(js_name = endsSession)] ends_session: bool,
) -> FailureName {
    let name = match sqlstate::failure(sqlstate, ends_session) {
        Failure::Unsent => "unsent",
        Failure::Unknown => "unknown",
        Failure::Refused => "refused",
    };
    JsValue::from_str(name).unchecked_into()
}

/// Whether an election of this name can be kept in a table whose ids are of this type.
///
/// # Errors
/// When there is no such type.
#[wasm_bindgen(js_name = holdsElection)]
pub fn holds_election(
    #[wasm_bindgen(js_name = idType)] id: &IdTypeName,
    election: &str,
) -> Result<bool, JsError> {
    Ok(id_type(id)?.holds(election))
}

/// The error for a text with a character that the database's encoding cannot store.
#[must_use]
#[wasm_bindgen(js_name = encodingLacks)]
pub fn encoding_lacks(encoding: &str, what: &str, text: &str) -> String {
    postgres::encoding_lacks(encoding, what, text)
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
        "raiseFloor" => sqlite_server::raise_floor(DEAD_FOR_S),
        "cleanUp" => sqlite_server::clean_up(DEAD_FOR_S, AT_ONCE),
        _ => return Err(JsError::new(&["there is no statement ", &name].concat())),
    })
}
