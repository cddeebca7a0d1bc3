//! The public API over the store in memory: what a Rust user relies on.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use elector::Elector;
use elector::core::Name;
use elector::core::lease::{DeposedReason, Event, Failure, Phase};
use elector::driver::memory::MemoryStore;
use elector::driver::store::{Hint, StoreError};
use elector::driver::url::StoreUrl;

const SOON: Duration = Duration::from_secs(10);
const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

/// A candidate with a lease short enough for tests: 600 ms, trusted for 544 ms, soft deadline at 484 ms.
fn candidate(store: &str, name: &str) -> Elector {
    Elector::builder("nightly")
        .store(format!("memory:{store}"))
        .candidate(name)
        .lease(600 * MS)
        .margin(50 * MS)
        .build()
        .unwrap()
}

/// A candidate whose lease ends long after every test: what follows it sooner was released.
fn lasting(store: &str, name: &str) -> Elector {
    let builder = Elector::builder("nightly").store(format!("memory:{store}")).candidate(name);
    builder.lease(30 * SECOND).build().unwrap()
}

/// Runs a future on this thread, without any runtime.
fn block_on<F: Future>(future: F) -> F::Output {
    struct Thread(std::thread::Thread);
    impl Wake for Thread {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Thread(std::thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => std::thread::park(),
        }
    }
}

fn down(kind: Failure) -> Option<StoreError> {
    Some(StoreError::new(kind, "the test says that the store is down"))
}

/// The next event that is neither a renewal nor about who leads.
fn next_turn(changes: &mut elector::Changes) -> Event {
    let end = Instant::now() + SOON;
    loop {
        let change = changes.next_timeout(SOON).filter(|_| Instant::now() < end).expect("an event in time");
        if !matches!(change.event, Event::Renewed { .. } | Event::LeaderChanged { .. }) {
            return change.event;
        }
    }
}

#[test]
fn a_release_hands_over_at_once_with_a_larger_token() {
    let (first, second) = (lasting("handover", "a"), lasting("handover", "b"));
    first.campaign();
    let old = first.wait_until_leader(SOON).unwrap();
    second.campaign();
    assert_eq!(second.wait_until_leader(100 * MS), None, "the lease is held");
    assert_eq!(second.leader().unwrap().id.candidate(), "a");

    let released = Instant::now();
    first.release_and_wait(SOON).unwrap();
    let new = second.wait_until_leader(SOON).unwrap();
    assert!(released.elapsed() < 5 * SECOND, "a notification, not the end of the lease, wakes the next");
    assert!(new > old);
    assert!(!first.am_i_leader());
}

#[test]
fn release_and_drain_take_effect_before_they_return() {
    let elector = candidate("at-once", "a");
    for _ in 0..20 {
        elector.campaign();
        elector.wait_until_leader(SOON).unwrap();
        elector.release();
        assert!(!elector.am_i_leader() && elector.token().is_none());
        elector.campaign();
        elector.wait_until_leader(SOON).unwrap();
        elector.drain();
        assert!(!elector.am_i_leader());
        assert_eq!(elector.leadership().phase, Phase::Draining);
        elector.drained();
        assert_eq!(elector.leadership().phase, Phase::Standby);
    }
}

#[test]
fn trust_ends_by_the_clock_alone_when_the_store_hangs() {
    let elector = candidate("hangs", "a");
    let mut changes = elector.changes();
    elector.campaign();
    elector.wait_until_leader(SOON).unwrap();
    MemoryStore::named("hangs").delay(Duration::from_secs(3_600));
    let started = Instant::now();
    loop {
        // Read before the question, so that a pause between the two is not held against the answer.
        let elapsed = started.elapsed();
        if !elector.am_i_leader() {
            break;
        }
        assert!(elapsed < 600 * MS, "a lease of 600 ms is trusted for less");
        std::hint::spin_loop();
    }
    let mut turns = Vec::new();
    while !matches!(turns.last(), Some(Event::Deposed { .. })) {
        turns.push(next_turn(&mut changes));
    }
    assert!(matches!(turns[0], Event::Elected { .. }), "{turns:?}");
    assert!(turns.iter().any(|event| matches!(event, Event::StopNewWork { .. })), "{turns:?}");
    assert!(matches!(turns.last(), Some(Event::Deposed { reason: DeposedReason::Expired, .. })), "{turns:?}");
    MemoryStore::named("hangs").delay(Duration::ZERO);
}

