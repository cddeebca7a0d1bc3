//! The pure core for JavaScript, in two modules of WebAssembly: [`lease`] with the feature `wasm`, and
//! [`raft`] with `wasm-raft`.
//!
//! `bindings/js/scripts/build.mjs` builds them for `wasm32-unknown-unknown`, for the npm package
//! `elector-wasm`. They contain no clock, timer, socket or random source: the host passes times in as
//! milliseconds on its own clock, and seeds as `bigint`.
//!
//! A panic becomes a JavaScript exception, of the lease machine with the panic's message. The machine that
//! panicked stays locked and answers every further call with an exception: it must not lead any more.

#[cfg(feature = "wasm")]
pub mod lease;
mod object;
#[cfg(feature = "wasm-raft")]
pub mod raft;

/// Turns panics into exceptions. Runs when the module is instantiated.
#[cfg(all(target_arch = "wasm32", feature = "wasm"))]
#[wasm_bindgen::prelude::wasm_bindgen(start)]
fn start() {
    std::panic::set_hook(Box::new(|panic| {
        let payload = panic.payload();
        let text = payload.downcast_ref::<&str>().copied();
        let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
        let message = ["the lease machine panicked: ", text.unwrap_or("no message")].concat();
        wasm_bindgen::throw_str(&message);
    }));
}
