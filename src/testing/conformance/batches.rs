//! Properties of many elections and candidates: races, batches, lists, hints, clocks.

use std::sync::mpsc::Receiver;
use std::time::Duration;

use super::connection::{Broken, Checked, LEASE, SOON, Trial, acquire, equal, id, require, seen};
use crate::core::Name;
use crate::core::lease::{LeaderId, Op, Outcome};
use crate::driver::host::clock;
use crate::driver::stores::Hint;

pub(super) fn one_of_eight_racing_candidates_is_granted_the_lease(trial: &Trial<'_>) -> Checked {
    let rounds = 20;
    let start = std::sync::Barrier::new(8);
    let race = |who: usize| -> Checked<Vec<usize>> {
        let opened = trial.open();
        // All eight arrive here, whether or not they could connect.
        start.wait();
        let mut connection = opened?;
        let mut won = Vec::new();
        for round in 0..rounds {
            let outcome = connection.acquire(&format!("race {round}"), &format!("c{who}"), LEASE)?;
            if let Outcome::Granted { .. } = outcome {
                won.push(round);
            }
        }
        Ok(won)
    };
    let results: Vec<Checked<Vec<usize>>> = std::thread::scope(|scope| {
        let race = &race;
        let racers: Vec<_> = (0..8).map(|who| scope.spawn(move || race(who))).collect();
        let joined = racers.into_iter().map(|racer| racer.join());
        joined.map(|result| result.unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
    });
    let mut won = Vec::new();
    for result in results {
        won.extend(result?);
    }
    won.sort_unstable();
    equal("the rounds in which a candidate was granted the lease", won, (0..rounds).collect())
}

pub(super) fn every_name_is_kept_exactly(trial: &Trial<'_>) -> Checked {
    let mut a = trial.open()?;
    let long = "ü".repeat(127) + "x";
    let names =
        ["'", "\"", "'; DROP TABLE leader_lease; --", "a b\t\n", "日本語 🗳", "%_?", "1", "01", " 1", &long];
    let mut tokens = Vec::new();
    for election in names {
        tokens.push(a.granted(election, election, LEASE)?);
    }
    for (election, token) in names.into_iter().zip(tokens) {
        let row = a.row(election)?;
        let holder = row.holder.as_ref().map(LeaderId::candidate);
        equal("token and holder of the row", (row.token, holder), (Some(token), Some(election)))?;
    }
    let mut listed: Vec<String> = a.rows(None)?.iter().map(|row| row.election.to_string()).collect();
    listed.sort();
    let mut names = names.map(String::from).to_vec();
    names.sort();
    equal("the elections that are listed", listed, names)
}

pub(super) fn a_batch_is_answered_in_order(trial: &Trial<'_>) -> Checked {
    let mut a = trial.open()?;
    let token = a.granted("held", "a", LEASE)?;
    let renew = |who| Op::Renew { token, holder: id(who), lease: LEASE };
    let outcomes = a.outcomes(vec![
        ("held", renew("a")),
        ("new", acquire("a", LEASE)),
        ("held", renew("b")),
        ("none", Op::Look),
        ("held", Op::Look),
    ])?;
    let is_so = matches!(
        &outcomes[..],
        [
            Outcome::Renewed,
            Outcome::Granted { .. },
            Outcome::Lost,
            Outcome::Seen(None),
            Outcome::Seen(Some(_))
        ]
    );
    require(is_so, format_args!("renewed, granted, lost, no row, a row: found {outcomes:?}"))
}

/// Two candidates of one process, served by one batch. What the one that is not granted sees of the row
/// may be as it was before the batch; a look comes after all that writes.
pub(super) fn a_batch_grants_an_election_once(trial: &Trial<'_>) -> Checked {
    let mut a = trial.open()?;
    let token = a.granted("e", "a", LEASE)?;
    let release = Op::Release { token, holder: id("a") };
    let batch = vec![("e", release), ("e", acquire("b", LEASE)), ("e", acquire("c", LEASE)), ("e", Op::Look)];
    let outcomes = a.outcomes(batch)?;
    let granted = |outcome: &Outcome| matches!(outcome, Outcome::Granted { .. });
    let grants = outcomes.iter().filter(|outcome| granted(outcome)).count();
    require(grants == 1, format_args!("one grant of two acquires: found {outcomes:?}"))?;
    let winner = if granted(&outcomes[1]) { "b" } else { "c" };
    equal("the holder that a look finds", seen(outcomes[3].clone())?.holder, Some(id(winner)))
}

pub(super) fn ten_thousand_jobs_are_one_batch(trial: &Trial<'_>) -> Checked {
    let mut a = trial.open()?;
    let names: Vec<String> = (0..10_000).map(|number| format!("election {number}")).collect();
    let acquires = names.iter().map(|election| (&**election, acquire("a", LEASE))).collect();
    let mut renewals = Vec::new();
    for (election, outcome) in names.iter().zip(a.outcomes(acquires)?) {
        let Outcome::Granted { token } = outcome else {
            return Err(Broken(format!("acquire {election:?}: expected a grant, found {outcome:?}")));
        };
        renewals.push((&**election, Op::Renew { token, holder: id("a"), lease: LEASE }));
    }
    let renewed = a.outcomes(renewals)?.iter().filter(|outcome| **outcome == Outcome::Renewed).count();
    equal("renewals of 10 000 that succeeded", renewed, names.len())?;
    let looks = names.iter().map(|election| (&**election, Op::Look)).collect();
    let found = a.outcomes(looks)?.iter().filter(|seen| matches!(seen, Outcome::Seen(Some(_)))).count();
    equal("looks of 10 000 that found a row", found, names.len())
}

pub(super) fn a_clean_up_spares_rows_that_may_still_matter(trial: &Trial<'_>) -> Checked {
    let mut a = trial.open()?;
    let token = a.granted("released", "a", LEASE)?;
    a.release("released", "a", token)?;
    a.granted("expired", "a", Duration::from_millis(1))?;
    a.granted("held", "a", LEASE)?;
    equal("rows that were deleted within a minute", a.clean_up()?, 0)?;
    equal("rows that are left", a.rows(None)?.len(), 3)
}

pub(super) fn rows_are_listed_by_name_with_the_start_of_their_term(trial: &Trial<'_>) -> Checked {
    let mut a = trial.open()?;
    let tolerance = trial.place.clock_tolerance().as_micros() as i64;
    let before = clock::unix_micros() - tolerance;
    for election in ["c", "a", "b"] {
        a.granted(election, election, LEASE)?;
    }
    let rows = a.rows(None)?;
    let after = clock::unix_micros() + tolerance;
    let listed: Vec<&str> = rows.iter().map(|row| row.election.as_str()).collect();
    equal("the elections that are listed", listed, vec!["a", "b", "c"])?;
    for row in &rows {
        let since = row.since_unix_us;
        let is_so = (before..=after).contains(&since);
        require(is_so, format_args!("a start of the term from {before} to {after}: found {since}"))?;
        let leader = row.leader().map(LeaderId::candidate);
        equal("the leader that is listed", leader, Some(row.election.as_str()))?;
    }
    let one: Vec<Name> = a.rows(Some("b"))?.into_iter().map(|row| row.election).collect();
    equal("the rows of one election", one.iter().map(Name::as_str).collect(), vec!["b"])?;
    equal("the number of rows of an election that has none", a.rows(Some("d"))?.len(), 0)
}

fn hint(told: &Receiver<Hint>) -> Checked<Hint> {
    told.recv_timeout(SOON).map_err(|_| Broken(format!("no hint within {SOON:?} of a release")))
}

pub(super) fn a_release_notifies_every_connection(trial: &Trial<'_>) -> Checked {
    let (mut a, told_a) = trial.open_listening()?;
    let (_b, told_b) = trial.open_listening()?;
    let token = a.granted("e", "a", LEASE)?;
    a.release("e", "a", token)?;
    for told in [told_a, told_b] {
        let hint = hint(&told)?;
        let names_it = matches!(&hint, Hint::Election(election) if election.as_str() == "e");
        require(
            hint == Hint::Any || names_it,
            format_args!("a hint of any election or of \"e\": found {hint:?}"),
        )?;
    }
    Ok(())
}

pub(super) fn a_renewal_notifies_no_connection(trial: &Trial<'_>) -> Checked {
    let (mut a, _told) = trial.open_listening()?;
    let (mut b, told) = trial.open_listening()?;
    let token = a.granted("e", "a", LEASE)?;
    let other = a.granted("other", "a", LEASE)?;
    for _ in 0..20 {
        equal("a renewal", a.renew("e", "a", token)?, Outcome::Renewed)?;
        b.refused("e", "b")?;
        b.look("e")?;
    }
    // A hint that comes in order, to know that none came before it.
    a.release("other", "a", other)?;
    hint(&told)?;
    std::thread::sleep(Duration::from_millis(60));
    let more: Vec<Hint> = told.try_iter().collect();
    equal("hints beside the one of the release", more, vec![])
}

pub(super) fn replies_carry_one_clock_that_goes_forward(trial: &Trial<'_>) -> Checked {
    let (mut a, mut b) = (trial.open()?, trial.open()?);
    let mut last = None;
    for round in 0..20 {
        let connection = if round % 2 == 0 { &mut a } else { &mut b };
        let reply = connection.execute(vec![("e", Op::Look)])?.remove(0).reply;
        let Some(clock) = reply.clock else { return Err(Broken("the reply carries no clock".into())) };
        if let Some((now, timeline)) = last {
            require(clock.now >= now, format_args!("a time not before {now:?}: found {:?}", clock.now))?;
            equal("the timeline", clock.timeline, timeline)?;
        }
        last = Some((clock.now, clock.timeline));
    }
    Ok(())
}
