//! An election sweep: clusters of one to five voters that have one seed in common, on a network without
//! faults, elect a leader, and another one after a crash. No seed makes voters stand at the same time again
//! and again.
//!
//! ```text
//! export ELECTOR_SIM_SEEDS=20000
//! cargo test --release --no-default-features --features testing --test raft sweep:: -- --nocapture
//! ```

use std::time::Duration;

use elector::core::raft::ElectionTiming;
use elector_kit::seeds::{play, seeds};

use crate::network::{Network, ONE_WAY, timing};

/// What the slowest voter waits, and then a pre-vote, a vote and a record, each with its answer.
fn soon(timing: ElectionTiming) -> Duration {
    timing.max() + 6 * ONE_WAY
}

fn elect(voters: usize, timing: ElectionTiming, seed: u64) {
    let what = format!("{voters} voters, {timing:?}, seed {seed}");
    let mut network = Network::of(voters, timing, Duration::ZERO, seed);
    let taken = network.until_led(None);
    assert!(taken <= soon(timing), "{what}: nobody led for {taken:?} after the start");

    network.run(timing.max());
    let leader = network.leader().unwrap_or_else(|| panic!("{what}: the leader does not lead on"));
    network.crash(leader);
    let has_quorum = voters > 2;
    if has_quorum {
        let taken = network.until_led(None);
        assert!(taken <= soon(timing), "{what}: nobody led for {taken:?} after a crash");
    } else {
        network.run(10 * timing.max());
        assert_eq!(network.leader(), None, "{what}");
    }

    let tokens = &network.elected;
    assert_eq!(tokens.len(), if has_quorum { 2 } else { 1 }, "{what}: {tokens:?} were elected");
    assert!(tokens.is_sorted_by(|one, next| one < next), "{what}: {tokens:?} were elected");
}

#[test]
fn one_leader_is_elected_soon_whatever_the_seed() {
    for times in [[100, 200, 800], [50, 150, 300], [100, 200, 240]] {
        for voters in 1..=5 {
            play(seeds(30), |seed| elect(voters, timing(times), seed));
        }
    }
}

#[test]
fn a_leader_with_fast_heartbeats_is_trusted_over_a_long_way() {
    // 70 heartbeats are sent before the first one is answered.
    let timing = timing([1, 200, 800]);
    let mut network = Network::of(3, timing, Duration::ZERO, 7);
    network.one_way = Duration::from_millis(35);
    network.until_led(None);
    network.run(10 * timing.max());
    assert!(network.leader().is_some());
    assert_eq!(network.elected.len(), 1, "and is trusted all the time");
}
