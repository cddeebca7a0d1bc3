//! Which worlds a simulation plays.

use std::ops::Range;

/// The seeds of this test run: `ELECTOR_SIM_SEEDS=from..to`, or a number of seeds, or `default` of them.
pub fn seeds(default: u64) -> Range<u64> {
    let Ok(text) = std::env::var("ELECTOR_SIM_SEEDS") else { return 0..default };
    let number =
        |text: &str| text.parse().unwrap_or_else(|_| panic!("ELECTOR_SIM_SEEDS: {text:?} is no number"));
    match text.split_once("..") {
        Some((from, to)) => number(from)..number(to),
        None => 0..number(&text),
    }
}
