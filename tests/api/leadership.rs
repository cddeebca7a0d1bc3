//! How candidates come to lead, hand over and lose their terms, and what each of them is told.

use elector::core::lease::Leadership;

use super::*;

#[test]
fn a_release_hands_over_at_once_with_a_larger_token() {
    let (first, second) = (lasting("handover", "a"), lasting("handover", "b"));
    first.campaign();
    let old = first.wait_until_leader(SOON).unwrap();
    second.campaign();
    assert_eq!(second.wait_until_leader(100 * MS), None, "the lease is held");
    until("the second sees who leads", || second.leader().is_some());
    assert_eq!(second.leader().unwrap().id.candidate(), "a");

    first.release_and_wait(SOON).unwrap();
    let new = second.wait_until_leader(SOON).expect("a notification, not the end of the lease, wakes it");
    assert!(new > old);
    assert!(!first.am_i_leader());
}

#[test]
fn release_and_drain_take_effect_before_they_return() {
    let elector = lasting("at-once", "a");
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
fn a_leadership_and_its_term_give_both_deadlines_and_zero_without_a_term() {
    let elector = lasting("deadlines", "a");
    let durations = |leadership: Leadership| {
        let now = elector::driver::clock::now();
        (leadership.trusted_for(now), leadership.work_for(now))
    };
    assert_eq!(durations(elector.leadership()), (Duration::ZERO, Duration::ZERO), "before a term");
    block_on(elector.run_as_leader(async |term| {
        let leadership = elector.leadership();
        let (trusted_for, work_for) = durations(leadership);
        assert!(leadership.is_leader && work_for > Duration::ZERO);
        assert_eq!(trusted_for - work_for, SOON, "the grace is a tenth of the lease");
        // Read later, and no renewal is due yet: less is left.
        let (of_term, work_of_term) = (term.trusted_for(), term.work_for());
        assert!(work_of_term > Duration::ZERO && work_of_term <= work_for);
        assert!(of_term > work_of_term && of_term <= trusted_for);
        elector.drain();
        let kept = elector.leadership();
        assert!(!kept.is_leader && durations(kept).1 > Duration::ZERO, "for the work in progress");
    }))
    .unwrap();
    assert_eq!(durations(elector.leadership()), (Duration::ZERO, Duration::ZERO), "after the term");
}

#[test]
fn trust_ends_by_the_clock_alone_when_the_store_hangs() {
    let elector = brief("memory:hangs").build().unwrap();
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
        std::thread::sleep(MS);
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
    let elector = outlasting("back").renew(100 * MS).build().unwrap();
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
    let elector = lasting("lost-answer", "a");
    elector.campaign();
    until("an attempt's answer is lost", || elector.last_error().is_some());
    assert_eq!(elector.wait_until_leader(50 * MS), None);
    store.fail_with(None);
    elector.wait_until_leader(SOON).expect("the row carries this candidate's incarnation");
}

#[test]
fn the_store_being_gone_ends_leadership_at_once() {
    let elector = lasting("gone", "a");
    let mut changes = elector.changes();
    elector.campaign();
    elector.wait_until_leader(SOON).unwrap();
    MemoryStore::named("gone").notify(&Hint::Gone);
    assert!(matches!(next_turn(&mut changes), Event::Elected { .. }));
    assert!(matches!(next_turn(&mut changes), Event::Deposed { reason: DeposedReason::Revoked, .. }));
}

#[test]
fn a_deleted_file_ends_leadership_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("leases.db");
    let elector = outlasting("unused").store(format!("sqlite:{}", path.display())).build().unwrap();
    let mut changes = elector.changes();
    elector.campaign();
    elector.wait_until_leader(SOON).unwrap();
    std::fs::remove_file(&path).unwrap();
    assert!(matches!(next_turn(&mut changes), Event::Elected { .. }));
    assert!(matches!(next_turn(&mut changes), Event::Deposed { reason: DeposedReason::Revoked, .. }));
    assert!(!elector.am_i_leader());
}

