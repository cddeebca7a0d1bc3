//! Verdicts on PostgreSQL's table and on its errors, for the store of the npm package.

use wasm_bindgen::JsCast;
use wasm_bindgen::prelude::{JsError, JsValue, wasm_bindgen};

use super::sql::{IdTypeName, id_type};
use crate::core::sql::postgres::judged::{self, Column, Hidden, Verdict, commands_of_candidates};
use crate::core::sql::sqlstate;
use crate::wasm::object::Object;

#[wasm_bindgen]
extern "C" {
    /// `ColumnRow` in `types.d.ts`.
    #[wasm_bindgen(typescript_type = "ColumnRow")]
    pub type ColumnRow;

    #[wasm_bindgen(method, getter, structural)]
    fn name(this: &ColumnRow) -> JsValue;
    #[wasm_bindgen(method, getter, structural, js_name = type)]
    fn kind(this: &ColumnRow) -> JsValue;
    #[wasm_bindgen(method, getter, structural)]
    fn modifier(this: &ColumnRow) -> JsValue;
    #[wasm_bindgen(method, getter, structural)]
    fn is_key(this: &ColumnRow) -> JsValue;
    #[wasm_bindgen(method, getter, structural)]
    fn is_demanded(this: &ColumnRow) -> JsValue;
    #[wasm_bindgen(method, getter, structural)]
    fn is_logged(this: &ColumnRow) -> JsValue;
    #[wasm_bindgen(method, getter, structural)]
    fn role(this: &ColumnRow) -> JsValue;
    #[wasm_bindgen(method, getter, structural)]
    fn hidden(this: &ColumnRow) -> JsValue;
    #[wasm_bindgen(method, getter, structural)]
    fn encoding(this: &ColumnRow) -> JsValue;

    /// `TableVerdict` in `types.d.ts`.
    #[wasm_bindgen(typescript_type = "TableVerdict")]
    pub type TableVerdictObject;

    /// `Failure` in `types.d.ts`.
    #[wasm_bindgen(typescript_type = "Failure")]
    pub type FailureName;
}

/// The column that a client's row describes. Clients convert types differently; a value of an unexpected type
/// counts as missing.
fn column(row: &ColumnRow) -> Column {
    Column {
        name: row.name().as_string().unwrap_or_default(),
        kind: row.kind().as_string().unwrap_or_default(),
        modifier: row.modifier().as_f64().map(|modifier| modifier as i32),
        is_key: row.is_key().as_bool().unwrap_or_default(),
        is_demanded: row.is_demanded().as_bool().unwrap_or_default(),
        is_logged: row.is_logged().as_bool().unwrap_or_default(),
    }
}

/// Whether the table can hold leases, and whether row security hides it from candidates. `rows` are the rows
/// that the statement `columns` returned.
#[must_use]
#[wasm_bindgen(js_name = judgeTable)]
pub fn judge_table(schema: &str, rows: Vec<ColumnRow>) -> TableVerdictObject {
    let columns: Vec<Column> = rows.iter().map(column).collect();
    let made = match judged::judge(schema, &columns) {
        Verdict::Usable(id) => {
            let text = |value: Option<JsValue>| value.and_then(|value| value.as_string());
            let role = text(rows.first().map(ColumnRow::role)).unwrap_or_default();
            let hidden = Hidden::new(&role, text(rows.first().map(ColumnRow::hidden)).as_deref());
            Object::new()
                .with("verdict", "usable")
                .with("idType", id.sql())
                .with_some("encoding", text(rows.first().map(ColumnRow::encoding)))
                .with_some("hidden", hidden.refusal(schema, commands_of_candidates(id)))
        }
        Verdict::Incomplete(why) => Object::new().with("verdict", "incomplete").with("why", why),
        Verdict::Unusable(why) => Object::new().with("verdict", "unusable").with("why", why),
    };
    made.unchecked_into()
}

/// Whether PostgreSQL executed a statement that failed with this SQLSTATE. `endsSession`: the severity was
/// `FATAL` or `PANIC`.
#[must_use]
#[wasm_bindgen(js_name = postgresFailure)]
pub fn postgres_failure(
    sqlstate: &str,
    #[wasm_bindgen(js_name = endsSession)] ends_session: bool,
) -> FailureName {
    JsValue::from_str(sqlstate::failure(sqlstate, ends_session).name()).unchecked_into()
}

/// The text of a PostgreSQL error for the user: its message in one line, its SQLSTATE, and what to do.
/// `routine` is the server's function that reported the error, if the client knows it.
#[must_use]
#[wasm_bindgen(js_name = explainPostgresError)]
pub fn explain_postgres_error(message: &str, sqlstate: &str, routine: Option<String>) -> String {
    sqlstate::explain(message, sqlstate, sqlstate::advice(sqlstate, routine.as_deref()))
}

/// Whether the error suggests that the table was changed since the store examined it.
#[must_use]
#[wasm_bindgen(js_name = suggestsChangedTable)]
pub fn suggests_changed_table(sqlstate: &str) -> bool {
    sqlstate::suggests_changed_table(sqlstate)
}

/// Whether the database's encoding lacks a character of a text.
#[must_use]
#[wasm_bindgen(js_name = lacksCharacter)]
pub fn lacks_character(sqlstate: &str) -> bool {
    sqlstate::lacks_character(sqlstate)
}

/// Why a table whose ids have this type cannot hold an election of this name; `undefined` if it can.
///
/// # Errors
/// When there is no such type.
#[wasm_bindgen(js_name = electionRefusal)]
pub fn election_refusal(
    #[wasm_bindgen(js_name = idType)] id: &IdTypeName,
    election: &str,
) -> Result<Option<String>, JsError> {
    Ok(id_type(id)?.refusal(election))
}

/// The error for a text with a character that the database's encoding cannot store.
#[must_use]
#[wasm_bindgen(js_name = encodingLacks)]
pub fn encoding_lacks(encoding: &str, what: &str, text: &str) -> String {
    judged::encoding_lacks(encoding, what, text)
}

/// The error for an operation on a row that another transaction holds. `asked` completes "cannot …".
#[must_use]
#[wasm_bindgen(js_name = busyRow)]
pub fn busy_row(asked: &str, election: &str) -> String {
    judged::busy(asked, election)
}