#[test]
fn a_store_that_comes_back_in_time_saves_the_term() {
    let elector = candidate("back", "a");
    elector.campaign();
    let token = elector.wait_until_leader(SOON).unwrap();
    let mut changes = elector.changes();
    MemoryStore::named("back").fail_with(down(Failure::Unsent));
    assert!(matches!(next_turn(&mut changes), Event::AtRisk { .. }));
    assert_eq!(elector.last_error().unwrap().to_string(), "the test says that the store is down");
    MemoryStore::named("back").fail_with(None);
    while !matches!(changes.next_timeout(SOON).unwrap().event, Event::Renewed { .. }) {}
    assert_eq!(elector.token(), Some(token));
    assert!(elector.last_error().is_none());
}

#[test]
fn a_grant_whose_answer_was_lost_is_found_and_used() {
    let store = MemoryStore::named("lost-answer");
    store.fail_with(down(Failure::Unknown));
    let elector = candidate("lost-answer", "a");
    elector.campaign();
    assert_eq!(elector.wait_until_leader(50 * MS), None);
    store.fail_with(None);
    elector.wait_until_leader(SOON).expect("the row carries this candidate's incarnation");
}

#[test]
fn the_store_being_gone_ends_leadership_at_once() {
    let elector = candidate("gone", "a");
    let mut changes = elector.changes();
    elector.campaign();
    elector.wait_until_leader(SOON).unwrap();
    MemoryStore::named("gone").ring(&Hint::Gone);
    assert!(matches!(next_turn(&mut changes), Event::Elected { .. }));
    assert!(matches!(next_turn(&mut changes), Event::Deposed { reason: DeposedReason::Revoked, .. }));
}

#[test]
fn a_deleted_file_ends_leadership_and_a_new_one_is_led_with_a_larger_token() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("leases.db");
    let store = format!("sqlite:{}", path.display());
    let make =
        |election| Elector::builder(election).store(&*store).lease(600 * MS).margin(50 * MS).build().unwrap();
    let (elector, idle) = (make("file"), make("never campaigns"));
    let mut changes = elector.changes();
    elector.campaign();
    let old = elector.wait_until_leader(SOON).unwrap();
    let old_lock = Arc::downgrade(&elector.lock_fd().unwrap());
    std::fs::remove_file(&path).unwrap();
    assert!(matches!(next_turn(&mut changes), Event::Elected { .. }));
    assert!(matches!(next_turn(&mut changes), Event::Deposed { reason: DeposedReason::Revoked, .. }));
    let new = elector.wait_until_leader(SOON).unwrap_or_else(|| panic!("{:?}", elector.last_error()));
    assert!(new > old && path.exists());
    // What a command inherits is the lock of the file in which it was elected, from the very start.
    assert!(elector.lock_fd().is_some() && old_lock.upgrade().is_none());
    drop(idle);
}

