//! Promise G: a guarded transaction of an old leader never commits after a new leader was elected.

use std::time::Duration;

use elector::Elector;

use crate::leading;
use elector_kit::cluster::{Cluster, Release};
use elector_kit::field::{Field, LEASE, Leader};
use elector_kit::proxy::{Proxy, Way};
use elector_kit::session::Session;
use elector_kit::waiting::{SOON, renewed, wait_until};

elector_kit::on_each_release! {
    an_open_guard_delays_the_next_leader_until_it_ends_and_then_fences_the_old_one
    renewals_are_not_held_up_by_an_open_guard
    a_guard_delays_only_its_own_election
    a_crash_of_the_guarding_process_ends_the_delay
    without_leadership_there_is_no_guard
    work_that_is_drained_can_still_guard
    a_leader_that_lost_its_connection_can_still_guard
    a_release_under_an_open_guard_holds_up_no_other_election_on_the_peers_table
}

/// A candidate that leads. No test outlives its lease nor the time to a look, a third of it; it renews and
/// retries often.
fn leading(url: &str, election: &str) -> Elector {
    let builder = Elector::builder(election).store(url).lease(Duration::from_secs(300));
    let builder = builder.renew(Duration::from_millis(300)).retry(Duration::from_millis(50));
    leading::leading(builder.build().unwrap())
}

/// Work guarded by this elector: one row written under the guard, committed after `hold` has run.
fn guarded(session: &mut Session, elector: &Elector, hold: impl FnOnce()) -> Result<(), String> {
    let (runtime, client) = session.parts();
    runtime.block_on(async {
        let transaction = client.transaction().await.map_err(|error| error.to_string())?;
        elector.guard(&transaction).await.map_err(|error| error.to_string())?;
        let token = elector.token().map_or(0, |token| token.get() as i64);
        transaction.execute("INSERT INTO work VALUES ($1)", &[&token]).await.map_err(|e| e.to_string())?;
        tokio::task::block_in_place(hold);
        transaction.commit().await.map_err(|error| error.to_string())
    })
}

/// The old leader's own connection is cut off under the guard, while the transaction of its work, on another
/// connection, is not: only the guard distinguishes the old leader from the new one. No other candidate
/// campaigns before the cut.
fn an_open_guard_delays_the_next_leader_until_it_ends_and_then_fences_the_old_one(release: Release) {
    let cluster = Cluster::start(release);
    let proxy = Proxy::to(cluster.port());
    let mut session = cluster.session();
    session.run("CREATE TABLE work (token bigint)");
    let (store, lease) = (cluster.url_at(proxy.port()), Duration::from_secs(1));
    let old = Elector::builder("nightly").store(store).lease(lease).build().unwrap();
    let mut field = Field::with_lease(&cluster.url(), 0, lease);
    let mut fenced = None;
    // The short lease may end before the guard is taken, or right after; then the next term tries.
    wait_until("guarded work", || {
        leading::leading(old.clone());
        let done = guarded(&mut session, &old, || {
            let Ok(sql) = old.guard_sql() else { return };
            fenced = Some(sql);
            proxy.set(Way::Hold);
            (0..2).for_each(|_| _ = field.add());
            wait_until("the end of trust", || !old.am_i_leader());
            field.pass(2 * lease);
            assert_eq!(field.terms(), 0, "the guard holds the row");
        });
        if fenced.is_none() {
            session.run("DELETE FROM work");
        }
        fenced.is_some() && done.is_ok()
    });
    let first = session.number("SELECT token FROM work");
    let fenced = fenced.unwrap();
    assert!(fenced.contains(&first.to_string()), "{first}: {fenced}");
    let new = field.leader();
    assert!(new.token as i64 > first);
    // From now on the old term commits nothing. The candidate may be elected anew, with a larger token.
    assert_eq!(session.run(&fenced).len(), 0);
    proxy.set(Way::Pass);
    field.pass(lease);
    let _ = guarded(&mut session, &old, || ());
    let new = new.token as i64;
    assert_eq!(session.number(&format!("SELECT count(*) FROM work WHERE token <= {new}")), 1);
    old.release();
    field.judge();
}

