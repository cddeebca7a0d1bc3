//! The published figures of fail-over, hand-over and traffic: members on a network without faults, where a
//! message takes 5 ms. They depend on seeds alone, not on the machine.
//!
//! ```text
//! export ELECTOR_FIGURES_SEEDS=100000
//! cargo test --release --no-default-features --features testing --test raft figures:: -- --nocapture
//! ```

use std::time::Duration;

use elector::core::raft::{ElectionTiming, Input};
use elector_kit::seeds::seeds_of;

use crate::drive::MS;
use crate::network::{Network, ONE_WAY, id, timing};

/// Fewer than the published figures are of, unless the environment names others.
fn seeds() -> std::ops::Range<u64> {
    seeds_of("ELECTOR_FIGURES_SEEDS", 200)
}

/// Prints a figure beside its limit, which it must not exceed.
fn limited(what: &str, measured: f64, limit: f64, unit: &str) {
    println!("{what:52} {measured:8.2} {unit:4}  limit {limit:7.2} {unit}");
    assert!(measured <= limit, "{what}: {measured} {unit}, above {limit}");
}

/// From the crash of the leader until another member leads: the values below which half and 99 % lie, in ms.
fn fail_over(times: [u32; 3], write: Duration) -> [f64; 2] {
    let mut taken: Vec<Duration> = seeds()
        .map(|seed| {
            let (mut network, leader) = Network::led(3, timing(times), write, seed);
            network.crash(leader);
            network.until_led(None)
        })
        .collect();
    taken.sort();
    [50, 99].map(|percent| taken[(taken.len() * percent).div_ceil(100) - 1].as_secs_f64() * 1_000.0)
}

#[test]
fn another_member_leads_soon_after_the_leader_crashed() {
    for (times, limits) in [([100, 200, 800], [380.0, 850.0]), ([50, 150, 300], [220.0, 550.0])] {
        for write in [0, 1] {
            let [p50, p99] = fail_over(times, write * MS);
            let [heartbeat, min, max] = times;
            // A vote, and then a record, wait for the disk.
            let limits = limits.map(|limit| limit + 3.0 * f64::from(write));
            let what = |p| format!("fail-over at {heartbeat}/{min}-{max}, writes of {write} ms: {p}");
            limited(&what("p50"), p50, limits[0], "ms");
            limited(&what("p99"), p99, limits[1], "ms");
        }
    }
}

/// The largest number of one-way times from this input at the leader until another member leads.
fn hops(input: impl Fn(usize) -> Input) -> f64 {
    let taken = seeds().map(|seed| {
        let (mut network, leader) = Network::led(3, ElectionTiming::default(), Duration::ZERO, seed);
        network.input(leader, input(leader));
        network.until_led(Some(leader))
    });
    taken.max().unwrap().as_nanos() as f64 / ONE_WAY.as_nanos() as f64
}

#[test]
fn a_leader_that_hands_over_or_leaves_is_followed_at_once() {
    let transfer = hops(|leader| Input::Transfer { request: 1, to: id((leader + 1) % 3) });
    limited("transfer to a voter with the newest record", transfer, 6.0, "hops");
    limited("a leader leaves", hops(|_| Input::Leave), 7.0, "hops");
}

#[test]
fn a_commit_takes_three_messages_to_each_other_member_and_a_heartbeat_two() {
    for count in [3, 5] {
        let timing = ElectionTiming::default();
        let (mut network, leader) = Network::led(count, timing, Duration::ZERO, 1);
        let others = count as f64 - 1.0;
        let from = network.messages;
        network.run(100 * timing.heartbeat());
        let heartbeat = (network.messages - from) as f64 / 100.0;
        limited(&format!("messages of a heartbeat, {count} members"), heartbeat, 2.0 * others, "");
        // In less than a heartbeat, which a record begins anew.
        let from = network.messages;
        for request in 0..100 {
            let data = b"x"[..].into();
            network.input(leader, Input::Propose { request, expected: None, data });
            network.run(4 * ONE_WAY);
        }
        let commit = (network.messages - from) as f64 / 100.0;
        limited(&format!("messages of a commit, {count} members"), commit, 3.0 * others, "");
    }
}
