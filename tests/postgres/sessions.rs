//! The session that the store keeps: what is set in it, that its end is noticed, and what it leaves behind.

use elector::core::lease::{Failure, Outcome};
use elector_kit::cluster::{Cluster, Plan, Release};
use elector_kit::pgbouncer::PgBouncer;
use elector_kit::pooler;
use elector_kit::session::Session;
use elector_kit::waiting::wait_until;

use crate::handle::Handle;

elector_kit::on_each_release! {
    a_session_is_set_up
    a_session_that_is_ended_is_noticed_and_followed_by_another
    a_session_that_is_ended_in_a_statement_does_not_know_what_became_of_it
    a_statement_that_fails_says_what_that_means_and_what_to_do
    behind_a_pooler_nothing_is_set_that_others_would_inherit
    behind_a_pooler_statements_are_prepared_only_where_the_url_says_so
    a_closed_store_leaves_no_session_behind
}

/// A role, and a trigger that notes what is set in the session of each statement that writes a lease.
const NOTES: &str = "\
    CREATE TABLE noted (setting text PRIMARY KEY, value text); GRANT ALL ON noted TO PUBLIC; \
    CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
        INSERT INTO noted SELECT name, current_setting(name) FROM unnest(ARRAY['synchronous_commit', \
            'transaction_isolation', 'statement_timeout', 'idle_in_transaction_session_timeout', \
            'lock_timeout', 'application_name']) AS name \
        ON CONFLICT (setting) DO UPDATE SET value = excluded.value; \
        RETURN new; END $$; \
    CREATE TRIGGER note BEFORE INSERT OR UPDATE ON leader_lease FOR EACH ROW EXECUTE FUNCTION note()";

fn server(plan: Plan) -> Cluster {
    let cluster = plan.start();
    let session = cluster.session();
    session.run("CREATE ROLE me LOGIN; GRANT CREATE ON SCHEMA public TO me");
    drop(Handle::open(&cluster.url_for("me", "")));
    session.run(NOTES);
    cluster
}

fn noted(session: &Session, setting: &str) -> String {
    session.one(&format!("SELECT value FROM noted WHERE setting = '{setting}'"))
}

fn a_session_is_set_up(release: Release) {
    let plan = Cluster::plan(release).set("synchronous_commit", "off");
    let cluster = server(plan.set("default_transaction_isolation", "serializable"));
    let session = cluster.session();
    session.run("ALTER ROLE me SET lock_timeout = '100ms'");
    Handle::open(&cluster.url_for("me", "")).acquire("nightly", 60_000).expect("it is free");
    assert_eq!(noted(&session, "synchronous_commit"), "on");
    assert_eq!(noted(&session, "transaction_isolation"), "read committed");
    assert_eq!(noted(&session, "statement_timeout"), "10s");
    assert_eq!(noted(&session, "idle_in_transaction_session_timeout"), "10s");
    assert_eq!(noted(&session, "lock_timeout"), "100ms", "an administrator's stricter limit stays");
    assert_eq!(noted(&session, "application_name"), "elector");
}

/// The sessions of that role.
const THEIRS: &str = "FROM pg_stat_activity WHERE usename = 'me'";

fn a_session_that_is_ended_is_noticed_and_followed_by_another(release: Release) {
    let cluster = server(Cluster::plan(release));
    let session = cluster.session();
    let mut store = Handle::open(&cluster.url_for("me", ""));
    let token = store.acquire("nightly", 60_000).expect("it is free");
    let count = || session.number(&format!("SELECT count(*) {THEIRS}"));
    session.run(&format!("SELECT pg_terminate_backend(pid) {THEIRS}"));
    wait_until("the backend has ended", || count() == 0);
    wait_until("another session serves", || {
        let answer = store.execute(&[store.renewal("nightly", token)]).remove(0);
        let said = answer.error.map_or(String::new(), |error| error.to_string());
        assert!(answer.reply.outcome == Outcome::Renewed || said.contains("57P01"), "{said}");
        answer.reply.outcome == Outcome::Renewed
    });
    assert!(count() >= 1);
}

fn a_session_that_is_ended_in_a_statement_does_not_know_what_became_of_it(release: Release) {
    let cluster = server(Cluster::plan(release));
    let mut store = Handle::open(&cluster.url_for("me", ""));
    let token = store.acquire("nightly", 60_000).expect("it is free");
    let (locker, session) = (cluster.session(), cluster.session());
    locker.run("BEGIN; LOCK TABLE leader_lease");
    let renewal = store.renewal("nightly", token);
    let answer = std::thread::scope(|scope| {
        let answers = scope.spawn(|| store.execute(&[renewal]));
        let waits = format!("SELECT count(*) {THEIRS} AND wait_event_type = 'Lock'");
        wait_until("the statement waits", || session.number(&waits) == 1);
        session.run(&format!("SELECT pg_terminate_backend(pid) {THEIRS}"));
        answers.join().unwrap().remove(0)
    });
    assert_eq!(answer.reply.outcome, Outcome::Failed(Failure::Unknown));
    let said = answer.error.expect("why").to_string();
    assert!(said.contains("terminating connection") && said.contains("57P01"), "{said}");
}

