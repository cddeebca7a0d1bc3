//! Which runs of a seeded test are played, and on which processors.

use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

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

/// Plays each seed's world, on as many threads as there are processors. Returns the results in the order of
/// the seeds.
pub fn play<T: Send>(seeds: Range<u64>, world: impl Fn(u64) -> T + Sync) -> Vec<T> {
    let (next, results) = (AtomicU64::new(seeds.start), Mutex::new(Vec::new()));
    let play_on = || loop {
        let seed = next.fetch_add(1, Ordering::Relaxed);
        if seed >= seeds.end {
            return;
        }
        let result = world(seed);
        results.lock().unwrap().push((seed, result));
    };
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(play_on);
        }
    });
    let mut results = results.into_inner().unwrap();
    results.sort_by_key(|(seed, _)| *seed);
    results.into_iter().map(|(_, result)| result).collect()
}
