//! A deterministic simulation of the real lease machine: the worlds of [`elector::testing`].
//!
//! Up to five candidates, each with its own clock, one store with another, and between them a network that
//! loses, delays, doubles and reorders. All of it is drawn from a seed, so that a failure can be replayed:
//!
//! ```text
//! export ELECTOR_SIM_SEEDS=17..18 ELECTOR_SIM_LOG=1
//! cargo test --features testing --test sim promises -- --nocapture
//! ```

mod plans;

use std::panic::{AssertUnwindSafe, catch_unwind};

use elector::testing::{Figures, World};
use elector_kit::seeds::{self, seeds};

/// Lives through one run. A panic of the machine is a failure like any other.
fn run(seed: u64, aloud: bool) -> (World, Result<(), String>) {
    let mut world = World::new(seed);
    if aloud {
        world.listen(|line| println!("{line}"));
    }
    let result = catch_unwind(AssertUnwindSafe(|| world.run()))
        .map(|result| result.map_err(|violation| violation.to_string()))
        .unwrap_or_else(|_| Err(format!("seed {seed}: the machine, or the simulation, panicked")));
    (world, result)
}

/// The figures of all runs: the counts added up, and the longest of each gap.
fn sum(total: Figures, one: Figures) -> Figures {
    Figures {
        happenings: total.happenings + one.happenings,
        elected: total.elected + one.elected,
        simulated: total.simulated + one.simulated,
        gap_after_heal: total.gap_after_heal.max(one.gap_after_heal),
        gap_after_crash: total.gap_after_crash.max(one.gap_after_crash),
        gap_after_release: total.gap_after_release.max(one.gap_after_release),
    }
}

#[test]
fn the_promises_hold_in_every_seeded_world() {
    let (seeds, aloud) = (seeds(1_000), std::env::var_os("ELECTOR_SIM_LOG").is_some());
    let began = std::time::Instant::now();
    let (mut total, mut failed) = (Figures::default(), Vec::new());
    let results = seeds::play(seeds.clone(), |seed| {
        let (world, result) = run(seed, aloud);
        let story = |broken| format!("{}\n{:?}\n{broken}", world.log_tail(), world.plan());
        (world.figures(), result.map_err(story))
    });
    for (seed, (figures, result)) in seeds.clone().zip(results) {
        total = sum(total, figures);
        failed.extend(result.err().map(|story| (seed, story)));
    }
    let took = began.elapsed().as_secs_f64();
    let count = seeds.end - seeds.start;
    println!(
        "{count} seeds in {took:.1} s ({:.0}/s): {:.1} simulated hours, {} happenings, {} terms; longest \
         without a leader beyond the remaining lease: {:?} ms after a heal, a crash, a release (not strict)",
        count as f64 / took,
        total.simulated.as_secs_f64() / 3_600.0,
        total.happenings,
        total.elected,
        [total.gap_after_heal, total.gap_after_crash, total.gap_after_release].map(|gap| gap.as_millis()),
    );
    if let Some((seed, story)) = failed.first() {
        for (_, story) in failed.iter().skip(1).take(20) {
            println!("fails too: {}", story.lines().last().unwrap_or_default());
        }
        panic!(
            "{story}\n{} of {count} seeds fail; replay: ELECTOR_SIM_SEEDS={seed}..{} ELECTOR_SIM_LOG=1 \
             cargo test --features testing --test sim promises -- --nocapture",
            failed.len(),
            seed + 1,
        );
    }
}

#[test]
fn the_same_seed_gives_the_same_log() {
    // Every line of two runs goes into one digest; another seed gives another.
    let digest = |seed| run(seed, false).0.log_digest();
    for seed in 0..5 {
        assert_eq!(digest(seed), digest(seed));
        assert_ne!(digest(seed), digest(seed + 1));
    }
}
