//! Which runs of a seeded test are played.

use std::ops::Range;

/// The seeds of this test run: `ELECTOR_SIM_SEEDS=from..to`, or a number of seeds, or `default` of them.
pub fn seeds(default: u64) -> Range<u64> {
    seeds_of("ELECTOR_SIM_SEEDS", default)
}

/// The seeds that this environment variable names, as `from..to` or as a number of seeds; else `default` of
/// them.
pub fn seeds_of(variable: &str, default: u64) -> Range<u64> {
    let Ok(text) = std::env::var(variable) else { return 0..default };
    let number = |text: &str| text.parse().unwrap_or_else(|_| panic!("{variable}: {text:?} is no number"));
    match text.split_once("..") {
        Some((from, to)) => number(from)..number(to),
        None => 0..number(&text),
    }
}
