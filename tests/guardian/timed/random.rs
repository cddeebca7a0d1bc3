//! Two candidates, fifty faults drawn at random: a process that keeps a command alive is killed or stopped.

use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};

use crate::beats::{Beat, Manner};
use crate::place::{Candidate, Place, wait_for};

const FAULTS: usize = 50;
/// Trust ends a second before the lease, which is what a busy machine may keep a guardian waiting.
const TIMING: &[&str] = &["--forever", "--lease-ms=2000", "--margin-ms=1000", "--grace-ms=100"];

/// What happens to the candidate whose command runs.
#[derive(Clone, Copy, Debug)]
enum Fault {
    KillRun,
    KillGuardian,
    KillKeeper,
    StopRun,
    StopGuardian,
    StopKeeper,
}

fn fault() -> Fault {
    match rand::random::<u32>() % 10 {
        0..3 => Fault::KillRun,
        3..4 => Fault::KillGuardian,
        4..5 => Fault::KillKeeper,
        5..8 => Fault::StopRun,
        8..9 => Fault::StopGuardian,
        _ => Fault::StopKeeper,
    }
}

fn terms(mut beats: Vec<Beat>) -> Vec<Vec<Beat>> {
    beats.sort_by_key(|beat| (beat.token, beat.at));
    beats.chunk_by(|one, next| one.token == next.token).map(<[Beat]>::to_vec).collect()
}

#[test]
fn no_two_commands_ever_run_at_once_under_fifty_random_kills_and_stops() {
    let place = Place::new(TIMING);
    let start = |name: &str| place.run(name, Manner::IgnoresTerm, &[]);
    let mut candidates = [start("a"), start("b")];
    let (mut token, mut happened) = (0, Vec::new());
    while happened.len() < FAULTS {
        let (leader, beat) = wait_for("a command to run", || {
            let newest = |number: usize| candidates[number].beats().last().map(|beat| (number, *beat));
            [newest(0), newest(1)].into_iter().flatten().find(|(_, beat)| beat.token > token)
        });
        token = beat.token;
        thread::sleep(Duration::from_millis(u64::from(rand::random::<u32>() % 400)));
        let candidate = &mut candidates[leader];
        // There is none where the term has ended meanwhile, on a busy machine.
        let Some(keeper) = candidate.find_keeper() else { continue };
        let Some(guardian) = candidate.find_guardian() else { continue };
        let fault = fault();
        happened.push((beat.token, fault));
        // Longer than the lease, or not: a process that was stopped wakes in its own term, or in another's.
        let while_stopped = Duration::from_millis(u64::from(rand::random::<u32>() % 3_000));
        match fault {
            Fault::KillRun => {
                candidate.signal(Signal::SIGKILL);
                candidate.wait();
                candidates[leader] = start(["a", "b"][leader]);
                continue;
            }
            Fault::KillGuardian => {}
            Fault::KillKeeper => {
                let _ = kill(keeper, Signal::SIGKILL);
                // To kill both at once is not covered; see running-commands.md.
                continue;
            }
            Fault::StopKeeper => {
                let _ = kill(keeper, Signal::SIGSTOP);
                thread::sleep(while_stopped);
                let _ = kill(keeper, Signal::SIGCONT);
            }
            Fault::StopRun => {
                candidate.signal(Signal::SIGSTOP);
                thread::sleep(while_stopped);
                candidate.signal(Signal::SIGCONT);
            }
            Fault::StopGuardian => {
                let _ = kill(guardian, Signal::SIGSTOP);
                thread::sleep(while_stopped);
                let _ = kill(guardian, Signal::SIGCONT);
            }
        }
        // Ends what is left of the term, if anything is.
        let _ = kill(guardian, Signal::SIGKILL);
    }
    let terms = terms(candidates.iter().flat_map(Candidate::beats).collect());
    assert!(terms.len() >= FAULTS, "each fault ends a term: {} terms", terms.len());
    for pair in terms.windows(2) {
        let (old, new) = (pair[0].last().expect("a beat"), pair[1][0]);
        assert!(old.at < new.at, "two at once: {old:?} after {new:?}; {happened:?}");
    }
    for term in &terms {
        assert!(term.iter().all(|beat| beat.pid == term[0].pid), "one token, one command: {term:?}");
    }
}
