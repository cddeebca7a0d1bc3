//! The rules of batches and the pace of clean-ups, for the hub of the npm package.

use wasm_bindgen::JsCast;
use wasm_bindgen::prelude::wasm_bindgen;

use crate::core::batch::{MOST_JOBS, SHORTEST_PATIENCE, Urgency, waited_for};
use crate::core::table::CLEAN_UP_EVERY;
use crate::wasm::object::Object;

#[wasm_bindgen]
extern "C" {
    /// `Limits` in `types.d.ts`.
    #[wasm_bindgen(typescript_type = "Limits")]
    pub type LimitsObject;

    /// The name of an operation.
    #[wasm_bindgen(typescript_type = "Operation[\"op\"]")]
    pub type OpName;

    /// A request: `Request` in `types.d.ts`.
    #[wasm_bindgen(typescript_type = "Request")]
    pub type RequestObject;

    #[wasm_bindgen(method, getter, structural)]
    pub(super) fn op(this: &RequestObject) -> String;
    #[wasm_bindgen(method, getter, structural, js_name = deadlineMs)]
    fn deadline_ms(this: &RequestObject) -> f64;
}

/// The urgency of an operation, the most urgent first.
#[must_use]
#[wasm_bindgen]
pub fn urgency(op: &OpName) -> u32 {
    let name = op.as_string().unwrap_or_default();
    Urgency::named(&name).unwrap_or(Urgency::Look) as u32
}

/// The time until which a hub waits for the replies to a batch of these requests; the hub waits at least
/// `shortestPatienceMs`. 0 for an empty batch.
#[must_use]
#[wasm_bindgen(js_name = waitedForMs)]
pub fn waited_for_ms(requests: Vec<RequestObject>) -> f64 {
    let named = |request: &RequestObject| Urgency::named(&request.op()).unwrap_or(Urgency::Look);
    waited_for(requests.iter().map(|request| (named(request), request.deadline_ms()))).unwrap_or_default()
}

/// The limits of hubs.
#[must_use]
#[wasm_bindgen]
pub fn limits() -> LimitsObject {
    let ms = |duration: core::time::Duration| duration.as_millis() as f64;
    let made = Object::new()
        .with("mostJobs", MOST_JOBS as f64)
        .with("shortestPatienceMs", ms(SHORTEST_PATIENCE))
        .with("cleanUpEveryMs", ms(CLEAN_UP_EVERY));
    made.unchecked_into()
}
