//! Properties of one election: how a term begins, is renewed and ends.

use std::time::{Duration, Instant};

use super::connection::{Broken, Checked, LEASE, SHORT, SOON, Trial, acquire, equal, id, require, seen};
use crate::core::lease::{Outcome, Version};
use crate::driver::host::clock;

fn lost(what: &str, outcome: Outcome) -> Checked {
    equal(what, outcome, Outcome::Lost)
}

fn renewed(what: &str, outcome: Outcome) -> Checked {
    equal(what, outcome, Outcome::Renewed)
}

pub(super) fn a_held_lease_is_shown_and_not_granted(trial: &Trial<'_>) -> Checked {
    let (mut a, mut b) = (trial.open()?, trial.open()?);
    let token = a.granted("e", "a", LEASE)?;
    for connection in [&mut a, &mut b] {
        let row = connection.refused("e", "b")?;
        let expected = (Some(id("a")), Some(token), Some(LEASE));
        equal("holder, token and lease of the row", (row.holder, row.token, row.lease), expected)?;
        let remaining = row.remaining;
        let is_so = remaining > LEASE / 2 && remaining <= LEASE;
        require(is_so, format_args!("what remains of a new lease of {LEASE:?}: found {remaining:?}"))?;
    }
    // Not to its own holder either: a term begins once.
    equal("the row's token", a.refused("e", "a")?.token, Some(token))
}

pub(super) fn an_expired_lease_is_granted_and_not_before(trial: &Trial<'_>) -> Checked {
    let (mut a, mut b) = (trial.open()?, trial.open()?);
    let before = clock::now();
    let first = a.granted("e", "a", SHORT)?;
    let second = b.granted_at_last("e", "b")?;
    let waited = clock::now().saturating_since(before);
    require(waited >= SHORT, format_args!("a lease of {SHORT:?} was granted to another after {waited:?}"))?;
    require(second > first, format_args!("a token larger than {first}: found {second}"))
}

/// How long after an acquire for 120 ms another candidate is granted the lease.
pub(super) fn take_over(trial: &Trial<'_>) -> Checked<Duration> {
    let (mut a, mut b) = (trial.open()?, trial.open()?);
    let before = clock::now();
    a.granted("e", "a", SHORT)?;
    b.granted_at_last("e", "b")?;
    Ok(clock::now().saturating_since(before).saturating_sub(SHORT))
}

pub(super) fn a_lease_counts_from_the_execution_of_the_acquire(trial: &Trial<'_>) -> Checked {
    let mut a = trial.open()?;
    let answer = a.execute(vec![("e", acquire("a", LEASE))])?.remove(0);
    let Some(clock) = answer.reply.clock else { return Err(Broken("the reply carries no clock".into())) };
    let expires_at = a.row("e")?.expires_at;
    equal("the expiry, the reply's time and a lease", expires_at, clock.now.saturating_add(LEASE))
}

pub(super) fn only_the_holder_renews(trial: &Trial<'_>) -> Checked {
    let mut a = trial.open()?;
    let token = a.granted("e", "a", LEASE)?;
    let larger = token.next().unwrap_or(token);
    let before = a.row("e")?;
    lost("a renewal by another candidate", a.renew("e", "b", token)?)?;
    lost("a renewal with another token", a.renew("e", "a", larger)?)?;
    lost("a renewal in an election without a row", a.renew("no such election", "a", token)?)?;
    equal("the row after those", a.row("e")?.version(), before.version())?;
    renewed("a renewal by the holder", a.renew("e", "a", token)?)?;
    let (was, is) = (before.expires_at, a.row("e")?.expires_at);
    require(is > was, format_args!("an expiry later than {was:?} after a renewal: found {is:?}"))
}

pub(super) fn an_expired_lease_cannot_be_renewed(trial: &Trial<'_>) -> Checked {
    let (mut a, mut b) = (trial.open()?, trial.open()?);
    let token = a.granted("e", "a", SHORT)?;
    let end = Instant::now() + SOON;
    while !b.row("e")?.remaining.is_zero() {
        require(Instant::now() < end, format_args!("a lease of {SHORT:?} did not expire within {SOON:?}"))?;
        std::thread::sleep(Duration::from_millis(1));
    }
    lost("a renewal after the expiry", a.renew("e", "a", token)?)
}

