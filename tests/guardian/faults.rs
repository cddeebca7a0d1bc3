//! Faults of the processes that keep a command alive, and what becomes of the command.

use std::thread;
use std::time::Duration;

use elector::core::Instant;
use nix::sys::signal::{Signal, kill};

use crate::beats::Beat;
use crate::place::{Candidate, Place};

/// When the command of one term ended, and when the command of the next term began.
pub struct Ending {
    pub fault: Instant,
    /// The last beat of the old command.
    pub last: Instant,
    /// The first beat of the new one.
    pub next: Beat,
}

impl Ending {
    /// Asserts the property itself: no two commands at once.
    pub fn of(fault: Instant, old: &Candidate, next: Beat) -> Ending {
        // An old command that still runs has the time to show it.
        thread::sleep(Duration::from_millis(50));
        let last = old.beats().iter().rfind(|beat| beat.token < next.token).expect("a beat").at;
        assert!(last < next.at, "two commands at once for {:?}", last.saturating_since(next.at));
        Ending { fault, last, next }
    }

    /// From the fault to the last beat.
    pub fn took(&self) -> Duration {
        self.last.saturating_since(self.fault)
    }
}

pub fn kill_run(place: &Place, old: &Candidate, new: &Candidate) -> Ending {
    let token = old.wait_for_beats(0).token;
    let fault = place.now();
    old.signal(Signal::SIGKILL);
    Ending::of(fault, old, new.wait_for_beats(token))
}

pub fn stop_run(place: &Place, old: &Candidate, new: &Candidate) -> Ending {
    let token = old.wait_for_beats(0).token;
    old.stop();
    let fault = place.now();
    Ending::of(fault, old, new.wait_for_beats(token))
}

pub fn kill_guardian(place: &Place, candidate: &Candidate) -> Ending {
    let token = candidate.wait_for_beats(0).token;
    let guardian = candidate.guardian();
    let fault = place.now();
    kill(guardian, Signal::SIGKILL).expect("the guardian");
    Ending::of(fault, candidate, candidate.wait_for_beats(token))
}

pub fn kill_keeper(place: &Place, candidate: &Candidate) -> Ending {
    let token = candidate.wait_for_beats(0).token;
    let keeper = candidate.keeper();
    let fault = place.now();
    kill(keeper, Signal::SIGKILL).expect("the keeper");
    Ending::of(fault, candidate, candidate.wait_for_beats(token))
}

pub fn stop_keeper_and_kill_guardian(place: &Place, candidate: &Candidate) -> Ending {
    candidate.wait_for_beats(0);
    let keeper = candidate.keeper();
    let _ = candidate.guardian();
    kill(keeper, Signal::SIGSTOP).expect("the keeper");
    kill_guardian(place, candidate)
}

/// The lease is revoked, so the term ends; a guardian that is stopped does not hear of it.
pub fn stop_guardian_and_break(place: &Place, old: &Candidate, new: &Candidate) -> Ending {
    old.wait_for_beats(0);
    kill(old.guardian(), Signal::SIGSTOP).expect("the guardian");
    break_lease(place, old, new)
}

pub fn break_lease(place: &Place, old: &Candidate, new: &Candidate) -> Ending {
    let token = old.wait_for_beats(0).token;
    let fault = place.now();
    place.break_lease();
    Ending::of(fault, old, new.wait_for_beats(token))
}
