//! A host of the core inside WebAssembly, the smallest that makes every layer of it be linked.

use elector::core::lease::{Config, Event, Input, Lease, Op, Outcome, Output, Reply};
use elector::core::{FencingToken, Instant, Name, Timing};

/// The token with which a candidate leads after a store granted it `previous + 1`; 0 if it does not lead.
#[unsafe(no_mangle)]
pub extern "C" fn elect(previous: u32) -> u32 {
    let config = Config {
        election: Name::new("election", "nightly").unwrap(),
        candidate: Name::new("candidate", "api-1").unwrap(),
        incarnation: 1,
        meta: None,
        timing: Timing::default(),
        strict: false,
        progress_gate: false,
        seed: 1,
    };
    let mut now = Instant::ZERO;
    let mut lease = Lease::new(config, now);
    lease.handle_input(now, Input::Campaign);
    for _ in 0..100 {
        match lease.poll_output() {
            Output::Send(request) => {
                let outcome = match request.op {
                    Op::Acquire(_) => FencingToken::new(u64::from(previous))
                        .and_then(FencingToken::next)
                        .map_or(Outcome::Seen(None), |token| Outcome::Granted { token }),
                    _ => Outcome::Seen(None),
                };
                lease.handle_input(now, Input::Reply(Reply { id: request.id, clock: None, outcome }));
            }
            Output::Event(Event::Elected { token }) => return token.get() as u32,
            Output::Event(_) => {}
            Output::WaitUntil(wait) => {
                now = wait.latest;
                lease.handle_input(now, Input::Timeout);
            }
        }
    }
    0
}
