//! Rows and tables that another session has locked: they do not disturb other elections, and no renewal that
//! was delayed by them undoes a later one.

use std::time::Duration;

use elector::Elector;
use elector::core::lease::{Failure, Outcome};

use crate::handle::Handle;
use crate::leading::lead;
use elector_kit::cluster::{Cluster, Release};
use elector_kit::field::Field;
use elector_kit::pgbouncer::PgBouncer;
use elector_kit::waiting::wait_until;

elector_kit::on_each_release! {
    a_renewal_that_was_held_up_does_not_bring_back_what_a_later_one_has_set
    a_locked_row_is_busy_and_not_lost
    a_locked_row_costs_no_other_election_of_the_process_its_term
    a_locked_row_costs_no_other_election_behind_a_pooler_either
    a_pooler_survives_that_a_statement_is_given_up
}

/// A policy on the rows delays the session whose `application_name` is `late`, after its statement has read
/// the clock and before it has the row.
fn a_renewal_that_was_held_up_does_not_bring_back_what_a_later_one_has_set(release: Release) {
    let cluster = Cluster::start(release);
    let admin = cluster.session();
    let mut quick = Handle::open(&cluster.url());
    let token = quick.acquire("e", 300_000).expect("it is free");
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
    let mut held_up = || {
        std::thread::scope(|scope| {
            let late = scope.spawn(|| late.renew("e", token));
            let waits = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'late' \
                         AND wait_event = 'PgSleep'";
            wait_until("the late renewal is held up", || late.is_finished() || admin.number(waits) > 0);
            std::thread::sleep(Duration::from_millis(50));
            assert_eq!(quick.renew("e", token), Outcome::Renewed);
            let expiry = quick.look("e").unwrap().expires_at;
            admin.run("UPDATE gate SET shut = false");
            let outcome = late.join().unwrap();
            assert!(quick.look("e").unwrap().expires_at >= expiry);
            outcome
        })
    };
    // Held up for longer than a session lets a statement take, it does nothing: once more.
    wait_until("a late renewal", || {
        admin.run("UPDATE gate SET shut = true");
        let outcome = held_up();
        assert!(matches!(outcome, Outcome::Renewed | Outcome::Failed(Failure::Unsent)), "{outcome:?}");
        outcome == Outcome::Renewed
    });
}

/// A statement that waited for the row would fail by `lock_timeout` instead, and with it the rest of its
/// batch.
fn a_locked_row_is_busy_and_not_lost(release: Release) {
    let cluster = Cluster::start(release);
    let mut store = Handle::open(&cluster.url());
    let (locked, free) = (store.acquire("locked", 60_000).unwrap(), store.acquire("free", 60_000).unwrap());
    let session = cluster.session();
    session.run("BEGIN; SELECT FROM leader_lease WHERE id = 'locked' FOR UPDATE");
    let before = store.look("locked");
    for job in [store.renewal("locked", locked), store.ending("locked", locked)] {
        let answers = store.execute(&[job, store.renewal("free", free)]);
        assert_eq!(answers[0].reply.outcome, Outcome::Failed(Failure::Unsent));
        assert_eq!(answers[1].reply.outcome, Outcome::Renewed);
        let line = answers[0].error.as_ref().expect("a word").to_string();
        assert!(line.contains("another transaction holds the row of election \"locked\""), "{line}");
    }
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

/// Fifty elections of one process, and the row of one with a short lease locked until this has ended. The
/// others' leases are not outlived by the test; meanwhile all their rows are renewed.
fn locked(cluster: &Cluster, port: u16) {
    let url = cluster.url_at(port);
    let campaigning = |number: usize| {
        let builder = Elector::builder(format!("e{number}")).store(&*url);
        let builder = match number {
            0 => builder.lease(Duration::from_secs(1)),
            _ => builder.lease(Duration::from_secs(120)).renew(Duration::from_millis(500)),
        };
        let elector = builder.build().unwrap();
        elector.campaign();
        elector
    };
    let electors: Vec<Elector> = (0..50).map(campaigning).collect();
    let tokens: Vec<_> = electors.iter().map(lead).collect();
    let (locker, observer) = (cluster.session(), cluster.session());
    locker.run("BEGIN; SELECT FROM leader_lease WHERE id = 'e0' FOR UPDATE");
    wait_until("its own row cannot be renewed", || electors[0].token().is_none());
    let now = observer.one("SELECT clock_timestamp()");
    let rest = format!(
        "SELECT count(*) FROM leader_lease \
         WHERE id <> 'e0' AND expires_at <= timestamptz '{now}' + interval '120 seconds'"
    );
    wait_until("all others are renewed from now on", || observer.number(&rest) == 0);
    for (elector, token) in electors.iter().zip(&tokens).skip(1) {
        assert_eq!(elector.token(), Some(*token), "{}: {:?}", elector.election(), elector.last_error());
    }
    assert_eq!(electors[0].token(), None);
    locker.run("COMMIT");
    assert!(lead(&electors[0]) > tokens[0]);
}

/// PgBouncer 1.18 ends itself if a request to cancel is hung up on. A lock on the whole table is one that
/// every statement waits for.
fn a_pooler_survives_that_a_statement_is_given_up(release: Release) {
    let cluster = Cluster::start(release);
    let mut pool = PgBouncer::before(cluster.port());
    let lease = Duration::from_secs(1);
    let mut field = Field::with_lease(&cluster.url_at(pool.port()), 2, lease);
    let old = field.leader();
    let (locker, session) = (cluster.session(), cluster.session());
    locker.run("BEGIN; LOCK TABLE leader_lease IN ACCESS EXCLUSIVE MODE");
    field.end_of(old.token);
    field.pass(3 * lease);
    assert!(pool.is_running(), "{}", pool.log());
    // Two statements of each candidate at most; those that are not stopped wait until the lock is gone.
    let waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'";
    wait_until("what is given up is stopped", || session.number(waiting) <= 4);
    locker.run("ROLLBACK");
    field.leader_after(old.token);
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
    wait_until("the updates are counted", || session.number(counted) >= 50);
    let cold = "SELECT n_tup_upd - n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = 'leader_lease'";
    assert_eq!(session.number(cold), 0);
}

/// How long a statement stays with a locked row.
mod timed {
    use std::time::{Duration, Instant};

    use super::{Cluster, Failure, Handle, Outcome, Release};
    use elector_kit::witness::Witness;

    elector_kit::on_each_release! {
        nothing_waits_for_a_locked_row
    }

    fn nothing_waits_for_a_locked_row(release: Release) {
        let cluster = Cluster::start(release);
        let mut store = Handle::open(&cluster.url());
        let (locked, free) = (store.acquire("e", 60_000).unwrap(), store.acquire("free", 60_000).unwrap());
        let locker = cluster.session();
        locker.run("BEGIN; SELECT FROM leader_lease WHERE id = 'e' FOR UPDATE");
        let witness = Witness::start(&[cluster.pid()]);
        let start = Instant::now();
        store.execute(&[store.renewal("e", locked), store.renewal("free", free)]);
        assert_eq!(store.release("e", locked), Outcome::Failed(Failure::Unsent));
        let took = start.elapsed();
        println!("a renewal and a release of a locked row took {took:?}");
        // `lock_timeout` is half a second.
        witness.at_most(took, Duration::from_millis(400), "a renewal and a release of a locked row");
    }
}
