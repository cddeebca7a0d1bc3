//! The replies that JavaScript passes in.

use std::time::Duration;

use wasm_bindgen::prelude::wasm_bindgen;

use crate::core::lease::{Failure, LeaderId, Outcome, Reply, RequestId, Row, StoreClock};
use crate::core::{FencingToken, StoreTime};

#[wasm_bindgen]
extern "C" {
    /// `Reply` in `types.d.ts`.
    #[wasm_bindgen(typescript_type = "Reply")]
    pub type ReplyObject;

    #[wasm_bindgen(method, getter, structural)]
    fn id(this: &ReplyObject) -> f64;
    #[wasm_bindgen(method, getter, structural, js_name = nowUs)]
    fn now_us(this: &ReplyObject) -> Option<i64>;
    #[wasm_bindgen(method, getter, structural)]
    fn timeline(this: &ReplyObject) -> Option<u64>;
    #[wasm_bindgen(method, getter, structural)]
    fn outcome(this: &ReplyObject) -> String;
    #[wasm_bindgen(method, getter, structural)]
    fn token(this: &ReplyObject) -> Option<u64>;
    #[wasm_bindgen(method, getter, structural)]
    fn row(this: &ReplyObject) -> Option<RowObject>;

    /// `Row` in `types.d.ts`.
    #[wasm_bindgen(typescript_type = "Row")]
    pub type RowObject;

    #[wasm_bindgen(method, getter, structural)]
    fn holder(this: &RowObject) -> Option<String>;
    #[wasm_bindgen(method, getter, structural, js_name = token)]
    fn row_token(this: &RowObject) -> Option<u64>;
    #[wasm_bindgen(method, getter, structural, js_name = expiresUs)]
    fn expires_us(this: &RowObject) -> i64;
    #[wasm_bindgen(method, getter, structural, js_name = remainingUs)]
    fn remaining_us(this: &RowObject) -> u64;
    #[wasm_bindgen(method, getter, structural, js_name = leaseMs)]
    fn lease_ms(this: &RowObject) -> Option<f64>;
    #[wasm_bindgen(method, getter, structural)]
    fn meta(this: &RowObject) -> Option<String>;
}

/// The reply that an object describes, or why the object is invalid.
pub(super) fn understood(given: &ReplyObject) -> Result<Reply, String> {
    let clock = given
        .now_us()
        .map(|now| StoreClock { now: StoreTime::from_micros(now), timeline: given.timeline().unwrap_or(0) });
    let word = given.outcome();
    let outcome = match word.as_str() {
        "seen" => Outcome::Seen(given.row().map(|given| row(&given)).transpose()?),
        "granted" => Outcome::Granted { token: token(given.token().unwrap_or(0))? },
        "renewed" => Outcome::Renewed,
        "lost" => Outcome::Lost,
        "released" => Outcome::Released,
        "unsent" => Outcome::Failed(Failure::Unsent),
        "unknown" => Outcome::Failed(Failure::Unknown),
        "refused" => Outcome::Failed(Failure::Refused),
        other => return Err(["the reply has the unknown outcome '", other, "'"].concat()),
    };
    Ok(Reply { id: RequestId(given.id() as u64), clock, outcome })
}

fn row(given: &RowObject) -> Result<Row, String> {
    Ok(Row {
        holder: given.holder().as_deref().and_then(LeaderId::from_store),
        token: given.row_token().map(token).transpose()?,
        expires_at: StoreTime::from_micros(given.expires_us()),
        remaining: Duration::from_micros(given.remaining_us()),
        lease: given.lease_ms().map(|ms| Duration::from_millis(ms as u64)),
        meta: given.meta().map(Into::into),
    })
}

fn token(number: u64) -> Result<FencingToken, String> {
    FencingToken::try_from(number).map_err(|error| error.to_string())
}
