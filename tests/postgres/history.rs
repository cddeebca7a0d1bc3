//! Servers whose settings or history would make a careless store lose what it has granted.

use std::sync::Arc;
use std::time::Duration;

use elector::core::lease::{Acquire, LeaderId, Op, Outcome, Request, RequestId};
use elector::core::{FencingToken, Name};
use elector::driver::clock;
use elector::driver::stores::url::StoreUrl;
use elector::driver::stores::{Job, Store};

use crate::watch::{SLACK, watch};
use elector_kit::candidate::Stand;
use elector_kit::cluster::{Cluster, Release, Stop, fresh_database};
use elector_kit::field::{Field, LEASE, STEADY};
use elector_kit::pgbouncer::PgBouncer;
use elector_kit::proxy::Proxy;
use elector_kit::session::Session;
use elector_kit::waiting::{SOON, wait_until};

elector_kit::on_each_release! {
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
    wait_until("a synchronous standby", || session.number(synchronous) == 1);
    let mut field = Field::start(&primary.url(), 1);
    for promoted in [false, true] {
        let old = field.leader();
        // A renewal that waits for the standby would keep the row locked.
        field.kill(old.candidate);
        field.pass(Duration::from_millis(200));
        link.refuse(true);
        link.cut();
        wait_until("the standby is cut off", || session.number(synchronous) == 0);
        field.pass(LEASE);
        let terms = field.terms();
        field.add();
        let held = format!("SELECT count(*) FROM leader_lease WHERE token > {}", old.token);
        let is_seen = || promoted && cancelled(&session) || session.number(&held) == 1;
        wait_until("the row can be seen", is_seen);
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
        field.leader_after(old.token);
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
        let before = field.leader();
        field.pass(LEASE);
        old.stop(Stop::Fast);
        new.promote();
        let witness = watch(&field, new.pid());
        old.follow(new.port());
        let back = clock::now();
        let session = new.session();
        let row = session.expiry("nightly");
        wait_until("the row is renewed or taken", || session.expiry("nightly") > row);
        let took = clock::now().saturating_since(back);
        println!("the new primary's row is held after {took:?}");
        witness.at_most(took, 2 * LEASE + SLACK, "the renewal or election at the new primary");
        assert!(field.leader().token >= before.token);
        std::mem::swap(&mut old, &mut new);
    }
    field.judge();
}

fn transactions_that_are_serializable_by_default_do_no_harm(release: Release) {
    let cluster = Cluster::plan(release).set("default_transaction_isolation", "serializable").start();
    let mut field = Field::start(&cluster.url(), 5);
    for _ in 0..3 {
        let leader = field.leader();
        field.pass(Duration::from_millis(500));
        let witness = watch(&field, cluster.pid());
        let killed = field.kill(leader.candidate);
        let next = field.leader_after(leader.token);
        witness.at_most(next.since.saturating_since(killed), LEASE + SLACK, "the fail-over");
        field.add();
    }
    field.assert_no_complaint();
    field.judge();
}

fn elections_of_two_schemas_are_two(release: Release) {
    let url = fresh_database(release);
    let session = Session::open(&url);
    session.run("CREATE SCHEMA a; CREATE SCHEMA b");
    let mut fields = ["a", "b"].map(|schema| {
        let url = format!("{url}?schema={schema}");
        Field::with_lease(&url, 2, STEADY)
    });
    let leaders = fields.each_mut().map(|field| field.leader());
    let [first, second] = &mut fields;
    first.say(leaders[0].candidate, "release");
    first.leader_after(leaders[0].token);
    second.pass(Duration::from_millis(500));
    assert_eq!(second.leader(), leaders[1]);
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
        let old = field.leader();
        session.run(sql);
        let done = elector_kit::clock::now();
        let ended = field.end_of(old.token);
        assert!(ended.saturating_since(done) <= LEASE, "{sql}");
        // The table is made again, and its tokens are larger still.
        let new = field.leader_after(old.token);
        println!("{sql}: leads again after {:?}", new.since.saturating_since(done));
    }
    // A holder whose row was taken away may trust it to the end of its lease: that two lead meanwhile is said
    // to be no part of the promise. With the clock's microseconds the tokens grow all the same.
    field.judge_tokens();
}
