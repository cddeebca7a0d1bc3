//! The properties, each told with as few operations as show it.

use std::time::{Duration, Instant};

use elector::core::FencingToken;
use elector::core::lease::{Op, Outcome, Version};
use elector::driver::clock;
use elector::driver::stores::Hint;

use super::place::{LEASE, Place, SHORT, SOON, acquire, id, name};
use elector_kit::witness::Witness;

fn seen(outcome: Outcome) -> elector::core::lease::Row {
    match outcome {
        Outcome::Seen(Some(row)) => row,
        other => panic!("expected the row as it stands, found {other:?}"),
    }
}

pub fn one_of_eight_racing_candidates_is_granted_the_lease(place: &Place) {
    let rounds = 20;
    let start = std::sync::Barrier::new(8);
    let race = |who: usize| {
        let mut handle = place.open();
        start.wait();
        let mut won = Vec::new();
        for round in 0..rounds {
            let election = format!("race {round}");
            if let Outcome::Granted { .. } = handle.acquire(&election, &format!("c{who}"), LEASE) {
                won.push(round);
            }
        }
        won
    };
    let mut won: Vec<usize> = std::thread::scope(|scope| {
        let racers: Vec<_> = (0..8).map(|who| scope.spawn(move || race(who))).collect();
        racers.into_iter().flat_map(|racer| racer.join().unwrap()).collect()
    });
    won.sort_unstable();
    assert_eq!(won, (0..rounds).collect::<Vec<_>>());
}

pub fn a_held_lease_is_shown_and_not_granted(place: &Place) {
    let (mut a, mut b) = (place.open(), place.open());
    let token = a.granted("e", "a", LEASE);
    for handle in [&mut a, &mut b] {
        let row = seen(handle.acquire("e", "b", LEASE));
        assert_eq!((row.holder, row.token, row.lease), (Some(id("a")), Some(token), Some(LEASE)));
        assert!(row.remaining > LEASE / 2 && row.remaining <= LEASE, "{:?}", row.remaining);
    }
    // Not to its own holder either: a term begins once.
    assert_eq!(seen(a.acquire("e", "a", LEASE)).token, Some(token));
}

pub fn an_expired_lease_is_granted_and_not_before(place: &Place) {
    let (mut a, mut b) = (place.open(), place.open());
    let before = clock::now();
    let first = a.granted("e", "a", SHORT);
    let (second, _) = b.granted_at_last("e", "b");
    let waited = clock::now().saturating_since(before);
    assert!(waited >= SHORT, "{waited:?}");
    assert!(second > first);
}

pub fn an_expired_lease_is_granted_within_a_second(place: &Place) {
    let witness = Witness::start(&[]);
    let (mut a, mut b) = (place.open(), place.open());
    witness.reset();
    let before = clock::now();
    a.granted("e", "a", SHORT);
    b.granted_at_last("e", "b");
    let waited = clock::now().saturating_since(before);
    witness.at_most(waited, SHORT + Duration::from_secs(1), "the end of a lease");
}

pub fn a_lease_counts_from_the_execution_of_the_acquire(place: &Place) {
    let mut a = place.open();
    let answer = a.execute(vec![("e", acquire("a", LEASE))]).remove(0);
    let now = answer.reply.clock.unwrap().now;
    assert_eq!(a.look("e").unwrap().expires_at, now.saturating_add(LEASE));
}

pub fn only_the_holder_renews(place: &Place) {
    let mut a = place.open();
    let token = a.granted("e", "a", LEASE);
    let before = a.look("e").unwrap();
    assert_eq!(a.renew("e", "b", token), Outcome::Lost);
    assert_eq!(a.renew("e", "a", token.next().unwrap()), Outcome::Lost);
    assert_eq!(a.renew("no such election", "a", token), Outcome::Lost);
    assert_eq!(a.look("e").unwrap().version(), before.version());
    assert_eq!(a.renew("e", "a", token), Outcome::Renewed);
    assert!(a.look("e").unwrap().expires_at > before.expires_at);
}

