//! Commits and elections a second of Elector's Raft machine beside raft-rs: in one run, in one harness, with
//! the same work.
//!
//! `cargo run --release --manifest-path tests/bench/raft/Cargo.toml`; the names of benches behind that pick
//! some.

#[path = "../../limits/figure.rs"]
#[allow(dead_code, reason = "it is shared, and this program needs a part of it")]
mod figure;
mod harness;
mod ours;
mod theirs;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use figure::{Bench, Figure};
use harness::{Cluster, Member};
use ours::Ours;
use theirs::Theirs;

const BENCHES: [Bench; 2] = [("commits", commits), ("elections", elections)];

/// The most time that Elector may take, as a part of what raft-rs takes: it must be twice as fast.
const MOST: f64 = 0.5;

fn main() -> ExitCode {
    let named: Vec<String> = std::env::args().skip(1).collect();
    figure::run(&BENCHES, &named)
}

/// Each of 16 bytes, proposed once the one before it is committed at all members.
fn commits() -> Vec<Figure> {
    fn commit<M: Member>() -> (u64, Duration) {
        const COMMITS: u64 = 20_000;
        let mut cluster = Cluster::<M>::start();
        cluster.elect();
        let started = Instant::now();
        for number in 0..COMMITS {
            cluster.commit(&u128::from(number).to_le_bytes());
        }
        (COMMITS, started.elapsed())
    }
    compared("sequential commits", commit::<Ours>, commit::<Theirs>)
}

/// Three members start, and one is elected: until its first record is committed.
fn elections() -> Vec<Figure> {
    fn elect<M: Member>() -> (u64, Duration) {
        const ELECTIONS: u64 = 5_000;
        let started = Instant::now();
        for _ in 0..ELECTIONS {
            Cluster::<M>::start().elect();
        }
        (ELECTIONS, started.elapsed())
    }
    compared("cold elections", elect::<Ours>, elect::<Theirs>)
}

/// Measures both in turns, and compares the best of each: what the code costs when nothing else disturbs it.
fn compared(
    what: &str,
    ours: impl Fn() -> (u64, Duration),
    theirs: impl Fn() -> (u64, Duration),
) -> Vec<Figure> {
    let per_second = |(count, taken): (u64, Duration)| count as f64 / taken.as_secs_f64();
    let (mut best, mut best_of_theirs) = (0.0_f64, 0.0_f64);
    for _ in 0..9 {
        best = best.max(per_second(ours()));
        best_of_theirs = best_of_theirs.max(per_second(theirs()));
    }
    let ratio = best / best_of_theirs;
    let what = format!("{what}/s: {best:.0}, raft-rs {best_of_theirs:.0}, {ratio:.2} x as fast: time");
    vec![Figure::new(what, 1.0 / ratio, MOST, "x")]
}
