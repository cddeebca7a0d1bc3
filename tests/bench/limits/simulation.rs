//! How fast the simulated worlds are: what a seed costs decides how many are played.

use std::time::Instant as Stopwatch;

use elector::testing::raft::World;
use elector_kit::seeds;

use crate::figure::Figure;

/// Worlds of Raft members, on all processors as the suite plays them: the best of many short runs, which is
/// what the code costs when nothing else disturbs it.
pub fn raft_worlds() -> Vec<Figure> {
    let run = || {
        let started = Stopwatch::now();
        let happenings = seeds::play(0..100, |seed| {
            let mut world = World::new(seed);
            world.run().unwrap_or_else(|violation| panic!("{violation}"));
            world.figures().happenings
        });
        happenings.iter().sum::<u64>() as f64 / 1e6 / started.elapsed().as_secs_f64()
    };
    let best = (0..100).map(|_| run()).fold(0.0, f64::max);
    vec![Figure::at_least("Raft simulation, all processors, events per second", best, 3.0, "M")]
}