pub(super) fn only_the_holder_releases(trial: &Trial<'_>) -> Checked {
    let mut a = trial.open()?;
    let token = a.granted("e", "a", LEASE)?;
    a.release("e", "b", token)?;
    a.release("e", "a", token.next().unwrap_or(token))?;
    a.release("no such election", "a", token)?;
    equal("the holder after releases by others", a.row("e")?.holder, Some(id("a")))?;
    equal("the row of an election that was only released", a.look("no such election")?, None)
}

pub(super) fn a_released_row_keeps_its_token_and_is_free_at_once(trial: &Trial<'_>) -> Checked {
    let (mut a, mut b) = (trial.open()?, trial.open()?);
    let token = a.granted("e", "a", LEASE)?;
    a.release("e", "a", token)?;
    let row = b.row("e")?;
    let expected = (None, Some(token), Duration::ZERO);
    equal("holder, token and what remains", (row.holder, row.token, row.remaining), expected)?;
    lost("a renewal after the release", a.renew("e", "a", token)?)?;
    let next = b.granted("e", "b", LEASE)?;
    require(next > token, format_args!("a token larger than {token}: found {next}"))
}

pub(super) fn a_late_release_does_not_end_the_next_term(trial: &Trial<'_>) -> Checked {
    let mut a = trial.open()?;
    let first = a.granted("e", "a", LEASE)?;
    a.release("e", "a", first)?;
    let second = a.granted("e", "a", LEASE)?;
    a.release("e", "a", first)?;
    renewed("a renewal of the next term", a.renew("e", "a", second)?)
}

pub(super) fn tokens_grow_through_every_end_of_a_term(trial: &Trial<'_>) -> Checked {
    let mut last = trial.open()?.granted("e", "a", Duration::from_millis(1))?;
    for round in 0..12 {
        // A new connection each time: what it knows, it knows from the store.
        let mut a = trial.open()?;
        let token = a.granted_at_last("e", "a")?;
        require(token > last, format_args!("round {round}: a token larger than {last}: found {token}"))?;
        last = token;
        let renewal = |millis| Duration::from_millis(millis);
        match round % 3 {
            0 => a.release("e", "a", token)?,
            1 => renewed("a renewal for 1 ms", a.renew_for("e", "a", token, renewal(1))?)?,
            _ => {
                renewed("a renewal for 5 ms", a.renew_for("e", "a", token, renewal(5))?)?;
                // It may have ended already, on a slow machine.
                if let Some(row) = a.revoke("e", None)? {
                    last = row.token.and_then(|token| token.next()).unwrap_or(last);
                }
            }
        }
    }
    Ok(())
}

pub(super) fn tokens_are_not_below_the_microseconds_since_1970(trial: &Trial<'_>) -> Checked {
    let tolerance = trial.place.clock_tolerance().as_micros() as u64;
    let before = clock::unix_micros() as u64;
    let token = trial.open()?.granted("e", "a", LEASE)?.get();
    let after = clock::unix_micros() as u64;
    let is_so = token >= before.saturating_sub(tolerance) && token <= after.saturating_add(tolerance);
    require(
        is_so,
        format_args!("a first token from {before} to {after}, by this machine's clock: found {token}"),
    )
}

pub(super) fn a_revoked_holder_fails_its_renewal_and_keeps_others_out(trial: &Trial<'_>) -> Checked {
    let (mut a, mut b) = (trial.open()?, trial.open()?);
    let token = a.granted("e", "a", LEASE)?;
    let Some(was) = b.revoke("e", None)? else { return Err(Broken("revoke: nothing was revoked".into())) };
    equal("holder and token of the revoked row", (was.holder, was.token), (Some(id("a")), Some(token)))?;
    lost("a renewal after the revocation", a.renew("e", "a", token)?)?;
    let row = b.row("e")?;
    equal("holder and token after the revocation", (row.holder.clone(), row.token), (None, token.next()))?;
    equal("the expiry after the revocation", row.expires_at, was.expires_at)?;
    equal("the token that an acquire is shown", b.refused("e", "b")?.token, row.token)
}

