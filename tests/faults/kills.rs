//! Promises L and T on SQLite while real processes are killed and stopped.
//!
//! Four processes stand for one election. Each asks all the time whether it leads, and records every "yes".

use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use elector_kit::answers;
use elector_kit::candidate::{Candidate, Source, Stand};
use nix::sys::signal::Signal;

const KILLS: usize = 200;
const CANDIDATES: usize = 4;
const MS: Duration = Duration::from_millis(1);

#[test]
fn two_hundred_random_kills_make_no_two_leaders_and_tokens_grow() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = format!("sqlite:{}", folder.path().join("e.db").display());
    let stand = Stand {
        lease: Some(500 * MS),
        margin: Some(50 * MS),
        answers: Some(folder.path().to_owned()),
        ..Stand::on(&store, Source::Changes)
    };
    // What they say of their changes is not read here.
    let (sender, _reports) = channel();
    let start = || Candidate::start(0, &stand, sender.clone());
    let mut candidates: Vec<Candidate> = (0..CANDIDATES).map(|_| start()).collect();
    let newest = |candidate: &Candidate| answers::newest(folder.path(), candidate.pid());
    let leader = |candidates: &[Candidate]| (0..CANDIDATES).max_by_key(|&number| newest(&candidates[number]));
    let newest_token = |candidates: &[Candidate]| candidates.iter().filter_map(newest).max();
    // One that is stopped in the middle of a write keeps the others from being elected until it goes on.
    let mut stopped: Option<usize> = None;
    let mut last_token = None;
    for round in 0..KILLS {
        // Most kills are to hit a new term, however slow the disk is; the others come at any moment.
        let end = Instant::now() + 1_000 * MS;
        while round % 4 > 0 && newest_token(&candidates) <= last_token && Instant::now() < end {
            std::thread::sleep(5 * MS);
        }
        last_token = last_token.max(newest_token(&candidates));
        std::thread::sleep(MS * (5 + rand::random::<u32>() % 60));
        // Now and then a leader is stopped, for longer than its lease, while others are killed around it.
        if round % 40 == 20 {
            stopped = leader(&candidates);
            stopped.iter().for_each(|&number| candidates[number].signal(Signal::SIGSTOP));
        }
        if round % 40 == 39 {
            stopped.take().iter().for_each(|&number| candidates[number].signal(Signal::SIGCONT));
        }
        // Mostly the leader, else anybody: a candidate may be about to become one.
        let anybody = rand::random::<u32>() as usize % CANDIDATES;
        let victim = if rand::random::<u32>() % 4 < 3 { leader(&candidates) } else { None };
        let victim = victim.filter(|number| Some(*number) != stopped).unwrap_or(anybody);
        if Some(victim) == stopped {
            stopped = None;
        }
        candidates[victim] = start();
    }
    drop(candidates);

    let judged = answers::judge(folder.path());
    println!("{judged:?} in {KILLS} kills");
    assert!(judged.terms > KILLS / 4, "{judged:?}: the kills hit no leaders");
    assert_eq!(judged.overlap, Duration::ZERO, "two leaders at once, or a token that shrank: {judged:?}");
}
