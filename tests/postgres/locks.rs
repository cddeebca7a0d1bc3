//! Rows and tables that somebody else has locked: they cost the elections of others nothing, and no renewal
//! that was held up by them undoes a later one.

use std::time::{Duration, Instant};

use elector::Elector;
use elector::core::lease::{Failure, Outcome};

use crate::cluster::{Cluster, Release};
use crate::field::{Field, LEASE};
use crate::handle::Handle;
use crate::pgbouncer::PgBouncer;
use crate::waiting::{lead, wait_until};

const SOON: Duration = Duration::from_secs(20);

crate::on_each_release! {
    a_renewal_that_was_held_up_does_not_bring_back_what_a_later_one_has_set
    a_locked_row_is_busy_and_not_lost
    a_locked_row_costs_no_other_election_of_the_process_its_term
    a_locked_row_costs_no_other_election_behind_a_pooler_either
    a_pooler_survives_that_a_statement_is_given_up
}

/// A policy on the rows holds up whoever is called `late`, after its statement has read the clock and before
/// it has the row.
fn a_renewal_that_was_held_up_does_not_bring_back_what_a_later_one_has_set(release: Release) {
    let cluster = Cluster::start(release);
    let admin = cluster.session();
    let mut quick = Handle::open(&cluster.url());
    let token = quick.acquire("e", 60_000).expect("it is free");
    admin.run(
        "CREATE ROLE app LOGIN; GRANT SELECT, INSERT, UPDATE, DELETE ON leader_lease TO app;
         CREATE TABLE gate AS SELECT true AS shut; GRANT SELECT ON gate TO app;
         CREATE FUNCTION pass() RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN
             WHILE current_setting('application_name') = 'late' AND (SELECT shut FROM gate) LOOP
                 PERFORM pg_sleep(0.005);
             END LOOP;
             RETURN true;
         END $$;
         ALTER TABLE leader_lease ENABLE ROW LEVEL SECURITY;
         CREATE POLICY held_up ON leader_lease USING (pass())",
    );
    let url = cluster.url().replace("postgres@", "app@");
    let mut late = Handle::open(&format!("{url}?application_name=late"));
    let expiry = std::thread::scope(|scope| {
        let late = scope.spawn(|| late.renew("e", token));
        let waits = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'late' \
                     AND wait_event = 'PgSleep'";
        wait_until("the late renewal is held up", SOON, || admin.number(waits) > 0);
        std::thread::sleep(Duration::from_millis(50));
        assert_eq!(quick.renew("e", token), Outcome::Renewed);
        let expiry = quick.look("e").unwrap().expires_at;
        admin.run("UPDATE gate SET shut = false");
        assert_eq!(late.join().unwrap(), Outcome::Renewed);
        expiry
    });
    assert!(quick.look("e").unwrap().expires_at >= expiry);
}

fn a_locked_row_is_busy_and_not_lost(release: Release) {
    let cluster = Cluster::start(release);
    let mut store = Handle::open(&cluster.url());
    let (locked, free) = (store.acquire("locked", 60_000).unwrap(), store.acquire("free", 60_000).unwrap());
    let session = cluster.session();
    session.run("BEGIN; SELECT FROM leader_lease WHERE id = 'locked' FOR UPDATE");
    let before = store.look("locked");
    let start = Instant::now();
    let answers = store.execute(&[store.renewal("locked", locked), store.renewal("free", free)]);
    assert_eq!(answers[0].reply.outcome, Outcome::Failed(Failure::Unsent));
    assert_eq!(answers[1].reply.outcome, Outcome::Renewed);
    let line = answers[0].error.as_ref().expect("a word").to_string();
    assert!(line.contains("\"locked\"") && line.contains("another transaction"), "{line}");
    assert_eq!(store.release("locked", locked), Outcome::Failed(Failure::Unsent));
    assert!(start.elapsed() < Duration::from_millis(400), "nobody waited: {:?}", start.elapsed());
    assert_eq!(store.look("locked").map(|row| row.version()), before.map(|row| row.version()));
    session.run("COMMIT");
    assert_eq!(store.renew("locked", locked), Outcome::Renewed);
    assert_eq!(store.release("locked", locked), Outcome::Released);
    assert_eq!(store.renew("locked", locked), Outcome::Lost);
}

