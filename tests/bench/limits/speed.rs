//! Nanoseconds: a step of the machine, and the question.

use std::hint::black_box;
use std::time::{Duration, Instant as Stopwatch};

use elector::Elector;
use elector::core::lease::{Config, Input, Lease, Op, Outcome, Output, Reply, Request};
use elector::core::{FencingToken, Instant, Name, Timing};
use elector::driver::clock;

use crate::figure::Figure;

/// The best of some runs: what the code costs when nothing else disturbs it.
fn best_ns(runs: usize, steps: u64, mut run: impl FnMut()) -> f64 {
    let times = (0..runs).map(|_| {
        let started = Stopwatch::now();
        run();
        started.elapsed().as_nanos() as f64 / steps as f64
    });
    times.fold(f64::INFINITY, f64::min)
}

/// Renewals of a leader: a timeout that sends, the answer that extends, each drained.
pub fn machine_step() -> Vec<Figure> {
    const STEPS: u64 = 200_000;
    let mut now = Instant::from_millis(1_000);
    let mut lease = Lease::new(
        Config {
            election: Name::new("election", "bench").unwrap(),
            candidate: Name::new("candidate", "bench").unwrap(),
            incarnation: 1,
            meta: None,
            timing: Timing::default(),
            strict: false,
            progress_gate: false,
            seed: 1,
        },
        now,
    );
    lease.handle_input(now, Input::Campaign);
    let mut step = |input: Option<Input>| {
        if let Some(input) = input {
            lease.handle_input(now, input);
        }
        let mut request: Option<Request> = None;
        loop {
            match lease.poll_output() {
                Output::Send(sent) => request = Some(sent),
                Output::Event(event) => drop(black_box(event)),
                Output::WaitUntil(wait) => {
                    if request.is_none() {
                        now = wait.latest;
                    }
                    return request;
                }
            }
        }
    };
    let mut request = step(None);
    let ns = best_ns(7, STEPS, || {
        for _ in 0..STEPS {
            let input = match request.take() {
                Some(Request { id, op, .. }) => {
                    let outcome = match op {
                        Op::Acquire(_) => Outcome::Granted { token: FencingToken::new(7).unwrap() },
                        _ => Outcome::Renewed,
                    };
                    Input::Reply(Reply { id, clock: None, outcome })
                }
                None => Input::Timeout,
            };
            request = step(Some(input));
        }
    });
    vec![Figure::new("machine step: handle_input and drain", ns, 300.0, "ns")]
}

/// The question against the clock read that it contains, in one run.
pub fn am_i_leader() -> Vec<Figure> {
    const CALLS: u64 = 2_000_000;
    let elector = Elector::builder("bench").store("memory:bench-ask").build().unwrap();
    elector.campaign();
    elector.wait_until_leader(Duration::from_secs(10)).expect("no other candidate leads");
    let clock_ns = best_ns(7, CALLS, || (0..CALLS).for_each(|_| _ = black_box(clock::now())));
    let ask_ns = best_ns(7, CALLS, || (0..CALLS).for_each(|_| assert!(black_box(&elector).am_i_leader())));
    vec![Figure::new(
        format!("am_i_leader(), with a clock read of {clock_ns:.1} ns"),
        ask_ns,
        clock_ns + 10.0,
        "ns",
    )]
}
