//! Work that runs under a term: when it ends, and what becomes of its term then.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Sender, channel};

use elector::Term;
use elector::core::Instant as ClockTime;
use elector::core::lease::Leadership;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn work_runs_under_a_term_and_returns_without_any_runtime() {
    let elector = lasting("work", "a");
    let mut changes = elector.changes();
    let mut ran = None;
    let token = block_on(elector.run_as_leader(async |term| {
        assert!(term.is_current() && term.work_for() > Duration::ZERO);
        ran = Some(term.clone());
        term.token()
    }));
    let token = token.unwrap();
    let ran = ran.unwrap();
    assert_eq!((ran.trusted_for(), ran.work_for()), (Duration::ZERO, Duration::ZERO), "it is over");
    assert_eq!(elector.leadership().phase, Phase::Standby);
    assert_eq!(next_turn(&mut changes), Event::Elected { token });
    assert_eq!(next_turn(&mut changes), Event::Deposed { token, reason: DeposedReason::Released });
}

/// What became of work that was cut off once.
pub struct CutOff {
    /// The tokens of all its calls.
    pub tokens: Vec<FencingToken>,
    /// Why their terms ended.
    pub reasons: Vec<DeposedReason>,
    /// When the future of the first call was dropped.
    pub dropped_at: ClockTime,
    /// The soft deadline and the end of trust of its term, as it was then.
    pub stop_at: ClockTime,
    pub trusted_until: ClockTime,
}

/// Runs work that hangs in its first call and returns at once in each later one. The store is down from the
/// start of the first call until its future is dropped, so that its term cannot be extended.
pub fn cut_off(store: &str, builder: Builder) -> CutOff {
    let control = MemoryStore::named(store);
    let elector = builder.build().unwrap();
    let mut changes = elector.changes();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let calls = Arc::new(AtomicU32::new(0));
    let ((call, called), (tell, told)) = (channel(), channel());
    let running = runtime.spawn(async move {
        let worker = elector.clone();
        let work = async move |term: Term| {
            call.send(term.token()).unwrap();
            if calls.fetch_add(1, Ordering::SeqCst) == 0 {
                control.fail_with(down(Failure::Unsent));
                let _guard = TellsOfItsEnd(worker.clone(), control.clone(), tell.clone());
                std::future::pending::<()>().await;
            }
        };
        elector.run_as_leader(work).await.unwrap();
    });
    runtime.block_on(async { tokio::time::timeout(SOON, running).await.unwrap().unwrap() });
    let tokens: Vec<_> = called.iter().collect();
    let reasons = tokens.iter().map(|&token| reason_of_end(&mut changes, token)).collect();
    let (dropped_at, Leadership { work_until, trusted_until, .. }) = told.recv().unwrap();
    CutOff { tokens, reasons, dropped_at, stop_at: work_until, trusted_until }
}

/// Part of the future that is cut off: says when that was, and has the store answer again.
struct TellsOfItsEnd(Elector, MemoryStore, Sender<(ClockTime, Leadership)>);

impl Drop for TellsOfItsEnd {
    fn drop(&mut self) {
        let leadership = self.0.leadership();
        let _ = self.2.send((elector::driver::clock::now(), leadership));
        self.1.fail_with(None);
    }
}

/// Between the soft deadline and the end of trust lie 87 s here, longer than any pause of the machine.
#[test]
fn work_is_cut_off_at_the_soft_deadline_and_called_again_under_a_larger_token() {
    let builder = Elector::builder("nightly").store("memory:cut-off").lease(90 * SECOND).grace(87 * SECOND);
    let cut_off = cut_off("cut-off", builder.margin(100 * MS).renew(500 * MS).retry(100 * MS));
    assert!(cut_off.stop_at <= cut_off.dropped_at && cut_off.dropped_at < cut_off.trusted_until);
    let (tokens, reasons) = (&cut_off.tokens, &cut_off.reasons);
    assert!(tokens.len() >= 2 && tokens.is_sorted_by(|a, b| a < b), "{tokens:?}");
    // The next soft deadline comes after 2 s; if the machine pauses for longer, the work is called once more.
    let (_last, cut) = reasons.split_last().unwrap();
    assert!(cut.iter().all(|reason| *reason == DeposedReason::Expired), "to be cut off is no release");
}