fn a_locked_row_costs_no_other_election_of_the_process_its_term(release: Release) {
    let cluster = Cluster::start(release);
    locked(&cluster, cluster.port());
}

/// There the session has no `lock_timeout` that would end the wait.
fn a_locked_row_costs_no_other_election_behind_a_pooler_either(release: Release) {
    let cluster = Cluster::start(release);
    let pool = PgBouncer::before(cluster.port());
    locked(&cluster, pool.port());
}

/// Fifty elections of one process, and one of their rows locked for longer than a lease.
fn locked(cluster: &Cluster, port: u16) {
    let lease = Duration::from_secs(3);
    let url = cluster.url_at(port);
    let stand = |number: usize| {
        let elector = Elector::builder(format!("e{number}")).store(&*url).lease(lease).build().unwrap();
        elector.campaign();
        elector
    };
    let electors: Vec<Elector> = (0..50).map(stand).collect();
    let tokens: Vec<_> = electors.iter().map(|elector| lead(elector, SOON)).collect();
    let session = cluster.session();
    session.run("BEGIN; SELECT FROM leader_lease WHERE id = 'e0' FOR UPDATE");
    let start = Instant::now();
    while start.elapsed() < 2 * lease {
        for (elector, token) in electors.iter().zip(&tokens).skip(1) {
            assert_eq!(elector.token(), Some(*token), "{}: {:?}", elector.election(), elector.last_error());
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(electors[0].token(), None, "its own row could not be renewed");
    session.run("COMMIT");
    assert!(lead(&electors[0], SOON) > tokens[0]);
}

/// PgBouncer 1.18 ends itself if a request to cancel is hung up on. A lock on the whole table is one that
/// every statement waits for.
fn a_pooler_survives_that_a_statement_is_given_up(release: Release) {
    let cluster = Cluster::start(release);
    let mut pool = PgBouncer::before(cluster.port());
    let mut field = Field::start(&cluster.url_at(pool.port()), 2);
    let old = field.leader(SOON);
    let (locker, session) = (cluster.session(), cluster.session());
    locker.run("BEGIN; LOCK TABLE leader_lease IN ACCESS EXCLUSIVE MODE");
    field.end_of(old.token, SOON);
    field.pass(3 * LEASE);
    assert!(pool.is_running(), "{}", pool.log());
    let waiting = session.number("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'");
    assert!(waiting <= 4, "{waiting} statements were given up and not stopped");
    locker.run("ROLLBACK");
    field.leader_after(Some(old.token), SOON);
    assert!(pool.is_running(), "{}", pool.log());
    field.judge();
}

/// Before release 16 the table that we make has no index on the expiry, and there is nothing to show.
#[test]
fn renewals_under_an_open_guard_stay_hot() {
    let cluster = Cluster::start(Release::Newest);
    let mut store = Handle::open(&cluster.url());
    let token = store.acquire("e", 60_000).unwrap();
    let guard = cluster.session();
    guard.run("BEGIN; SELECT FROM leader_lease WHERE id = 'e' FOR KEY SHARE");
    for _ in 0..50 {
        assert_eq!(store.renew("e", token), Outcome::Renewed);
    }
    drop(store);
    let session = cluster.session();
    let counted = "SELECT n_tup_upd FROM pg_stat_user_tables WHERE relname = 'leader_lease'";
    wait_until("the updates are counted", SOON, || session.number(counted) >= 50);
    let cold = "SELECT n_tup_upd - n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = 'leader_lease'";
    assert_eq!(session.number(cold), 0);
}