#[test]
fn the_progress_gate_lets_a_silent_host_lose() {
    let elector = Elector::builder("gated")
        .store("memory:gated")
        .lease(600 * MS)
        .margin(50 * MS)
        .progress_gate()
        .build()
        .unwrap();
    let mut changes = elector.changes();
    elector.campaign();
    assert!(matches!(next_turn(&mut changes), Event::Elected { .. }));
    let lively = Instant::now();
    while lively.elapsed() < 900 * MS {
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

#[test]
fn work_runs_under_a_term_and_returns_without_any_runtime() {
    let elector = candidate("work", "a");
    let token = block_on(elector.run_as_leader(async |term| {
        assert!(term.is_current() && term.remaining() > Duration::ZERO);
        term.token()
    }));
    assert!(token.is_ok());
    assert_eq!(elector.leadership().phase, Phase::Standby);
}

#[test]
fn work_is_cancelled_at_the_soft_deadline_and_called_again_under_a_larger_token() {
    let elector = Elector::builder("nightly").store("memory:cancel").lease(3 * SECOND).grace(SECOND);
    let elector = elector.build().unwrap();
    let mut changes = elector.changes();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let calls = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&calls);
    let (sender, tokens) = std::sync::mpsc::channel();
    let running = runtime.spawn(async move {
        let worker = elector.clone();
        let work = async move |term: elector::Term| {
            sender.send(term.token()).unwrap();
            if counted.fetch_add(1, Ordering::SeqCst) == 0 {
                MemoryStore::named("cancel").fail_with(down(Failure::Unsent));
                let _guard = StillTrusted(worker.clone());
                std::future::pending::<()>().await;
            }
        };
        elector.run_as_leader(work).await.unwrap();
    });
    /// Dropped with the future that is cancelled: trust must not have ended by then.
    struct StillTrusted(Elector);
    impl Drop for StillTrusted {
        fn drop(&mut self) {
            assert!(self.0.leadership().trusted_until > elector::driver::clock::now());
            MemoryStore::named("cancel").fail_with(None);
        }
    }
    runtime.block_on(async { tokio::time::timeout(SOON, running).await.unwrap().unwrap() });
    assert_eq!(calls.load(Ordering::SeqCst), 2);
    let (cut_off, done) = (tokens.recv().unwrap(), tokens.recv().unwrap());
    assert!(cut_off < done);
    let reason = |term| {
        changes.find_map(|change| match change.event {
            Event::Deposed { token, reason } if token == term => Some(reason),
            _ => None,
        })
    };
    let reasons = [cut_off, done].map(reason);
    let expected = [DeposedReason::Expired, DeposedReason::Released];
    assert_eq!(reasons, expected.map(Some), "to be cut off is no release");
}

#[test]
fn work_ends_with_an_error_when_somebody_else_releases_or_drains() {
    for give_up in [Elector::release, Elector::drain] {
        let elector = candidate("given-up", "a");
        let other = elector.clone();
        let ended = block_on(elector.run_as_leader(async |_| {
            give_up(&other);
            std::future::pending::<()>().await;
        }));
        assert!(ended.unwrap_err().is_released());
        assert_eq!(elector.leadership().phase, Phase::Standby);
    }
}

#[test]
fn a_run_that_is_drained_before_it_begins_work_ends_and_frees_the_lease() {
    let (first, second) = (candidate("early-drain", "a"), candidate("early-drain", "b"));
    {
        let mut run = pin!(first.run_as_leader(async |_| panic!("no work is begun while it drains")));
        let mut context = Context::from_waker(Waker::noop());
        let began: Poll<Result<(), _>> = run.as_mut().poll(&mut context);
        assert!(began.is_pending());
        first.wait_until_leader(SOON).unwrap();
        first.drain();
        assert!(block_on(run).is_err());
    }
    second.campaign();
    second.wait_until_leader(SOON).unwrap();
}

#[test]
fn a_waiting_run_ends_when_somebody_else_releases() {
    let holder = candidate("waiting", "a");
    holder.campaign();
    holder.wait_until_leader(SOON).unwrap();
    let elector = candidate("waiting", "b");
    let other = elector.clone();
    let releaser = std::thread::spawn(move || {
        std::thread::sleep(50 * MS);
        other.release();
    });
    assert!(block_on(elector.run_as_leader(async |_| ())).unwrap_err().is_released());
    releaser.join().unwrap();
}

#[test]
fn dropping_the_future_of_a_run_half_way_cancels_the_work_and_releases() {
    let (first, second) = (lasting("half-way", "a"), lasting("half-way", "b"));
    let (started, has_started) = std::sync::mpsc::channel();
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
    }
    let dropped = Instant::now();
    assert!(!first.am_i_leader() && first.leadership().phase == Phase::Standby);
    second.wait_until_leader(SOON).unwrap();
    assert!(dropped.elapsed() < 5 * SECOND, "released, not left to expire: {:?}", dropped.elapsed());
}

#[test]
fn a_strict_candidate_takes_over_only_after_a_full_lease_of_its_own_clock() {
    let strict = |name: &str| {
        let builder = Elector::builder("strict").store("memory:strict").candidate(name);
        builder.lease(600 * MS).margin(50 * MS).strict().build().unwrap()
    };
    let (first, second) = (strict("a"), strict("b"));
    let started = Instant::now();
    first.campaign();
    let old = first.wait_until_leader(SOON).unwrap();
    assert!(started.elapsed() >= 600 * MS, "even an absent row may be a lost one");
    second.campaign();
    let released = Instant::now();
    first.release_and_wait(SOON).unwrap();
    let new = second.wait_until_leader(SOON).unwrap();
    assert!(released.elapsed() >= 600 * MS, "{:?}", released.elapsed());
    assert!(new > old);
}

#[test]
fn a_release_is_confirmed_although_a_campaign_follows() {
    let elector = candidate("campaign-follows", "a");
    let mut old = None;
    for _ in 0..20 {
        elector.campaign();
        let token = elector.wait_until_leader(SOON).unwrap();
        assert!(Some(token) > old);
        old = Some(token);
        let mut released = pin!(elector.release_and_confirm());
        let done = released.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready();
        elector.campaign();
        // It may well lead again before it is asked next.
        if !done {
            block_on(released);
        }
        elector.wait_until_leader(SOON).unwrap();
        std::thread::scope(|scope| {
            let releasing = scope.spawn(|| elector.release_and_wait(SOON));
            while elector.am_i_leader() {
                std::hint::spin_loop();
            }
            elector.campaign();
            releasing.join().unwrap().unwrap();
        });
    }
}