#[test]
fn work_ends_with_an_error_when_somebody_else_releases() {
    let elector = lasting("given-up", "a");
    let other = elector.clone();
    let ended = block_on(elector.run_as_leader(async |_| {
        other.release();
        std::future::pending::<()>().await;
    }));
    assert!(ended.unwrap_err().is_released());
    assert_eq!(elector.leadership().phase, Phase::Standby);
}

/// The other candidate would be notified of a release within milliseconds: its first try finds a held row.
#[test]
fn drained_work_is_told_and_finishes_before_the_next_leader_begins() {
    let (first, second) = (lasting("drained-work", "a"), lasting("drained-work", "b"));
    let stop = first.clone();
    let (finished, has_finished) = channel();
    let done = block_on(first.run_as_leader(async |term| {
        second.campaign();
        until("the second waits", || second.leader().is_some());
        assert!(!term.is_stopping());
        let stopper = stop.clone();
        let stopper = std::thread::spawn(move || {
            std::thread::sleep(50 * MS);
            stopper.drain();
        });
        term.stop_requested().await;
        stopper.join().unwrap();
        assert!(term.is_stopping() && !stop.am_i_leader(), "nothing new is begun");
        assert!(term.is_current() && term.work_for() > Duration::ZERO, "the lease is kept");
        std::thread::sleep(300 * MS);
        assert!(!second.am_i_leader() && term.is_current());
        finished.send(()).unwrap();
        term.token()
    }));
    assert!(has_finished.try_recv().is_ok());
    let old = done.expect("the work was done under its lease");
    assert_eq!(first.leadership().reason, Some(DeposedReason::Released));
    assert!(second.wait_until_leader(SOON).unwrap() > old, "released, not left to expire");
}

/// Between the soft deadline and the end of trust lie 79 s here, longer than any pause of the machine, and
/// 10 s before it.
#[test]
fn drained_work_that_does_not_stop_is_renewed_no_more_and_cut_off_at_the_soft_deadline() {
    let builder =
        Elector::builder("nightly").store("memory:drain-bound").lease(90 * SECOND).grace(79 * SECOND);
    let builder = builder.margin(100 * MS).renew(500 * MS).retry(100 * MS).drain(Duration::ZERO);
    let elector = builder.build().unwrap();
    let mut changes = elector.changes();
    let (tell, told) = channel();
    let (control, stop) = (MemoryStore::named("drain-bound"), elector.clone());
    let ended = block_on(elector.run_as_leader(async |_| {
        let _guard = TellsOfItsEnd(stop.clone(), control.clone(), tell.clone());
        stop.drain();
        std::future::pending::<()>().await;
    }));
    assert!(ended.unwrap_err().is_released());
    let (dropped_at, Leadership { phase, work_until, trusted_until, .. }) = told.recv().unwrap();
    assert_eq!(phase, Phase::Draining, "the lease was kept until the work was dropped");
    assert!(work_until <= dropped_at && dropped_at < trusted_until);
    assert!(matches!(next_turn(&mut changes), Event::Elected { .. }));
    assert!(matches!(next_turn(&mut changes), Event::StopNewWork { .. }), "the drain");
    let rest = [next_turn(&mut changes), next_turn(&mut changes)];
    assert!(
        rest.iter().any(|event| matches!(event, Event::AtRisk { .. })),
        "a renewal is withheld: {rest:?}"
    );
    assert!(
        rest.iter().any(|event| matches!(event, Event::StopNewWork { .. })),
        "the soft deadline: {rest:?}"
    );
}