pub(super) fn a_revoked_lease_is_granted_when_it_ends_and_not_before(trial: &Trial<'_>) -> Checked {
    let (mut a, mut b) = (trial.open()?, trial.open()?);
    let lease = Duration::from_millis(400);
    let end = Instant::now() + SOON;
    for attempt in 0.. {
        let election = format!("e{attempt}");
        let start = clock::now();
        let token = a.granted(&election, "a", lease)?;
        let revoked = b.revoke(&election, None)?;
        let passed = clock::now().saturating_since(start);
        let next = b.granted_at_last(&election, "b")?;
        let waited = clock::now().saturating_since(start);
        require(waited >= lease, format_args!("a revoked lease of {lease:?} was granted after {waited:?}"))?;
        if revoked.is_some() {
            let larger = Some(next) > token.next();
            return require(larger, format_args!("a token larger than the revoked row's: found {next}"));
        }
        // On a slow machine the lease may have expired before it was revoked.
        let may_have_expired = passed >= lease && Instant::now() < end;
        require(may_have_expired, format_args!("revoke {election:?}: nothing was revoked after {passed:?}"))?;
    }
    Ok(())
}

pub(super) fn only_the_named_term_is_revoked(trial: &Trial<'_>) -> Checked {
    let mut a = trial.open()?;
    let token = a.granted("e", "a", LEASE)?;
    equal("a revocation of another term", a.revoke("e", token.next())?, None)?;
    renewed("a renewal after that", a.renew("e", "a", token)?)?;
    let revoked = a.revoke("e", Some(token))?;
    require(revoked.is_some(), format_args!("a revocation of this term: nothing was revoked"))?;
    lost("a renewal after the revocation", a.renew("e", "a", token)?)
}

pub(super) fn a_vacant_row_has_nothing_to_revoke(trial: &Trial<'_>) -> Checked {
    let mut a = trial.open()?;
    equal("a revocation without a row", a.revoke("e", None)?, None)?;
    let token = a.granted("e", "a", LEASE)?;
    a.release("e", "a", token)?;
    equal("a revocation of a released row", a.revoke("e", None)?, None)?;
    let token = a.granted("e", "a", LEASE)?;
    require(a.revoke("e", None)?.is_some(), format_args!("a revocation of a held row: nothing was revoked"))?;
    equal("a revocation of a revoked row", a.revoke("e", None)?, None)?;
    equal("the token after one revocation", a.row("e")?.token, token.next())
}

pub(super) fn an_acquire_of_an_unchanged_row_is_refused_if_it_changed(trial: &Trial<'_>) -> Checked {
    let (mut a, mut b) = (trial.open()?, trial.open()?);
    let token = a.granted("e", "a", LEASE)?;
    let held = b.row("e")?.version();
    a.release("e", "a", token)?;
    // The row is free now, but it is not the one that was seen.
    let row = Outcome::Seen(b.look("e")?);
    equal("an acquire if there is no row", b.acquire_unchanged("e", "b", Version::Absent)?, row.clone())?;
    equal("an acquire if the row is as it was", b.acquire_unchanged("e", "b", held)?, row.clone())?;
    let granted = |what, outcome| match outcome {
        Outcome::Granted { .. } => Ok(()),
        other => Err(Broken(format!("{what}: expected a grant, found {other:?}"))),
    };
    let free = seen(row)?.version();
    granted("an acquire if the row is as it is", b.acquire_unchanged("e", "b", free)?)?;
    let refused = b.acquire_unchanged("e2", "b", held)?;
    equal("an acquire of a row that is absent", refused, Outcome::Seen(None))?;
    granted("an acquire if there is no row", b.acquire_unchanged("e2", "b", Version::Absent)?)
}

pub(super) fn a_look_changes_nothing(trial: &Trial<'_>) -> Checked {
    let (mut a, mut b) = (trial.open()?, trial.open()?);
    equal("a first look", b.look("e")?, None)?;
    equal("a second look", b.look("e")?, None)?;
    a.granted("e", "a", LEASE)?;
    let (first, second) = (b.row("e")?, b.row("e")?);
    equal("the row after a look", second.version(), first.version())?;
    let (before, after) = (first.remaining, second.remaining);
    require(after <= before, format_args!("what remains, at most {before:?} as before: found {after:?}"))
}

pub(super) fn meta_is_shown_while_the_term_lasts(trial: &Trial<'_>) -> Checked {
    let mut a = trial.open()?;
    let token = a.granted("e", "a", LEASE)?;
    equal("the meta text of a new term", a.row("e")?.meta.as_deref(), Some("a's"))?;
    renewed("a renewal", a.renew("e", "a", token)?)?;
    equal("the meta text after a renewal", a.row("e")?.meta.as_deref(), Some("a's"))?;
    a.release("e", "a", token)?;
    equal("the meta text after the release", a.row("e")?.meta, None)
}
