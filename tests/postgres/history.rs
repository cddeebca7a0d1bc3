//! Servers whose settings or history would make a careless store lose what it has granted.

use std::sync::Arc;
use std::time::Duration;

use elector::core::lease::{Acquire, LeaderId, Op, Outcome, Request, RequestId};
use elector::core::{FencingToken, Name};
use elector::driver::clock;
use elector::driver::store::{Job, Store};
use elector::driver::url::StoreUrl;

use crate::candidate::Stand;
use crate::cluster::{Cluster, Release, Stop, fresh_database};
use crate::field::{Field, LEASE, SLACK};
use crate::pgbouncer::PgBouncer;
use crate::proxy::Proxy;
use crate::session::Session;
use crate::waiting::wait_until;

const SOON: Duration = Duration::from_secs(20);

crate::on_each_release! {
    a_grant_is_on_disk_whatever_the_role_says_about_commits
    a_grant_that_the_synchronous_standby_lacks_is_not_led
    a_demoted_primary_is_left_for_the_new_one
    transactions_that_are_serializable_by_default_do_no_harm
    elections_of_two_schemas_are_two
    a_renamed_or_dropped_table_ends_the_term_in_time
}

fn acquire(store: &mut dyn Store, election: &str) -> Option<FencingToken> {
    let holder = LeaderId::new(&Name::new("candidate", "me").unwrap(), 7);
    let op = Op::Acquire(Acquire { holder, meta: None, lease: Duration::from_secs(600), unchanged: None });
    let deadline = clock::now().saturating_add(SOON);
    let request = Request { id: RequestId(1), deadline, op };
    let job = Job { election: Name::new("election", election).unwrap(), request };
    let answer = store.execute(&[job]).remove(0);
    assert!(answer.error.is_none(), "{answer:?}");
    match answer.reply.outcome {
        Outcome::Granted { token } => Some(token),
        _ => None,
    }
}

/// Directly the session's settings see to it; behind a pooler, where those are not ours, each statement does.
fn a_grant_is_on_disk_whatever_the_role_says_about_commits(release: Release) {
    let plan = Cluster::plan(release).set("synchronous_commit", "off").set("wal_writer_delay", 10_000);
    let mut cluster = plan.start();
    let pool = PgBouncer::before(cluster.port());
    cluster.session().run("CREATE TABLE control (n int); INSERT INTO control VALUES (0)");
    for (n, port) in [(1, cluster.port()), (2, pool.port())] {
        let mut store = StoreUrl::parse(&cluster.url_at(port)).unwrap().open(Arc::new(|_| {})).unwrap();
        let election = format!("e{n}");
        let before = cluster.session().number("SELECT n FROM control");
        cluster.session().run("CHECKPOINT");
        std::thread::sleep(Duration::from_millis(200));
        let token = acquire(&mut *store, &election).expect("a fresh election");
        // Without the store's own care this much is lost; else this test would prove nothing.
        cluster.session().run(&format!("UPDATE control SET n = {n}"));
        cluster.restart(Stop::Immediate);
        let session = cluster.session();
        let kept = session.number("SELECT n FROM control");
        assert_eq!(kept, before, "the crash must lose what was not waited for");
        let row = format!("SELECT token FROM leader_lease WHERE id = '{election}'");
        assert_eq!(session.number(&row), token.get() as i64);
    }
}

/// The standby is cut off while an acquire waits for it. Once the candidate has given that up, PostgreSQL
/// shows the row, but it is lost if the standby is promoted.
fn a_grant_that_the_synchronous_standby_lacks_is_not_led(release: Release) {
    let mut primary = Cluster::start(release);
    let link = Proxy::to(primary.port());
    let standby = primary.standby_through(link.port());
    primary.alter("synchronous_standby_names", "*");
    let session = primary.session();
    let synchronous = "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'";
    wait_until("a synchronous standby", SOON, || session.number(synchronous) == 1);
    let mut field = Field::start(&primary.url(), 1);
    for promoted in [false, true] {
        let old = field.leader(SOON);
        // A renewal that waits for the standby would keep the row locked.
        field.kill(old.candidate);
        field.pass(Duration::from_millis(200));
        link.refuse(true);
        link.cut();
        wait_until("the standby is cut off", SOON, || session.number(synchronous) == 0);
        field.pass(LEASE);
        let terms = field.terms();
        field.add();
        let held = format!("SELECT count(*) FROM leader_lease WHERE token > {}", old.token);
        let is_seen = || promoted && cancelled(&session) || session.number(&held) == 1;
        wait_until("the row can be seen", SOON, is_seen);
        for _ in 0..10 {
            field.pass(LEASE / 10);
            if promoted {
                cancelled(&session);
            }
        }
        assert_eq!(session.number(&held), 1, "the row is there to be led");
        assert_eq!(field.terms(), terms, "led with a row that the standby lacks");
        if promoted {
            standby.promote();
            field.add_at(&Stand { store: standby.url(), ..field.stand() });
        } else {
            link.refuse(false);
        }
        field.leader_after(Some(old.token), SOON);
    }
    field.pass(LEASE);
    assert_eq!(standby.session().number("SELECT count(*) FROM leader_lease"), 1);
    field.judge();
}

