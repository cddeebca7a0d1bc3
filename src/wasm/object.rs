//! Objects under construction, and numbers for JavaScript.

use std::time::Duration;

use wasm_bindgen::prelude::{JsValue, wasm_bindgen};

use crate::core::Instant;

#[wasm_bindgen]
extern "C" {
    /// An object under construction.
    #[wasm_bindgen(js_name = Object)]
    pub(super) type Object;

    #[wasm_bindgen(constructor, js_class = "Object")]
    pub(super) fn new() -> Object;

    #[wasm_bindgen(method, structural, indexing_setter)]
    fn set(this: &Object, key: &str, value: JsValue);
}

impl Object {
    pub(super) fn with(self, key: &str, value: impl Into<JsValue>) -> Object {
        self.set(key, value.into());
        self
    }

    pub(super) fn with_some(self, key: &str, value: Option<impl Into<JsValue>>) -> Object {
        match value {
            Some(value) => self.with(key, value),
            None => self,
        }
    }
}

/// A reading of the host's clock, to the nearest nanosecond; `NaN` counts as zero.
pub(super) fn instant(ms: f64) -> Instant {
    Instant::from_nanos((ms * 1e6 + 0.5) as u64)
}

pub(super) fn duration(ms: f64) -> Duration {
    Duration::from_nanos((ms * 1e6 + 0.5) as u64)
}

/// The end of trust, rounded down, because the host compares it with its own clock.
pub(super) fn floor(at: Instant) -> f64 {
    (at.as_nanos() / 1_000) as f64 / 1_000.0
}

/// The instant to wait for, to the nanosecond: a timeout with this value as `nowMs` is not too early.
pub(super) fn exact(at: Instant) -> f64 {
    if at == Instant::MAX { f64::INFINITY } else { at.as_nanos() as f64 / 1e6 }
}
