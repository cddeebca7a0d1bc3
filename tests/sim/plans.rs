//! Worlds with plans and machines of one's own.

use std::time::Duration;

use elector::core::lease::{Config, Input, Leadership, Lease, Output};
use elector::core::{Instant, TimingOptions};
use elector::testing::{Fault, Machine, Plan, World};

/// A machine with one fault in how it answers.
struct Faulty {
    lease: Lease,
    answer: fn(&Lease, Instant) -> Leadership,
    output: fn(Output) -> Output,
}

impl Machine for Faulty {
    fn handle_input(&mut self, now: Instant, input: Input) {
        self.lease.handle_input(now, input);
    }

    fn poll_output(&mut self) -> Output {
        (self.output)(self.lease.poll_output())
    }

    fn leadership(&self, now: Instant) -> Leadership {
        (self.answer)(&self.lease, now)
    }

    fn settlements(&self) -> u64 {
        self.lease.settlements()
    }
}

/// What the first of 100 worlds that notices the fault reports.
fn noticed(answer: fn(&Lease, Instant) -> Leadership, output: fn(Output) -> Output) -> String {
    let begin = move |config: Config, now| -> Box<dyn Machine> {
        Box::new(Faulty { lease: Lease::new(config, now), answer, output })
    };
    let broken = |seed| {
        let mut world = World::with_machines(seed, Plan::drawn(seed), begin).unwrap();
        world.run().err()
    };
    (0..100).find_map(broken).expect("a world in which the fault is noticed").to_string()
}

#[test]
fn a_faulty_machine_is_noticed_with_seed_time_and_promise() {
    // Trust that lasts 2 % longer than the machine's; a wait that never ends.
    let later = |lease: &Lease, now: Instant| {
        let says = lease.leadership(now);
        let trusted_until = says.trusted_until.saturating_add(lease.config().timing.lease() / 50);
        Leadership { trusted_until, ..says }
    };
    let story = noticed(later, |output| output);
    assert!(story.starts_with("seed ") && story.contains("trusted"), "{story}");
    let story = noticed(Lease::leadership, |output| match output {
        Output::WaitUntil(_) => Output::WaitUntil(elector::core::lease::Wait::NEVER),
        other => other,
    });
    assert!(story.contains("wait") || story.contains("leads"), "{story}");
}

#[test]
fn the_drawn_plan_passed_in_gives_the_world_of_its_seed() {
    for seed in 0..5 {
        let (mut drawn, mut passed) = (World::new(seed), World::with(seed, Plan::drawn(seed)).unwrap());
        assert_eq!((drawn.run(), passed.run()), (Ok(()), Ok(())));
        assert_eq!(drawn.log_digest(), passed.log_digest());
    }
}

#[test]
fn the_promises_hold_with_timings_latencies_and_numbers_of_candidates_that_no_seed_draws() {
    let ms = |millis| Some(Duration::from_millis(millis));
    let timings = [
        TimingOptions {
            lease: ms(100),
            margin: ms(1),
            grace: ms(1),
            renew: ms(15),
            jitter: ms(5),
            ..Default::default()
        },
        TimingOptions { lease: ms(1_000), retry: ms(200), grace: ms(0), ..Default::default() },
        TimingOptions { lease: ms(60_000), renew: ms(1_000), jitter: ms(0), ..Default::default() },
        TimingOptions { lease: ms(86_400_000), ..Default::default() },
    ];
    for seed in 0..24 {
        let timing = timings[seed as usize % timings.len()].build().unwrap();
        let candidates = [1, 2, 8, 13][seed as usize / 4 % 4];
        let latency = (timing.lease() / 100).min(Duration::from_secs(1));
        let drawn = Plan::drawn(seed);
        let (chaos, fault_every) = (timing.lease() * 20, timing.lease() / 3);
        let plan = Plan { timing, candidates, latency, chaos, fault_every, ..drawn };
        let mut world = World::with(seed, plan).unwrap();
        if let Err(violation) = world.run() {
            panic!("{}\n{:?}\n{violation}", world.log_tail(), world.plan());
        }
    }
}

#[test]
fn a_plan_out_of_bounds_is_refused_with_what_to_choose() {
    let plan = || Plan::drawn(0);
    let lease = plan().timing.lease();
    let refused = [
        (Plan { candidates: 0, ..plan() }, "1 to 50"),
        (Plan { candidates: 51, ..plan() }, "1 to 50"),
        (Plan { latency: Duration::ZERO, ..plan() }, "1 ns to"),
        (Plan { latency: lease / 50, ..plan() }, "1 ns to"),
        (Plan { chaos: lease * 1_001, ..plan() }, "at most 1000 leases"),
        (Plan { fault_every: Duration::ZERO, ..plan() }, "at least 1ms"),
        (Plan { faults: Fault::all().collect(), ..plan() }, "leave out one"),
    ];
    for (plan, advice) in refused {
        let error = World::with(0, plan).err().unwrap().to_string();
        assert!(error.contains(advice), "{error}");
    }
}

#[test]
fn what_no_candidate_has_does_nothing() {
    let mut world = World::with(0, Plan { candidates: 2, faults: vec![], ..Plan::drawn(0) }).unwrap();
    world.crash(2, Duration::MAX);
    assert_eq!(world.tell(2, Input::Campaign), Ok(()));
    assert_eq!(world.leadership(2), None);
    world.crash(1, Duration::MAX);
    assert_eq!(world.leadership(1), None);
    assert_eq!(world.tell(1, Input::Campaign), Ok(()));
    let lease = world.plan().timing.lease();
    assert_eq!(world.run_for(lease * 3), Ok(()));
    assert_eq!((world.leader(), world.figures().simulated), (Some(0), lease * 3));
}