/// Ends all waits for a synchronous standby. PostgreSQL then answers as if it had what was done.
fn cancelled(session: &Session) -> bool {
    let cancel = "SELECT count(pg_cancel_backend(pid)) FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
    session.number(cancel) > 0
}

/// The old primary comes back as a standby of the new one. It is listed first, and takes no writes.
fn a_demoted_primary_is_left_for_the_new_one(release: Release) {
    let mut old = Cluster::start(release);
    let mut new = old.standby();
    let url = format!("postgres://postgres@127.0.0.1:{},127.0.0.1:{}/postgres", old.port(), new.port());
    let mut field = Field::start(&url, 3);
    for _ in 0..2 {
        let before = field.leader(SOON);
        field.pass(LEASE);
        old.stop(Stop::Fast);
        new.promote();
        old.follow(new.port());
        let back = clock::now();
        field.pass(2 * LEASE);
        let leader = field.leader(SOON);
        let took = leader.since.saturating_since(back);
        assert!(took <= 3 * LEASE + SLACK, "{took:?}");
        assert!(leader.token >= before.token);
        let live = "SELECT count(*) FROM leader_lease WHERE expires_at > clock_timestamp()";
        assert_eq!(new.session().number(live), 1, "it leads at the new primary");
        std::mem::swap(&mut old, &mut new);
    }
    field.judge();
}

fn transactions_that_are_serializable_by_default_do_no_harm(release: Release) {
    let cluster = Cluster::plan(release).set("default_transaction_isolation", "serializable").start();
    let mut field = Field::start(&cluster.url(), 5);
    for _ in 0..3 {
        let leader = field.leader(SOON);
        field.pass(Duration::from_millis(500));
        let killed = field.kill(leader.candidate);
        let next = field.leader_after(Some(leader.token), SOON);
        let took = next.since.saturating_since(killed);
        assert!(took <= LEASE + SLACK, "{took:?}");
        field.add();
    }
    assert_eq!(field.errors, [""; 0]);
    field.judge();
}

fn elections_of_two_schemas_are_two(release: Release) {
    let url = fresh_database(release);
    let session = Session::open(&url);
    session.run("CREATE SCHEMA a; CREATE SCHEMA b");
    let mut fields = ["a", "b"].map(|schema| Field::start(&format!("{url}?schema={schema}"), 2));
    let leaders = fields.each_mut().map(|field| field.leader(SOON));
    let [first, second] = &mut fields;
    first.say(leaders[0].candidate, "release");
    first.leader_after(Some(leaders[0].token), SOON);
    second.pass(Duration::from_millis(500));
    assert_eq!(second.leader(SOON), leaders[1]);
    let [first, second] = fields;
    first.judge();
    second.judge();
}

fn a_renamed_or_dropped_table_ends_the_term_in_time(release: Release) {
    let url = fresh_database(release);
    let session = Session::open(&url);
    let mut field = Field::start(&url, 2);
    for sql in ["ALTER TABLE leader_lease RENAME TO gone", "DROP TABLE leader_lease", "TRUNCATE leader_lease"]
    {
        let old = field.leader(SOON);
        let done = clock::now();
        session.run(sql);
        let ended = field.end_of(old.token, SOON);
        assert!(ended.saturating_since(done) <= LEASE, "{sql}");
        // The table is made again, and its tokens are larger still.
        let new = field.leader_after(Some(old.token), SOON);
        println!("{sql}: leads again after {:?}", new.since.saturating_since(done));
    }
    // A holder whose row was taken away may not know it at once: that is said to be no part of the promise.
    // With the clock's microseconds the tokens grow all the same.
    drop(field);
}