pub fn an_expired_lease_cannot_be_renewed(place: &Place) {
    let (mut a, mut b) = (place.open(), place.open());
    let token = a.granted("e", "a", SHORT);
    while !b.look("e").unwrap().remaining.is_zero() {
        std::thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(a.renew("e", "a", token), Outcome::Lost);
}

pub fn only_the_holder_releases(place: &Place) {
    let mut a = place.open();
    let token = a.granted("e", "a", LEASE);
    a.release("e", "b", token);
    a.release("e", "a", token.next().unwrap());
    a.release("no such election", "a", token);
    assert_eq!(a.look("e").unwrap().holder, Some(id("a")));
    assert_eq!(a.look("no such election"), None);
}

pub fn a_released_row_keeps_its_token_and_is_free_at_once(place: &Place) {
    let (mut a, mut b) = (place.open(), place.open());
    let token = a.granted("e", "a", LEASE);
    a.release("e", "a", token);
    let row = b.look("e").unwrap();
    assert_eq!((row.holder, row.token, row.remaining), (None, Some(token), Duration::ZERO));
    assert_eq!(a.renew("e", "a", token), Outcome::Lost);
    assert!(b.granted("e", "b", LEASE) > token);
}

pub fn a_late_release_does_not_end_the_next_term(place: &Place) {
    let mut a = place.open();
    let first = a.granted("e", "a", LEASE);
    a.release("e", "a", first);
    let second = a.granted("e", "a", LEASE);
    a.release("e", "a", first);
    assert_eq!(a.renew("e", "a", second), Outcome::Renewed);
}

pub fn tokens_grow_through_every_end_of_a_term(place: &Place) {
    let mut last = place.open().granted("e", "a", Duration::from_millis(1));
    for round in 0..12 {
        // A new connection each time: what it knows, it knows from the store.
        let mut handle = place.open();
        let (token, _) = handle.granted_at_last("e", "a");
        assert!(token > last, "round {round}: {token} after {last}");
        last = token;
        match round % 3 {
            0 => handle.release("e", "a", token),
            1 => assert!(handle.one("e", renew_for(token, Duration::from_millis(1))) == Outcome::Renewed),
            _ => {
                assert_eq!(handle.one("e", renew_for(token, Duration::from_millis(5))), Outcome::Renewed);
                // It may have ended already, on a slow machine.
                if let Some(row) = handle.0.revoke(&name("e"), None).unwrap() {
                    last = row.token.unwrap().next().unwrap();
                }
            }
        }
    }
}

fn renew_for(token: FencingToken, lease: Duration) -> Op {
    Op::Renew { token, holder: id("a"), lease }
}

pub fn tokens_are_not_below_the_microseconds_since_1970(place: &Place) {
    let before = clock::unix_micros() as u64;
    let token = place.open().granted("e", "a", LEASE).get();
    assert!(token >= before && token <= clock::unix_micros() as u64);
}

pub fn a_revoked_holder_fails_its_renewal_and_keeps_others_out(place: &Place) {
    let (mut a, mut b) = (place.open(), place.open());
    let token = a.granted("e", "a", LEASE);
    let was = b.0.revoke(&name("e"), None).unwrap().unwrap();
    assert_eq!((was.holder, was.token), (Some(id("a")), Some(token)));
    assert_eq!(a.renew("e", "a", token), Outcome::Lost);
    let row = b.look("e").unwrap();
    assert_eq!((row.holder.clone(), row.token), (None, token.next()));
    assert_eq!(row.expires_at, was.expires_at);
    assert_eq!(seen(b.acquire("e", "b", LEASE)).token, row.token);
}

pub fn a_revoked_lease_is_granted_when_it_ends_and_not_before(place: &Place) {
    let (mut a, mut b) = (place.open(), place.open());
    let lease = Duration::from_millis(400);
    let end = Instant::now() + SOON;
    for attempt in 0.. {
        let election = format!("e{attempt}");
        let start = clock::now();
        let token = a.granted(&election, "a", lease);
        let revoked = b.0.revoke(&name(&election), None).unwrap();
        let passed = clock::now().saturating_since(start);
        let (next, _) = b.granted_at_last(&election, "b");
        assert!(clock::now().saturating_since(start) >= lease);
        if revoked.is_some() {
            assert!(next > token.next().unwrap());
            return;
        }
        assert!(passed >= lease && Instant::now() < end, "{election} was not revoked after {passed:?}");
    }
}

pub fn only_the_named_term_is_revoked(place: &Place) {
    let mut a = place.open();
    let token = a.granted("e", "a", LEASE);
    assert_eq!(a.0.revoke(&name("e"), token.next()).unwrap(), None);
    assert_eq!(a.renew("e", "a", token), Outcome::Renewed);
    assert!(a.0.revoke(&name("e"), Some(token)).unwrap().is_some());
    assert_eq!(a.renew("e", "a", token), Outcome::Lost);
}

pub fn a_vacant_row_has_nothing_to_revoke(place: &Place) {
    let mut a = place.open();
    assert_eq!(a.0.revoke(&name("e"), None).unwrap(), None);
    let token = a.granted("e", "a", LEASE);
    a.release("e", "a", token);
    assert_eq!(a.0.revoke(&name("e"), None).unwrap(), None);
    let token = a.granted("e", "a", LEASE);
    assert!(a.0.revoke(&name("e"), None).unwrap().is_some());
    assert_eq!(a.0.revoke(&name("e"), None).unwrap(), None);
    assert_eq!(a.look("e").unwrap().token, token.next());
}

pub fn an_acquire_of_an_unchanged_row_is_refused_if_it_changed(place: &Place) {
    let (mut a, mut b) = (place.open(), place.open());
    let token = a.granted("e", "a", LEASE);
    let held = b.look("e").unwrap().version();
    a.release("e", "a", token);
    // The row is free now, but it is not the one that was seen.
    assert_eq!(b.acquire_unchanged("e", "b", Version::Absent), Outcome::Seen(b.look("e")));
    assert_eq!(b.acquire_unchanged("e", "b", held), Outcome::Seen(b.look("e")));
    let free = b.look("e").unwrap().version();
    assert!(matches!(b.acquire_unchanged("e", "b", free), Outcome::Granted { .. }));
    assert!(matches!(b.acquire_unchanged("e2", "b", held), Outcome::Seen(None)));
    assert!(matches!(b.acquire_unchanged("e2", "b", Version::Absent), Outcome::Granted { .. }));
}

pub fn a_look_changes_nothing(place: &Place) {
    let (mut a, mut b) = (place.open(), place.open());
    assert_eq!(b.look("e"), None);
    assert_eq!(b.look("e"), None);
    a.granted("e", "a", LEASE);
    let (first, second) = (b.look("e").unwrap(), b.look("e").unwrap());
    assert_eq!(first.version(), second.version());
    assert!(second.remaining <= first.remaining);
}

pub fn meta_is_shown_while_the_term_lasts(place: &Place) {
    let mut a = place.open();
    let token = a.granted("e", "a", LEASE);
    assert_eq!(a.look("e").unwrap().meta.as_deref(), Some("a's"));
    a.renew("e", "a", token);
    assert_eq!(a.look("e").unwrap().meta.as_deref(), Some("a's"));
    a.release("e", "a", token);
    assert_eq!(a.look("e").unwrap().meta, None);
}

pub fn every_name_is_kept_exactly(place: &Place) {
    let mut a = place.open();
    let long = "ü".repeat(127) + "x";
    let names =
        ["'", "\"", "'; DROP TABLE leader_lease; --", "a b\t\n", "日本語 🗳", "%_?", "1", "01", " 1", &long];
    let tokens = names.map(|election| (election, a.granted(election, election, LEASE)));
    for (election, token) in tokens {
        let row = a.look(election).unwrap();
        assert_eq!((row.token, row.holder.as_ref().map(|id| id.candidate())), (Some(token), Some(election)));
    }
    let mut listed: Vec<String> =
        a.0.rows(None).unwrap().iter().map(|row| row.election.to_string()).collect();
    listed.sort();
    let mut names = names.map(String::from);
    names.sort();
    assert_eq!(listed, names);
}

pub fn a_batch_is_answered_in_order(place: &Place) {
    let mut a = place.open();
    let token = a.granted("held", "a", LEASE);
    let renew = Op::Renew { token, holder: id("a"), lease: LEASE };
    let stale = Op::Renew { token, holder: id("b"), lease: LEASE };
    let batch = vec![
        ("held", renew),
        ("new", acquire("a", LEASE)),
        ("held", stale),
        ("none", Op::Look),
        ("held", Op::Look),
    ];
    let outcomes: Vec<Outcome> = a.execute(batch).into_iter().map(|answer| answer.reply.outcome).collect();
    assert!(
        matches!(
            &outcomes[..],
            [
                Outcome::Renewed,
                Outcome::Granted { .. },
                Outcome::Lost,
                Outcome::Seen(None),
                Outcome::Seen(Some(_))
            ]
        ),
        "{outcomes:?}"
    );
}

/// Two candidates of one process, served by one batch. What the one that is not granted sees of the row
/// may be as it was before the batch; a look comes after all that writes.
pub fn a_batch_grants_an_election_once(place: &Place) {
    let mut a = place.open();
    let token = a.granted("e", "a", LEASE);
    let release = Op::Release { token, holder: id("a") };
    let batch = vec![("e", release), ("e", acquire("b", LEASE)), ("e", acquire("c", LEASE)), ("e", Op::Look)];
    let outcomes: Vec<Outcome> = a.execute(batch).into_iter().map(|answer| answer.reply.outcome).collect();
    let granted = outcomes.iter().filter(|outcome| matches!(outcome, Outcome::Granted { .. })).count();
    assert_eq!(granted, 1, "{outcomes:?}");
    let winner = if matches!(outcomes[1], Outcome::Granted { .. }) { "b" } else { "c" };
    assert_eq!(seen(outcomes[3].clone()).holder, Some(id(winner)));
}

pub fn ten_thousand_jobs_are_one_batch(place: &Place) {
    let mut a = place.open();
    let names: Vec<String> = (0..10_000).map(|number| format!("election {number}")).collect();
    let acquires = names.iter().map(|election| (&**election, acquire("a", LEASE))).collect();
    let answers = a.execute(acquires);
    let renews = names.iter().zip(&answers).map(|(election, answer)| match answer.reply.outcome {
        Outcome::Granted { token } => (&**election, Op::Renew { token, holder: id("a"), lease: LEASE }),
        ref other => panic!("{election}: {other:?}"),
    });
    let renews = renews.collect();
    let start = Instant::now();
    let answers = a.execute(renews);
    println!("10 000 renewals took {:?}", start.elapsed());
    assert!(answers.iter().all(|answer| answer.reply.outcome == Outcome::Renewed));
    let looks = names.iter().map(|election| (&**election, Op::Look)).collect();
    let start = Instant::now();
    let answers = a.execute(looks);
    println!("10 000 looks took {:?}", start.elapsed());
    assert!(answers.iter().all(|answer| matches!(answer.reply.outcome, Outcome::Seen(Some(_)))));
}

pub fn a_clean_up_spares_rows_that_may_still_matter(place: &Place) {
    let mut a = place.open();
    let token = a.granted("released", "a", LEASE);
    a.release("released", "a", token);
    a.granted("expired", "a", Duration::from_millis(1));
    a.granted("held", "a", LEASE);
    assert_eq!(a.clean_up(), 0);
    assert_eq!(a.0.rows(None).unwrap().len(), 3);
}

pub fn rows_are_listed_by_name_with_the_start_of_their_term(place: &Place) {
    let mut a = place.open();
    let before = clock::unix_micros();
    for election in ["c", "a", "b"] {
        a.granted(election, election, LEASE);
    }
    let rows = a.0.rows(None).unwrap();
    assert_eq!(rows.iter().map(|row| row.election.as_str()).collect::<Vec<_>>(), ["a", "b", "c"]);
    for row in &rows {
        assert!((before..=clock::unix_micros()).contains(&row.since_unix_us));
        assert_eq!(row.leader().map(|id| id.candidate()), Some(row.election.as_str()));
    }
    let one = a.0.rows(Some(&name("b"))).unwrap();
    assert_eq!((one.len(), one[0].election.as_str()), (1, "b"));
    assert!(a.0.rows(Some(&name("d"))).unwrap().is_empty());
}

pub fn a_release_rings_every_bell(place: &Place) {
    let (mut a, told_a) = place.open_listening();
    let (_b, told_b) = place.open_listening();
    let token = a.granted("e", "a", LEASE);
    a.release("e", "a", token);
    for told in [told_a, told_b] {
        let hint = told.recv_timeout(SOON).expect("a hint");
        assert!(hint == Hint::Any || hint == Hint::Election(name("e")), "{hint:?}");
    }
}

pub fn a_renewal_rings_no_bell(place: &Place) {
    let (mut a, _told) = place.open_listening();
    let (mut b, told) = place.open_listening();
    let token = a.granted("e", "a", LEASE);
    let other = a.granted("other", "a", LEASE);
    for _ in 0..20 {
        assert_eq!(a.renew("e", "a", token), Outcome::Renewed);
        b.acquire("e", "b", LEASE);
        b.look("e");
    }
    // A bell that comes in order, to know that none came before it.
    a.release("other", "a", other);
    told.recv_timeout(SOON).expect("the hint of the release");
    std::thread::sleep(Duration::from_millis(60));
    assert!(told.try_iter().count() == 0, "more than the one hint of the release");
}

pub fn replies_carry_one_clock_that_goes_forward(place: &Place) {
    let (mut a, mut b) = (place.open(), place.open());
    let mut last = None;
    for round in 0..20 {
        let handle = if round % 2 == 0 { &mut a } else { &mut b };
        let clock = handle.execute(vec![("e", Op::Look)])[0].reply.clock.unwrap();
        if let Some((now, timeline)) = last {
            assert!(clock.now >= now);
            assert_eq!(clock.timeline, timeline);
        }
        last = Some((clock.now, clock.timeline));
    }
}
