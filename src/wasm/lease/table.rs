//! The table of leases of the npm package's memory store.

use std::time::Duration;

use wasm_bindgen::JsCast;
use wasm_bindgen::prelude::{JsError, wasm_bindgen};

use super::batch::RequestObject;
use super::output::millis;
use crate::core::lease::{Acquire, LeaderId, Op, Outcome, Row, Version};
use crate::core::table::Table;
use crate::core::{FencingToken, Name, StoreTime};
use crate::wasm::object::Object;

#[wasm_bindgen]
extern "C" {
    /// `Outcome` in `types.d.ts`.
    #[wasm_bindgen(typescript_type = "Outcome")]
    pub type OutcomeObject;

    #[wasm_bindgen(method, getter, structural)]
    fn holder(this: &RequestObject) -> Option<String>;
    #[wasm_bindgen(method, getter, structural)]
    fn token(this: &RequestObject) -> Option<u64>;
    #[wasm_bindgen(method, getter, structural, js_name = leaseMs)]
    fn lease_ms(this: &RequestObject) -> Option<f64>;
    #[wasm_bindgen(method, getter, structural)]
    fn meta(this: &RequestObject) -> Option<String>;
    #[wasm_bindgen(method, getter, structural)]
    fn condition(this: &RequestObject) -> Option<String>;
    #[wasm_bindgen(method, getter, structural, js_name = rowToken)]
    fn row_token(this: &RequestObject) -> Option<u64>;
    #[wasm_bindgen(method, getter, structural, js_name = rowExpiresUs)]
    fn row_expires_us(this: &RequestObject) -> Option<i64>;
}

/// The rows of all elections, in memory. Times are microseconds on the host's clock.
#[wasm_bindgen]
#[derive(Debug, Default)]
pub struct MemoryTable {
    table: Table,
}

#[wasm_bindgen]
impl MemoryTable {
    /// A table without rows.
    #[wasm_bindgen(constructor)]
    #[must_use]
    pub fn new() -> MemoryTable {
        MemoryTable::default()
    }

    /// Executes the operation of a request on the row of `election`. `nowUs` is the store's clock. `unixUs`
    /// is the time in microseconds since 1970, and the lower bound of a new token.
    ///
    /// # Errors
    /// When the request is invalid, or no larger token is left.
    pub fn execute(
        &mut self,
        election: &str,
        request: &RequestObject,
        #[wasm_bindgen(js_name = nowUs)] now: i64,
        #[wasm_bindgen(js_name = unixUs)] unix_us: i64,
    ) -> Result<OutcomeObject, JsError> {
        let election = Name::new("election", election)?;
        let op = operation(request)?;
        let outcome = self.table.execute(&election, &op, StoreTime::from_micros(now), unix_us)?;
        Ok(described(&outcome).unchecked_into())
    }

    /// Deletes a row and forgets its token, as a deletion by hand does. Returns whether the row existed.
    pub fn delete(&mut self, election: &str) -> bool {
        Name::new("election", election).is_ok_and(|election| self.table.delete(&election))
    }

    /// Deletes rows that have been dead for a minute, at most 1 000. Returns their number.
    #[wasm_bindgen(js_name = cleanUp)]
    pub fn clean_up(&mut self, #[wasm_bindgen(js_name = nowUs)] now: i64) -> f64 {
        self.table.clean_up(StoreTime::from_micros(now)) as f64
    }
}

fn operation(request: &RequestObject) -> Result<Op, JsError> {
    let holder = || {
        let id = request.holder().as_deref().and_then(LeaderId::from_store);
        id.ok_or_else(|| JsError::new("the request has no `holder`"))
    };
    let token = || FencingToken::try_from(request.token().unwrap_or(0)).map_err(JsError::from);
    let lease = || Duration::from_millis(request.lease_ms().unwrap_or(0.0) as u64);
    Ok(match request.op().as_str() {
        "look" => Op::Look,
        "acquire" => Op::Acquire(Acquire {
            holder: holder()?,
            meta: request.meta().map(Into::into),
            lease: lease(),
            unchanged: expected(request)?,
        }),
        "renew" => Op::Renew { token: token()?, holder: holder()?, lease: lease() },
        "release" => Op::Release { token: token()?, holder: holder()? },
        other => return Err(JsError::new(&["the request has the unknown operation '", other, "'"].concat())),
    })
}

/// The version of the row that an acquire demands.
fn expected(request: &RequestObject) -> Result<Option<Version>, JsError> {
    Ok(match request.condition().as_deref() {
        None | Some("any") => None,
        Some("absent") => Some(Version::Absent),
        Some("same") => {
            let token = request.row_token().map(FencingToken::try_from).transpose()?;
            let expires_at = StoreTime::from_micros(request.row_expires_us().unwrap_or(0));
            Some(Version::Row { token, expires_at })
        }
        Some(other) => {
            return Err(JsError::new(&["the acquire has the unknown condition '", other, "'"].concat()));
        }
    })
}

fn described(outcome: &Outcome) -> Object {
    let made = Object::new().with("outcome", outcome.name());
    match outcome {
        Outcome::Seen(row) => made.with_some("row", row.as_ref().map(shown)),
        Outcome::Granted { token } => made.with("token", token.get()),
        Outcome::Renewed | Outcome::Lost | Outcome::Released | Outcome::Failed(_) => made,
    }
}

fn shown(row: &Row) -> Object {
    Object::new()
        .with_some("holder", row.holder.as_ref().map(LeaderId::as_str))
        .with_some("token", row.token.map(FencingToken::get))
        .with("expiresUs", row.expires_at.as_micros())
        .with("remainingUs", row.remaining.as_micros() as u64)
        .with_some("leaseMs", row.lease.map(millis))
        .with_some("meta", row.meta.as_deref())
}