/// Each renewal runs the statement of the table `failing` as well.
const FAILING: &str = "\
    CREATE TABLE kept (id int); CREATE TABLE failing AS SELECT 'SELECT 1'::text AS statement; \
    GRANT SELECT ON failing TO PUBLIC; \
    CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
        EXECUTE (SELECT statement FROM failing); RETURN new; END $$; \
    CREATE TRIGGER fail BEFORE UPDATE ON leader_lease FOR EACH ROW EXECUTE FUNCTION fail()";

fn a_statement_that_fails_says_what_that_means_and_what_to_do(release: Release) {
    let cluster = server(Cluster::plan(release));
    let session = cluster.session();
    let mut store = Handle::open(&cluster.url_for("me", ""));
    let token = store.acquire("nightly", 600_000).expect("it is free");
    session.run(FAILING);
    let cases = [
        ("SELECT * FROM absent", Failure::Refused, "42P01", "elector migrate"),
        ("SELECT * FROM kept", Failure::Refused, "42501", "grant the role"),
        ("CREATE TABLE nowhere.t (id int)", Failure::Refused, "3F000", "create the schema"),
        ("SELECT ''x''::int", Failure::Refused, "22P02", "other columns"),
        (
            "SELECT pg_cancel_backend(pg_backend_pid()), pg_sleep(60)",
            Failure::Unsent,
            "57014",
            "statement_timeout",
        ),
        ("SELEKT", Failure::Refused, "42601", "elector schema"),
        ("SET TRANSACTION READ ONLY; CREATE TABLE t ()", Failure::Unsent, "25006", "the primary"),
    ];
    for (statement, failure, code, advice) in cases {
        session.run(&format!("UPDATE failing SET statement = '{statement}'"));
        let mut said = String::new();
        // An error before it may have cost the session, so that the first answer is about the next one.
        wait_until("the statement fails", || {
            let answer = store.execute(&[store.renewal("nightly", token)]).remove(0);
            said = answer.error.map_or(String::new(), |error| error.to_string());
            said.contains(code) && answer.reply.outcome == Outcome::Failed(failure)
        });
        assert!(said.contains(advice) && said.contains("cannot renew leases"), "{said}");
        assert!(!said.contains('\n'), "{said}");
    }
    session.run("UPDATE failing SET statement = 'SELECT 1'");
    wait_until("renewals succeed again", || store.renew("nightly", token) == Outcome::Renewed);
}

fn behind_a_pooler_nothing_is_set_that_others_would_inherit(release: Release) {
    let cluster = server(Cluster::plan(release).set("synchronous_commit", "off"));
    let pool = PgBouncer::before(cluster.port());
    let url = cluster.url_at(pool.port());
    Handle::open(&url).acquire("nightly", 60_000).expect("it is free");
    assert_eq!(noted(&cluster.session(), "synchronous_commit"), "on", "its own statements are durable");
    // The pool has two sessions with the server, and each of these clients occupies one of them.
    let clients = [Session::open(&url), Session::open(&url)];
    for client in &clients {
        client.run("BEGIN");
        for (setting, default) in
            [("synchronous_commit", "off"), ("statement_timeout", "0"), ("lock_timeout", "0")]
        {
            assert_eq!(client.one(&format!("SHOW {setting}")), default, "{setting}");
        }
    }
}

fn behind_a_pooler_statements_are_prepared_only_where_the_url_says_so(release: Release) {
    let cluster = server(Cluster::plan(release).set("log_statement", "all"));
    let url = cluster.url_at(pooler::start(cluster.port()));
    let named = || cluster.log().lines().filter(|line| line.contains("LOG:  execute s")).count();
    let before = named();
    Handle::open(&url).acquire("unnamed", 60_000).expect("it is free");
    assert_eq!(named(), before);
    Handle::open(&format!("{url}?prepare=true")).acquire("named", 60_000).expect("it is free");
    assert!(named() > before);
}

fn a_closed_store_leaves_no_session_behind(release: Release) {
    let cluster = server(Cluster::plan(release));
    let session = cluster.session();
    let count = || session.number(&format!("SELECT count(*) {THEIRS}"));
    wait_until("the first one's session has ended", || count() == 0);
    let store = Handle::open(&cluster.url_for("me", ""));
    assert!(count() >= 1);
    drop(store);
    wait_until("its sessions have ended", || count() == 0);
}
