//! Promise G: a guarded transaction of an old leader never commits after a new leader was elected.

use std::time::Duration;

use elector::Elector;
use elector::driver::clock;
use nix::sys::signal::Signal;

use crate::cluster::{Cluster, Release};
use crate::field::{Field, LEASE, SLACK};
use crate::proxy::{Proxy, Way};
use crate::session::Session;
use crate::waiting;

const SOON: Duration = Duration::from_secs(10);

crate::on_each_release! {
    an_open_guard_delays_the_next_leader_until_it_ends_and_then_fences_the_old_one
    renewals_are_not_held_up_by_an_open_guard
    a_guard_delays_only_its_own_election
    a_crash_of_the_guarding_process_ends_the_delay
    without_leadership_there_is_no_guard
    a_leader_that_lost_its_connection_can_still_guard
    a_release_under_an_open_guard_holds_up_no_other_election_on_the_peers_table
}

fn elector(url: &str, election: &str) -> Elector {
    let margin = Duration::from_millis(100);
    Elector::builder(election).store(url).lease(LEASE).margin(margin).build().unwrap()
}

/// A candidate that leads.
fn leading(url: &str, election: &str) -> Elector {
    waiting::leading(elector(url, election), SOON)
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

fn an_open_guard_delays_the_next_leader_until_it_ends_and_then_fences_the_old_one(release: Release) {
    let cluster = Cluster::start(release);
    let proxy = Proxy::to(cluster.port());
    let mut session = cluster.session();
    session.run("CREATE TABLE work (token bigint)");
    let old = leading(&cluster.url_at(proxy.port()), "nightly");
    let first = old.token().unwrap();
    let mut field = Field::start(&cluster.url(), 2);
    // Old and new may only be told apart by the guard: the old leader's own connection is cut off, while the
    // transaction of its work, on another connection, is not.
    let sql = old.guard_sql().unwrap();
    guarded(&mut session, &old, || {
        proxy.set(Way::Hold);
        field.pass(3 * LEASE);
        assert!(!old.am_i_leader());
        assert_eq!(field.terms(), 0, "the guard holds the row");
    })
    .unwrap();
    let committed = clock::now();
    let new = field.leader_after(Some(first), SOON);
    let took = new.since.saturating_since(committed);
    assert!(took <= LEASE + SLACK, "{took:?}");
    // From now on the old term commits nothing.
    assert_eq!(session.run(&sql).len(), 0);
    assert_eq!(session.number("SELECT count(*) FROM work"), 1);
    proxy.set(Way::Pass);
    field.pass(LEASE);
    assert!(guarded(&mut session, &old, || ()).is_err());
    old.release();
    field.judge();
}

fn a_leader_that_lost_its_connection_can_still_guard(release: Release) {
    let cluster = Cluster::start(release);
    let proxy = Proxy::to(cluster.port());
    let elector = leading(&cluster.url_at(proxy.port()), "nightly");
    for _ in 0..3 {
        // For so long that a renewal finds nobody to connect to, and the term goes on.
        proxy.refuse(true);
        proxy.cut();
        std::thread::sleep(LEASE / 2);
        proxy.refuse(false);
        let start = std::time::Instant::now();
        let mut guards = 0;
        while start.elapsed() < 2 * LEASE {
            match elector.guard_sql() {
                Ok(_) => guards += 1,
                Err(error) => assert!(error.is_not_leader(), "{error}"),
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        assert!(guards > 0);
        waiting::lead(&elector, SOON);
    }
}

fn renewals_are_not_held_up_by_an_open_guard(release: Release) {
    let cluster = Cluster::start(release);
    let mut session = cluster.session();
    session.run("CREATE TABLE work (token bigint)");
    let elector = leading(&cluster.url(), "nightly");
    let token = elector.token();
    guarded(&mut session, &elector, || {
        let start = std::time::Instant::now();
        while start.elapsed() < 4 * LEASE {
            assert_eq!(elector.token(), token);
            assert_eq!(elector.last_error(), None);
            std::thread::sleep(Duration::from_millis(5));
        }
    })
    .unwrap();
    // A release is not held up either: it ends the term, and the row stays locked for others only.
    guarded(&mut session, &elector, || elector.release_and_wait(Duration::from_secs(2)).unwrap()).unwrap();
}

fn a_guard_delays_only_its_own_election(release: Release) {
    let cluster = Cluster::start(release);
    let mut session = cluster.session();
    session.run("CREATE TABLE work (token bigint)");
    let elector = leading(&cluster.url(), "guarded");
    let mut field = Field::start(&cluster.url(), 2);
    guarded(&mut session, &elector, || {
        for _ in 0..2 {
            let old = field.leader(SOON);
            let killed = field.kill(old.candidate);
            field.add();
            let new = field.leader_after(Some(old.token), SOON);
            assert!(new.since.saturating_since(killed) <= LEASE + SLACK);
        }
    })
    .unwrap();
    field.judge();
}

fn a_crash_of_the_guarding_process_ends_the_delay(release: Release) {
    let cluster = Cluster::start(release);
    let mut field = Field::start(&cluster.url(), 2);
    let old = field.leader(SOON);
    field.stop(old.candidate);
    // Its work, as the row says it; the session is another process in the same state.
    let session = cluster.session();
    session.run("BEGIN; SELECT 1 FROM leader_lease FOR KEY SHARE");
    field.pass(2 * LEASE);
    assert_eq!(field.terms(), 1, "a guard left open holds the row");
    let status = std::process::Command::new(env!("CARGO_BIN_EXE_elector"))
        .args(["status", "--store", &cluster.url()])
        .output()
        .unwrap();
    let said =
        format!("{}{}", String::from_utf8_lossy(&status.stdout), String::from_utf8_lossy(&status.stderr));
    let pid = session.one("SELECT pg_backend_pid()");
    assert!(said.contains(&pid), "the status names the backend that blocks, {pid}: {said}");
    drop(session);
    let gone = clock::now();
    let new = field.leader_after(Some(old.token), SOON);
    let took = new.since.saturating_since(gone);
    assert!(took <= LEASE + SLACK, "{took:?}");
    let candidate = nix::unistd::Pid::from_raw(field.pid(old.candidate) as i32);
    nix::sys::signal::kill(candidate, Signal::SIGCONT).unwrap();
    field.go_on(old.candidate);
    field.end_of(old.token, SOON);
    field.judge();
}

fn without_leadership_there_is_no_guard(release: Release) {
    let cluster = Cluster::start(release);
    let mut session = cluster.session();
    session.run("CREATE TABLE work (token bigint)");
    let idle = elector(&cluster.url(), "nightly");
    assert!(idle.guard_sql().unwrap_err().is_not_leader());
    assert!(guarded(&mut session, &idle, || ()).is_err());
    let leader = leading(&cluster.url(), "nightly");
    // The row is gone by an operator's hand: the server decides, not what the elector still believes.
    session.run("DELETE FROM leader_lease");
    assert!(guarded(&mut session, &leader, || ()).is_err());
    assert_eq!(session.number("SELECT count(*) FROM work"), 0);
}

/// There a release deletes the row, which waits for whoever has locked it.
fn a_release_under_an_open_guard_holds_up_no_other_election_on_the_peers_table(release: Release) {
    let cluster = Cluster::start(release);
    let mut session = cluster.session();
    session.run("CREATE TABLE work (token bigint)");
    drop(crate::peer::Peer::start(&cluster.url(), "theirs", serde_json::json!({ "lockId": 7 })));
    let (guarding, other) = (leading(&cluster.url(), "1"), leading(&cluster.url(), "2"));
    let token = other.token();
    guarded(&mut session, &guarding, || {
        guarding.release();
        let start = std::time::Instant::now();
        while start.elapsed() < 4 * LEASE {
            assert_eq!(other.token(), token, "{:?}", other.last_error());
            std::thread::sleep(Duration::from_millis(5));
        }
    })
    .unwrap();
    // What was released is free once the guard is gone.
    guarding.campaign();
    waiting::lead(&guarding, SOON);
}
