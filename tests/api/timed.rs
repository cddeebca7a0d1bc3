//! Bounds on real time. A witness says whether the machine kept the test waiting.

use std::sync::mpsc::{Sender, channel};

use elector::core::Instant as ClockTime;
use elector::driver::clock;

use super::work::cut_off;
use super::*;
use elector_kit::witness::Witness;

const SECOND: Duration = Duration::from_secs(1);

/// A release, the last handle that is dropped, and a run that is dropped half-way.
#[test]
fn each_way_to_give_up_hands_over_within_five_seconds() {
    let witness = Witness::start(&[]);
    type GiveUp = fn(Elector);
    let ways: [(&str, GiveUp); 3] = [
        ("a release", |elector| elector.release()),
        ("the end of the last handle", drop),
        ("the end of a run", |elector| {
            let mut run = pin!(elector.run_as_leader(async |_| std::future::pending::<()>().await));
            assert!(run.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        }),
    ];
    for (what, give_up) in ways {
        let (first, second) = (lasting(what, "a"), lasting(what, "b"));
        first.campaign();
        first.wait_until_leader(SOON).unwrap();
        second.campaign();
        until("the second waits", || second.leader().is_some());
        witness.reset();
        let began = Instant::now();
        give_up(first);
        second.wait_until_leader(SOON).unwrap();
        witness.at_most(began.elapsed(), 5 * SECOND, what);
    }
}

#[test]
fn work_is_cut_off_within_the_grace_and_the_next_term_ends_by_a_release() {
    let witness = Witness::start(&[]);
    // The second term must last until its work is done.
    let builder = Elector::builder("nightly").store("memory:in-grace").lease(12 * SECOND).grace(SECOND);
    let cut_off = cut_off("in-grace", builder);
    witness.at_most(cut_off.dropped_at.saturating_since(cut_off.stop_at), SECOND, "to cut the work off");
    assert!(cut_off.stop_at <= cut_off.dropped_at);
    assert!(cut_off.tokens.is_sorted_by(|a, b| a < b), "{:?}", cut_off.tokens);
    let expected = [DeposedReason::Expired, DeposedReason::Released];
    assert_eq!(cut_off.reasons, expected, "to be cut off is no release");
}

/// A work of some jobs, each of which takes a while however soon it is told to stop. Says when each ran.
async fn jobs(term: elector::Term, began: &Sender<()>, ran: &Sender<(ClockTime, ClockTime)>) {
    while !term.is_stopping() {
        let start = clock::now();
        let _ = began.send(());
        tokio::time::sleep(1_500 * MS).await;
        ran.send((start, clock::now())).unwrap();
    }
}

/// The figure of a roll-out: each process is told to stop while a job runs, and a new one stands already.
#[test]
fn in_twenty_roll_outs_no_two_jobs_run_at_once() {
    let witness = Witness::start(&[]);
    let folder = tempfile::tempdir().unwrap();
    let store = format!("sqlite:{}", folder.path().join("leases.db").display());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let (ran, runs) = channel();
    let start = |name: String| {
        let elector = Elector::builder("nightly").store(&store).candidate(name).build().unwrap();
        let (began, begins) = channel();
        let (worker, ran) = (elector.clone(), ran.clone());
        let work = async move |term| jobs(term, &began, &ran).await;
        (elector, begins, runtime.spawn(async move { worker.run_as_leader(work).await }))
    };
    let mut leader = start("0".into());
    for turn in 1..=20 {
        leader.1.recv_timeout(SOON).expect("a job begins");
        let next = start(turn.to_string());
        std::thread::sleep(200 * MS);
        leader.0.drain();
        runtime.block_on(leader.2).unwrap().expect("the job was finished under its lease");
        leader = next;
    }
    leader.1.recv_timeout(SOON).expect("a job begins");
    leader.0.drain();
    runtime.block_on(leader.2).unwrap().unwrap();
    let runs: Vec<_> = runs.try_iter().collect();
    assert!(runs.len() >= 21, "{} jobs", runs.len());
    for pair in runs.windows(2) {
        assert!(pair[0].1 <= pair[1].0, "two jobs ran at once: {pair:?}");
    }
    let mut gaps: Vec<_> = runs.windows(2).map(|pair| pair[1].0.saturating_since(pair[0].1)).collect();
    gaps.sort();
    println!("{} jobs, 0 ms of overlap; from the end of a job to the next one: {gaps:?}", runs.len());
    witness.at_most(gaps[gaps.len() - 1], 5 * SECOND, "the hand-over");
}

/// With a lease of 10 s, so that the renewals need not be punctual.
#[test]
fn the_progress_gate_keeps_a_lively_host_for_longer_than_a_lease_and_lets_a_silent_one_lose() {
    let elector = Elector::builder("gated").store("memory:lively").progress_gate().build().unwrap();
    let mut changes = elector.changes();
    elector.campaign();
    assert!(matches!(next_turn(&mut changes), Event::Elected { .. }));
    let lively = Instant::now();
    while lively.elapsed() < 12 * SECOND {
        elector.alive();
        assert!(elector.am_i_leader());
        std::thread::sleep(20 * MS);
    }
    assert!(matches!(next_turn(&mut changes), Event::AtRisk { .. }));
    assert!(matches!(next_turn(&mut changes), Event::StopNewWork { .. }));
    assert!(matches!(next_turn(&mut changes), Event::Deposed { reason: DeposedReason::Stalled, .. }));
    elector.alive();
    assert!(matches!(next_turn(&mut changes), Event::Elected { .. }));
}
