//! What a member starts with: settings and durable state, and why they are refused.

use std::time::Duration;

use elector::core::Instant;
use elector::core::raft::{
    Bound, ClusterId, Config, DurableState, ElectionTiming, MAX_ELECTION_MIN, Position, Raft, Record,
};

use crate::cluster::{Cluster, Start};
use crate::drive::{MS, id};

#[test]
fn times_that_do_not_fit_are_refused() {
    let timing = |heartbeat: u32, min: u32, max: u32| {
        ElectionTiming::new(heartbeat * MS, min * MS, max * MS).map_err(|invalid| invalid.to_string())
    };
    assert_eq!(
        timing(101, 200, 800).unwrap_err(),
        "a heartbeat of 101 ms and elections after 200 to 800 ms do not fit: give a heartbeat of 1 ms to \
         half the minimum, a minimum of at most 60000 ms, and a larger maximum of at most 600000 ms"
    );
    for (heartbeat, min, max) in [(0, 200, 800), (100, 200, 200), (100, 60_001, 70_000), (1, 2, 600_001)] {
        assert!(timing(heartbeat, min, max).is_err(), "{heartbeat} {min} {max}");
    }
    assert_eq!(timing(30_000, 60_000, 600_000).map(|timing| timing.min()), Ok(MAX_ELECTION_MIN));
    assert_eq!(ElectionTiming::default().max(), Duration::from_millis(800));
}

#[test]
fn state_of_another_member_and_state_that_contradicts_itself_are_refused() {
    let start = Start::new(id("a"), Cluster::of(&["a", "b"]).raft("a").membership().clone());
    let refusal = |config: Config, durable| {
        Raft::restore(config, durable, Instant::ZERO).map(drop).unwrap_err().to_string()
    };
    let durable = start.durable().unwrap();
    let mut other = start.config.clone();
    other.id = id("b");
    assert_eq!(
        refusal(other, durable.clone()),
        "the durable state belongs to member a, and this member has another id; give each member a place of \
         its own for its state"
    );
    let mut invalid = durable;
    let DurableState::Bound(bound) = &mut invalid.state else { panic!("a member of a cluster is bound") };
    let mut beyond = bound.clone();
    bound.committed.position = Position::new(1, 1);
    assert_eq!(
        refusal(start.config.clone(), invalid.clone()),
        "the durable state is invalid: the field `committed` is invalid or cut off"
    );
    // A term that no message and no file can hold, and an index, and no cluster.
    beyond.term = Position::LARGEST + 1;
    let mut refused = |bound: &Bound| {
        invalid.state = DurableState::Bound(bound.clone());
        refusal(start.config.clone(), invalid.clone())
    };
    assert_eq!(refused(&beyond), "the durable state is invalid: the field `term` is invalid or cut off");
    beyond.term = Position::LARGEST;
    for break_it in [
        |committed: &mut Record| committed.position.index = Position::LARGEST + 1,
        |committed: &mut Record| committed.cluster = ClusterId::NONE,
    ] {
        let mut broken = beyond.clone();
        break_it(&mut broken.committed);
        assert!(refused(&broken).starts_with("the durable state is invalid: the field"), "{broken:?}");
    }
}