#[test]
fn one_elector_runs_one_piece_of_work_at_a_time() {
    let elector = lasting("busy", "a");
    for _ in 0..2 {
        let done = block_on(elector.run_as_leader(async |term| {
            let refused = elector.run_as_leader(async |_| panic!("two at once")).await;
            let refused: elector::Error = Result::<(), _>::unwrap_err(refused);
            assert!(refused.is_busy() && !refused.is_permanent() && !refused.is_released(), "{refused}");
            assert!(refused.to_string().contains("other work"), "{refused}");
            elector.campaign();
            assert!(term.is_current() && !term.is_stopping(), "neither ends what the first one does");
        }));
        done.unwrap();
    }
}

#[test]
fn a_run_that_is_drained_before_it_begins_work_ends_and_frees_the_lease() {
    let (first, second) = (lasting("early-drain", "a"), lasting("early-drain", "b"));
    let store = MemoryStore::named("early-drain");
    {
        let mut run = pin!(first.run_as_leader(async |_| panic!("no work is begun while it drains")));
        let mut context = Context::from_waker(Waker::noop());
        // The candidate must not be elected before the run was polled once: that poll would begin the work.
        store.fail_with(down(Failure::Unsent));
        let began: Poll<Result<(), _>> = run.as_mut().poll(&mut context);
        assert!(began.is_pending());
        store.fail_with(None);
        first.wait_until_leader(SOON).unwrap();
        first.drain();
        assert!(block_on(run).is_err());
    }
    second.campaign();
    second.wait_until_leader(SOON).unwrap();
}

/// The drain comes between the election and the first step of the work.
#[test]
fn a_run_that_is_drained_as_it_is_elected_begins_no_work() {
    let elector = lasting("drained-as-elected", "a");
    let other = elector.clone();
    let ended = block_on(elector.run_as_leader(|_| {
        other.drain();
        async { panic!("no work is begun while it drains") }
    }));
    let ended: Result<(), elector::Error> = ended;
    assert!(ended.unwrap_err().is_released());
    assert_eq!(elector.leadership().phase, Phase::Standby);
}

#[test]
fn a_run_that_was_not_elected_ends_no_drain_of_other_work() {
    let elector = lasting("kept-for-others", "a");
    elector.campaign();
    let token = elector.wait_until_leader(SOON).unwrap();
    elector.drain();
    {
        let mut run = pin!(elector.run_as_leader(async |_| panic!("the other work goes on")));
        let began: Poll<Result<(), _>> = run.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        assert!(began.is_pending());
    }
    let leadership = elector.leadership();
    assert_eq!((leadership.phase, leadership.token), (Phase::Draining, Some(token)));
    elector.drained();
    assert_eq!(elector.leadership().phase, Phase::Standby);
}

#[test]
fn a_waiting_run_ends_when_somebody_else_releases() {
    let holder = lasting("waiting", "a");
    holder.campaign();
    holder.wait_until_leader(SOON).unwrap();
    let elector = lasting("waiting", "b");
    let other = elector.clone();
    let mut run = pin!(elector.run_as_leader(async |_| ()));
    assert!(run.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending(), "it stands from now on");
    let releaser = std::thread::spawn(move || {
        std::thread::sleep(50 * MS);
        other.release();
    });
    assert!(block_on(run).unwrap_err().is_released());
    releaser.join().unwrap();
}

#[test]
fn dropping_the_future_of_a_run_half_way_cancels_the_work_and_releases() {
    let (first, second) = (lasting("half-way", "a"), lasting("half-way", "b"));
    let (started, has_started) = channel();
    {
        let mut run = pin!(first.run_as_leader(async |_| {
            started.send(()).unwrap();
            std::future::pending::<()>().await;
        }));
        let deadline = Instant::now() + SOON;
        while has_started.try_recv().is_err() {
            assert!(run.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
            assert!(Instant::now() < deadline, "the work starts");
            std::thread::sleep(MS);
        }
        assert!(first.am_i_leader());
        second.campaign();
        until("the second waits", || second.leader().is_some());
    }
    assert!(!first.am_i_leader() && first.leadership().phase == Phase::Standby);
    second.wait_until_leader(SOON).expect("released, not left to expire");
}