#[test]
fn a_deleted_file_is_followed_by_a_new_one_that_is_led_with_a_larger_token() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("leases.db");
    let make = |candidate| {
        let builder = brief(&format!("sqlite:{}", path.display()));
        builder.candidate(candidate).build().unwrap()
    };
    let (elector, idle) = (make("a"), make("never campaigns"));
    elector.campaign();
    let old = elector.wait_until_leader(SOON).unwrap();
    let old_lock = Arc::downgrade(&elector.lock_fd().unwrap());
    std::fs::remove_file(&path).unwrap();
    // Once all leases of the old file have ended.
    until("the file is made anew", || path.exists());
    let new = elector.wait_until_leader(SOON).unwrap_or_else(|| panic!("{:?}", elector.last_error()));
    assert!(new > old);
    // What a command inherits is the lock of the file in which it was elected, from the very start.
    assert!(elector.lock_fd().is_some() && old_lock.upgrade().is_none());
    drop(idle);
}

#[test]
fn the_progress_gate_lets_a_silent_host_lose_and_a_sign_of_life_brings_it_back() {
    let elector = brief("memory:gated").progress_gate().build().unwrap();
    let mut changes = elector.changes();
    let mut turn = || next_turn(&mut changes);
    elector.campaign();
    let end = Instant::now() + SOON;
    loop {
        // Said for as long as it takes: a machine that stands still makes a host seem silent.
        until("a lively host is elected", || {
            elector.alive();
            elector.am_i_leader()
        });
        let mut turns = vec![turn()];
        while !matches!(turns.last(), Some(Event::Deposed { .. })) {
            turns.push(turn());
        }
        match &turns[..] {
            [
                Event::Elected { .. },
                Event::AtRisk { .. },
                Event::StopNewWork { .. },
                Event::Deposed { reason: DeposedReason::Stalled, .. },
            ] => break,
            // The hub had to wait for longer than the lease, and the term ended for that.
            _ => assert!(Instant::now() < end, "{turns:?}"),
        }
    }
    assert_eq!(elector.wait_until_leader(50 * MS), None, "it is still silent");
    until("a sign of life brings it back", || {
        elector.alive();
        elector.am_i_leader()
    });
}

#[test]
fn a_strict_candidate_takes_over_only_after_a_full_lease_of_its_own_clock() {
    let strict = |name: &str| brief("memory:strict").candidate(name).strict().build().unwrap();
    let (first, second) = (strict("a"), strict("b"));
    let mut changes = first.changes();
    let started = Instant::now();
    first.campaign();
    let mut old = first.wait_until_leader(SOON).unwrap();
    assert!(started.elapsed() >= 600 * MS, "even an absent row may be a lost one");
    loop {
        second.campaign();
        let released = Instant::now();
        first.release_and_wait(SOON).unwrap();
        let new = second.wait_until_leader(SOON).unwrap();
        let waited = released.elapsed();
        assert!(new > old);
        let ended = reason_of_end(&mut changes, old);
        if ended == DeposedReason::Released {
            assert!(waited >= 600 * MS, "{waited:?}");
            return;
        }
        // The machine stood still, and the term ended before it was released.
        assert!(started.elapsed() < SOON, "it must be released once: {ended:?}");
        second.release_and_wait(SOON).unwrap();
        first.campaign();
        old = first.wait_until_leader(SOON).unwrap();
    }
}

#[test]
fn a_release_is_confirmed_although_a_campaign_follows() {
    let elector = lasting("campaign-follows", "a");
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
            until("the release takes effect", || !elector.am_i_leader());
            elector.campaign();
            releasing.join().unwrap().unwrap();
        });
    }
}