#[test]
fn dropping_the_last_handle_stands_down() {
    let (first, second) = (lasting("drop", "a"), lasting("drop", "b"));
    first.campaign();
    first.wait_until_leader(SOON).unwrap();
    second.campaign();
    let mut changes = first.changes();
    let dropped = Instant::now();
    drop(first);
    second.wait_until_leader(SOON).unwrap();
    assert!(dropped.elapsed() < 5 * SECOND);
    assert!(
        changes.by_ref().any(|change| matches!(change.event, Event::Deposed { .. })),
        "and the stream ends"
    );
}

#[test]
fn every_elector_of_a_hub_gets_its_own_answers() {
    let store = "memory:answers";
    let make = |n| Elector::builder(format!("answers-{n}")).store(store).lease(SECOND).build().unwrap();
    let electors: Vec<Elector> = (0..50).map(make).collect();
    electors.iter().for_each(Elector::campaign);
    let tokens: Vec<_> = electors.iter().map(|elector| elector.wait_until_leader(SOON).unwrap()).collect();
    // Through a renewal or more.
    std::thread::sleep(500 * MS);
    let mut rows = StoreUrl::parse(store).unwrap().open(Arc::new(|_| {})).unwrap();
    for (elector, token) in electors.iter().zip(tokens) {
        let election = Name::new("election", elector.election()).unwrap();
        let row = rows.rows(Some(&election)).unwrap().remove(0);
        assert_eq!((elector.token(), row.row.token), (Some(token), Some(token)), "{election}");
    }
}

#[test]
fn a_forked_child_is_never_leader_and_its_parent_stays_so() {
    use nix::sys::wait::{WaitStatus, waitpid};
    use nix::unistd::{ForkResult, fork};
    let elector = candidate("fork", "a");
    elector.campaign();
    elector.wait_until_leader(SOON).unwrap();
    // SAFETY: the child only reads atomics and exits.
    match unsafe { fork() }.unwrap() {
        ForkResult::Child => {
            let answers = [elector.am_i_leader(), elector.token().is_some(), elector.leadership().is_leader];
            elector.release();
            // SAFETY: ends the child without running the parent's destructors.
            unsafe { libc::_exit(i32::from(answers.contains(&true))) }
        }
        ForkResult::Parent { child } => {
            assert_eq!(waitpid(child, None).unwrap(), WaitStatus::Exited(child, 0));
        }
    }
    assert!(elector.am_i_leader());
}

#[test]
fn wrong_input_is_refused_before_anything_starts() {
    let refusal = |builder: elector::Builder| builder.build().unwrap_err();
    let memory = |election: &str| Elector::builder(election).store("memory:refused");
    let empty = refusal(memory(""));
    assert!(empty.is_invalid_input() && empty.to_string().contains("the election name is empty"), "{empty}");
    assert!(refusal(memory("x").candidate("a\0b")).to_string().contains("NUL at byte 1"));
    assert!(refusal(memory("x").meta("a\0b")).to_string().contains("the meta text has a NUL at byte 1"));
    assert!(refusal(memory("x").lease(50 * MS)).to_string().contains("a lease of 50 ms"));
    assert!(refusal(Elector::builder("x").store("carrier-pigeon:loft")).is_invalid_input());
}

#[test]
fn events_are_the_documented_json() {
    let elector = candidate("json", "a");
    let mut changes = elector.changes();
    elector.campaign();
    let token = elector.wait_until_leader(SOON).unwrap();
    elector.release();
    let mut lines = Vec::new();
    while !lines.iter().any(|line: &serde_json::Value| line["event"] == "deposed") {
        lines.push(serde_json::to_value(changes.next_timeout(SOON).unwrap()).unwrap());
    }
    let keys = |line: &serde_json::Value| line.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys(&lines[0]), ["at_ms", "candidate", "election", "event", "token"]);
    assert_eq!(lines[0]["token"], token.get());
    assert_eq!(keys(&lines[1]), ["at_ms", "candidate", "election", "event", "leader", "token"]);
    assert_eq!((&lines[1]["event"], &lines[1]["token"]), (&"leader_changed".into(), &token.get().into()));
    assert_eq!(lines[1]["leader"]["candidate"], "a");
    assert_eq!(lines[1]["leader"]["meta"], serde_json::Value::Null);
    let deposed = lines.last().unwrap();
    assert_eq!((&deposed["reason"], &deposed["token"]), (&"released".into(), &token.get().into()));
}
