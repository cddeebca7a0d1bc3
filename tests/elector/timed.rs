//! Bounds on real time. A witness says whether the machine kept the test waiting.

use super::witness::Witness;
use super::work::cut_off;
use super::*;

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