#[test]
fn dropping_the_last_handle_stands_down() {
    let (first, second) = (lasting("drop", "a"), lasting("drop", "b"));
    first.campaign();
    let token = first.wait_until_leader(SOON).unwrap();
    second.campaign();
    until("the second waits", || second.leader().is_some());
    let mut changes = first.changes();
    drop(first);
    second.wait_until_leader(SOON).expect("released, not left to expire");
    assert_eq!(reason_of_end(&mut changes, token), DeposedReason::Released);
    let asked = Instant::now();
    while changes.next_timeout(SOON).is_some() {}
    assert!(asked.elapsed() < SOON, "and the stream ends");
}

#[test]
fn every_elector_of_a_hub_gets_its_own_answers() {
    // The answers of one batch all differ: every second election is led by a candidate of its own name. While
    // the store takes its time over the first, the others' operations become a batch.
    let make = |n, name: &str| {
        let builder = Elector::builder(format!("answers-{n}")).store("memory:answers").lease(10 * SOON);
        builder.candidate(name).retry(50 * MS).build().unwrap()
    };
    let holders: Vec<Elector> = (0..50).step_by(2).map(|n| make(n, &format!("holder-{n}"))).collect();
    holders.iter().for_each(Elector::campaign);
    holders.iter().for_each(|holder| assert!(holder.wait_until_leader(SOON).is_some()));
    let store = MemoryStore::named("answers");
    store.delay(300 * MS);
    let others: Vec<Elector> = (0..50).map(|n| make(n, "other")).collect();
    others.iter().for_each(Elector::campaign);
    until("each has an answer", || others.iter().all(|elector| elector.leader().is_some()));
    store.delay(Duration::ZERO);
    let mut rows = store.open(Arc::new(|_| {}));
    for (n, elector) in others.iter().enumerate() {
        let election = Name::new("election", elector.election()).unwrap();
        let row = rows.rows(Some(&election)).unwrap().remove(0);
        let leader = if n % 2 == 0 { format!("holder-{n}") } else { "other".into() };
        assert_eq!(elector.leader().unwrap().id.candidate(), leader, "{election}");
        assert_eq!(elector.token(), row.row.token.filter(|_| n % 2 == 1), "{election}");
    }
}

#[test]
fn every_elector_of_a_hub_gets_its_own_renewals() {
    let make = |n| {
        let builder = Elector::builder(format!("renewals-{n}")).store("memory:renewals").lease(10 * SOON);
        builder.renew(100 * MS).retry(50 * MS).build().unwrap()
    };
    let electors: Vec<Elector> = (0..50).map(make).collect();
    let streams: Vec<_> = electors.iter().map(Elector::changes).collect();
    electors.iter().for_each(Elector::campaign);
    let tokens: Vec<_> = electors.iter().map(|elector| elector.wait_until_leader(SOON).unwrap()).collect();
    for mut changes in streams {
        let renewed = |event: &Event| matches!(event, Event::Renewed { .. });
        while !renewed(&changes.next_timeout(SOON).expect("a renewal").event) {}
    }
    let mut rows = MemoryStore::named("renewals").open(Arc::new(|_| {}));
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
    let elector = lasting("fork", "a");
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
    let refusal = |builder: Builder| builder.build().unwrap_err();
    let memory = |election: &str| Elector::builder(election).store("memory:refused");
    let empty = refusal(memory(""));
    assert!(empty.is_invalid_input() && empty.to_string().contains("the election name is empty"), "{empty}");
    assert!(refusal(memory("x").candidate("a\0b")).to_string().contains("NUL at byte 1"));
    let long = refusal(memory("x").meta("x".repeat(65_537)));
    assert!(long.is_invalid_input() && long.to_string().contains("the meta text has 65537 bytes"), "{long}");
    memory("x").meta("x".repeat(65_536)).build().unwrap();
    assert!(refusal(memory("x").meta("a\0b")).to_string().contains("the meta text has a NUL at byte 1"));
    assert!(refusal(memory("x").lease(50 * MS)).to_string().contains("a lease of 50 ms"));
    assert!(refusal(Elector::builder("x").store("carrier-pigeon:loft")).is_invalid_input());
}

#[test]
fn events_are_the_documented_json() {
    let elector = lasting("json", "a");
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