/// Each time a renewal meets a server that refuses to be connected to, and the term goes on.
fn a_leader_that_lost_its_connection_can_still_guard(release: Release) {
    let cluster = Cluster::start(release);
    let proxy = Proxy::to(cluster.port());
    let elector = leading(&cluster.url_at(proxy.port()), "nightly");
    let (token, session) = (elector.token(), cluster.session());
    let can_guard = || {
        let guard = elector.guard_sql().unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(session.run(&guard).len(), 1);
    };
    for _ in 0..3 {
        proxy.refuse(true);
        proxy.cut();
        let refused = proxy.accepted();
        wait_until("a renewal finds no server", || {
            can_guard();
            proxy.accepted() > refused
        });
        let before = session.expiry("nightly");
        proxy.refuse(false);
        wait_until("a renewal", || {
            can_guard();
            session.expiry("nightly") > before
        });
        assert_eq!(elector.token(), token);
    }
}

fn renewals_are_not_held_up_by_an_open_guard(release: Release) {
    let cluster = Cluster::start(release);
    let (mut session, observer) = (cluster.session(), cluster.session());
    session.run("CREATE TABLE work (token bigint)");
    let elector = leading(&cluster.url(), "nightly");
    let token = elector.token();
    guarded(&mut session, &elector, || {
        for _ in 0..2 {
            renewed(&observer, "nightly");
            assert_eq!(elector.token(), token);
            let complaint = elector.last_error().map(|error| error.to_string());
            assert!(complaint.is_none_or(|line| line.contains("no answer within")), "a busy machine's only");
        }
    })
    .unwrap();
    // A release is not held up either: it ends the term, and the row stays locked for others only.
    guarded(&mut session, &elector, || elector.release_and_wait(SOON).unwrap()).unwrap();
}

fn a_guard_delays_only_its_own_election(release: Release) {
    let cluster = Cluster::start(release);
    let mut session = cluster.session();
    session.run("CREATE TABLE work (token bigint)");
    let elector = leading(&cluster.url(), "guarded");
    let mut field = Field::with_lease(&cluster.url(), 2, Duration::from_secs(1));
    guarded(&mut session, &elector, || {
        for _ in 0..2 {
            let old = field.leader();
            field.kill(old.candidate);
            field.add();
            field.leader_after(old.token);
        }
    })
    .unwrap();
    field.judge();
}

/// A guard of the leader's work in a session of its own, which the server cannot tell from another process.
/// Afterwards this leader has stopped, and no candidate can succeed it.
fn left_open(cluster: &Cluster, field: &mut Field) -> (Session, Leader) {
    let session = cluster.session();
    loop {
        let old = field.leader();
        let row = session.run("BEGIN; SELECT token FROM leader_lease FOR KEY SHARE").remove(0);
        if row[0] == Some(old.token.to_string()) {
            field.stop(old.candidate);
            return (session, old);
        }
        // Its lease has ended meanwhile, and another leads.
        session.run("ROLLBACK");
    }
}

fn a_crash_of_the_guarding_process_ends_the_delay(release: Release) {
    let cluster = Cluster::start(release);
    let mut field = Field::with_lease(&cluster.url(), 2, Duration::from_secs(1));
    let (session, old) = left_open(&cluster, &mut field);
    let expired = "SELECT count(*) FROM leader_lease WHERE expires_at < clock_timestamp()";
    wait_until("the end of the lease", || session.number(expired) == 1);
    field.pass(Duration::from_millis(1_500));
    assert_eq!(field.newest(), Some(old.token), "a guard left open holds the row");
    let status = std::process::Command::new(env!("CARGO_BIN_EXE_elector"))
        .args(["status", "--store", &cluster.url()])
        .output()
        .unwrap();
    let said =
        format!("{}{}", String::from_utf8_lossy(&status.stdout), String::from_utf8_lossy(&status.stderr));
    let pid = session.one("SELECT pg_backend_pid()");
    assert!(said.contains(&pid), "the status names the backend that blocks, {pid}: {said}");
    drop(session);
    field.leader_after(old.token);
    field.go_on(old.candidate);
    field.end_of(old.token);
    field.judge();
}

