//! Worlds of Raft members: see [`elector::testing::raft`].
//!
//! ```text
//! export ELECTOR_SIM_SEEDS=17..18 ELECTOR_SIM_LOG=1
//! cargo test --no-default-features --features testing --test raft world::promises -- --nocapture
//! ```

use std::time::Duration;

use elector::core::raft::{ElectionTiming, Protection};
use elector::testing::raft::{Fault, Figures, Plan, World};
use elector_kit::seeds::{self, seeds};

#[test]
fn promises_hold_in_every_world() {
    let mut total = Figures::default();
    let (seeds, aloud) = (seeds(40), std::env::var_os("ELECTOR_SIM_LOG").is_some());
    let results = seeds::play(seeds.clone(), |seed| {
        let mut world = World::new(seed);
        if aloud {
            world.listen(|line| println!("{line}"));
        }
        let result = world.run().map_err(|violation| format!("{violation}\n{:?}", world.plan()));
        result.map(|()| world.figures())
    });
    for result in results {
        let figures = result.unwrap_or_else(|violation| panic!("{violation}"));
        total.happenings += figures.happenings;
        total.elected += figures.elected;
        total.committed += figures.committed;
        total.simulated += figures.simulated;
        total.messages += figures.messages;
        total.led_after_heal += figures.led_after_heal;
    }
    let worlds = seeds.end - seeds.start;
    let led_after_heal = total.led_after_heal / u32::try_from(worlds).unwrap();
    println!("{worlds} worlds: {total:?}, led after the heal in the mean {led_after_heal:?}");
    assert!(total.elected >= worlds && total.committed > total.elected, "{total:?}");
    // Each world has a limit of its own; a few may need several rounds of elections, and most none.
    let is_mean = worlds >= 40;
    assert!(!is_mean || led_after_heal < Duration::from_millis(400), "{led_after_heal:?}");
}

#[test]
fn a_seed_gives_the_same_world_again() {
    let play = |seed| {
        let mut world = World::new(seed);
        world.run().unwrap();
        (world.digest(), world.figures())
    };
    assert_eq!(play(3), play(3));
    assert_ne!(play(3).0, play(4).0);
}

#[test]
fn a_majority_leads_and_commits_while_the_other_voters_stay_cut_off() {
    for seed in 0..20 {
        let faults = vec![Fault::Crash, Fault::Partition, Fault::Loss];
        let plan = Plan { witnesses: 2, lost_voters: 2, faults, ..Plan::drawn(seed).of_voters(5) };
        World::with(seed, plan).run().unwrap();
    }
}

/// Worlds in which members lack a rule, until one breaks a promise.
fn broken_without(protection: Protection, faults: &[Fault], change: impl Fn(Plan) -> Plan) -> String {
    for seed in 0..400 {
        let plan = Plan {
            faults: faults.to_vec(),
            without: Some(protection),
            chaos: Duration::from_secs(20),
            fault_every: Duration::from_millis(60),
            ..Plan::drawn(seed).of_voters(3)
        };
        let plan = change(plan);
        if let Err(violation) = World::with(seed, plan).run() {
            return violation.to_string();
        }
    }
    panic!("400 worlds without {protection:?}, and no promise was broken");
}

#[test]
fn two_lead_at_once_where_no_leader_checks_for_a_quorum() {
    let broken = broken_without(Protection::CheckQuorum, &[Fault::Partition], |plan| plan);
    assert!(broken.contains("lead at once"), "{broken}");
}

#[test]
fn two_lead_at_once_where_no_vote_is_withheld() {
    let broken =
        broken_without(Protection::Withholding, &[Fault::Campaign, Fault::OneWay, Fault::Suspend], |plan| {
            plan
        });
    assert!(broken.contains("lead at once"), "{broken}");
}

#[test]
fn committed_data_is_lost_where_a_leader_commits_records_of_earlier_terms() {
    // A winner's first record reaches nobody; the same for the next winner; then the first one wins again,
    // commits its old record, and is gone before it makes another.
    let rare = |plan| Plan {
        timings: vec![ElectionTiming::default()],
        propose_every: Duration::from_secs(5),
        ..plan
    };
    let broken = broken_without(Protection::OwnTerm, &[Fault::Winner, Fault::Crash], rare);
    assert!(
        broken.contains("without the committed") || broken.contains("are committed at index"),
        "{broken}"
    );
}