fn without_leadership_there_is_no_guard(release: Release) {
    let cluster = Cluster::start(release);
    let mut session = cluster.session();
    session.run("CREATE TABLE work (token bigint)");
    // It renews so rarely that it does not learn what happens to its row.
    let elector = || Elector::builder("nightly").store(cluster.url()).lease(Duration::from_secs(1_200));
    let idle = elector().build().unwrap();
    assert!(idle.guard_sql().unwrap_err().is_not_leader());
    assert!(guarded(&mut session, &idle, || ()).is_err());
    let leader = leading::leading(elector().build().unwrap());
    guarded(&mut session, &leader, || ()).unwrap();
    // The row is gone by an operator's hand: the server decides, not what the elector still believes.
    session.run("DELETE FROM leader_lease");
    assert!(guarded(&mut session, &leader, || ()).is_err());
    assert!(leader.am_i_leader());
    assert_eq!(session.number("SELECT count(*) FROM work"), 1);
}

/// A job that is to finish commits: its term lasts while its candidate drains, and is over after that.
fn work_that_is_drained_can_still_guard(release: Release) {
    let cluster = Cluster::start(release);
    let mut session = cluster.session();
    session.run("CREATE TABLE work (token bigint)");
    let leader = leading(&cluster.url(), "nightly");
    leader.drain_for(SOON);
    assert!(!leader.am_i_leader());
    assert!(leader.guard_sql().is_ok());
    guarded(&mut session, &leader, || assert!(!leader.am_i_leader())).unwrap();
    leader.drained();
    assert!(leader.guard_sql().unwrap_err().is_not_leader());
    assert!(guarded(&mut session, &leader, || ()).is_err());
    assert_eq!(session.number("SELECT count(*) FROM work"), 1);
}

fn a_release_under_an_open_guard_holds_up_no_other_election_on_the_peers_table(release: Release) {
    let cluster = Cluster::start(release);
    cluster.session().run(elector_kit::peer::TABLE);
    released_under_a_guard(&cluster.url());
}

/// In a table with numbers of elections. There a release deletes the row, which waits for a transaction that
/// has locked it.
pub fn released_under_a_guard(url: &str) {
    let (mut session, observer) = (Session::open(url), Session::open(url));
    session.run("CREATE TABLE work (token bigint)");
    let (guarding, other) = (leading(url, "1"), leading(url, "2"));
    let token = other.token();
    guarded(&mut session, &guarding, || {
        guarding.release();
        for _ in 0..3 {
            renewed(&observer, "2");
            assert_eq!(other.token(), token, "{:?}", other.last_error());
        }
    })
    .unwrap();
    // What was released is free once the guard is gone, long before its lease would have ended.
    guarding.campaign();
    leading::lead(&guarding);
}

/// How soon the next leader is elected.
mod timed {
    use elector_kit::clock;

    use super::{Cluster, Field, LEASE, Release, left_open};
    use crate::watch::{SLACK, watch};

    elector_kit::on_each_release! {
        the_next_leader_is_elected_within_a_lease_of_the_end_of_a_guard
        a_guard_slows_down_no_fail_over_of_another_election
    }

    fn the_next_leader_is_elected_within_a_lease_of_the_end_of_a_guard(release: Release) {
        for crash in [false, true] {
            let cluster = Cluster::start(release);
            let mut field = Field::start(&cluster.url(), 2);
            let (session, old) = left_open(&cluster, &mut field);
            field.pass(2 * LEASE);
            let witness = watch(&field, cluster.pid());
            let gone = clock::now();
            match crash {
                true => drop(session),
                false => drop(session.run("COMMIT")),
            }
            let new = field.leader_after(old.token);
            let took = new.since.saturating_since(gone);
            println!("crash {crash}: led after {took:?}");
            witness.at_most(took, LEASE + SLACK, "the election after a guard");
            field.go_on(old.candidate);
            field.judge();
        }
    }

    fn a_guard_slows_down_no_fail_over_of_another_election(release: Release) {
        let cluster = Cluster::start(release);
        let guarded = super::leading(&cluster.url(), "guarded");
        let guard = cluster.session();
        guard.run(&format!("BEGIN; {}", guarded.guard_sql().unwrap()));
        let mut field = Field::start(&cluster.url(), 2);
        for _ in 0..2 {
            let old = field.leader();
            let witness = watch(&field, cluster.pid());
            let killed = field.kill(old.candidate);
            let new = field.leader_after(old.token);
            let took = new.since.saturating_since(killed);
            witness.at_most(took, LEASE + SLACK, "the fail-over beside a guard");
            field.add();
        }
        guard.run("COMMIT");
        field.judge();
    }
}
