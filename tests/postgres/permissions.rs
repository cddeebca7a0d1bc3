//! Roles, schemas and tables that do not fit: each gives an error of one clear line. Also what a role with
//! the fewest privileges can do.

use std::process::Command;
use std::sync::Arc;

use elector::Elector;
use elector::driver::stores::StoreError;
use elector::driver::stores::url::StoreUrl;

use crate::leading::leading;
use elector_kit::cluster::{Cluster, Release, fresh_database};
use elector_kit::field::{Field, LEASE, STEADY};
use elector_kit::session::Session;

elector_kit::on_each_release! {
    a_role_with_rights_on_one_table_is_enough
    work_may_guard_under_a_role_that_can_change_no_lease
    without_the_right_to_create_the_error_says_what_to_run
    a_missing_table_that_must_not_be_made_is_an_error_that_says_what_to_run
    a_missing_schema_is_named
    a_schema_of_any_name_works
    a_table_of_another_shape_is_refused_and_left_alone
    a_table_without_a_key_on_its_id_is_refused
    a_table_that_would_fail_us_later_is_refused_at_once
    a_table_of_whole_milliseconds_is_taken
    a_command_is_not_kept_waiting_for_a_right_that_is_missing
    a_migration_that_a_lock_holds_up_says_so
    migrate_completes_a_table_and_can_be_repeated
    wrong_hosts_databases_roles_and_passwords_end_in_one_line_without_the_password
}

/// What opening the store says.
fn refusal(url: &str) -> StoreError {
    match StoreUrl::parse(url).unwrap().open(Arc::new(|_| {})) {
        Ok(_) => panic!("{url} opened"),
        Err(error) => error,
    }
}

fn with_user(url: &str, user: &str) -> String {
    url.replacen("postgres@", &format!("{user}@"), 1)
}

fn with_option(url: &str, option: &str) -> String {
    format!("{url}{}{option}", if url.contains('?') { '&' } else { '?' })
}

struct Outcome {
    code: Option<i32>,
    out: String,
    err: String,
}

/// The command line, as an operator runs it.
fn elector(arguments: &[&str]) -> Outcome {
    let output = Command::new(env!("CARGO_BIN_EXE_elector"))
        .args(arguments)
        .env_remove("ELECTOR_STORE")
        .output()
        .expect("the program starts");
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Outcome { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

/// What an administrator runs to make the table for others.
fn ddl(schema: &str) -> String {
    let printed = elector(&["schema", "--dialect", "postgres", "--schema", schema]);
    assert_eq!((printed.code, &*printed.err), (Some(0), ""));
    printed.out
}

fn a_role_with_rights_on_one_table_is_enough(release: Release) {
    let cluster = Cluster::start(release);
    let admin = cluster.session();
    admin.run("CREATE SCHEMA leases; CREATE ROLE app LOGIN; REVOKE ALL ON SCHEMA public FROM PUBLIC");
    admin.run(&ddl("leases"));
    // As src/docs/stores.md says.
    admin.run("GRANT USAGE ON SCHEMA leases TO app");
    admin.run("GRANT SELECT, INSERT, UPDATE, DELETE ON leases.leader_lease TO app");
    let url = with_option(&with_user(&cluster.url(), "app"), "schema=leases&create_table=false");
    let mut field = Field::with_lease(&url, 2, STEADY);
    let old = field.leader();
    field.say(old.candidate, "release");
    field.leader_after(old.token);
    field.assert_no_complaint();
    field.judge();
    let store = StoreUrl::parse(&url).unwrap();
    let mut store = store.open(Arc::new(|_| {})).unwrap();
    assert_eq!(store.rows(None).unwrap().len(), 1);
    store.clean_up().unwrap();
    // With `create_table`, which is the default, a complete table needs no more rights either.
    StoreUrl::parse(&with_option(&with_user(&cluster.url(), "app"), "schema=leases"))
        .unwrap()
        .open(Arc::new(|_| {}))
        .unwrap();
}

fn work_may_guard_under_a_role_that_can_change_no_lease(release: Release) {
    let cluster = Cluster::start(release);
    let admin = cluster.session();
    admin.run("CREATE SCHEMA jobs; CREATE ROLE work LOGIN");
    let url = with_option(&cluster.url(), "schema=jobs");
    let elector = leading(Elector::builder("nightly").store(url).build().unwrap());
    let guard = elector.guard_sql().unwrap();
    let work = Session::open(&with_user(&cluster.url(), "work"));
    // As src/docs/stores.md says.
    admin.run("GRANT USAGE ON SCHEMA jobs TO work");
    admin.run("GRANT SELECT (id, leader_id, token, expires_at) ON jobs.leader_lease TO work");
    assert!(work.query(&guard).unwrap_err().starts_with("42501"), "a row is not locked with SELECT alone");
    admin.run("GRANT UPDATE (meta) ON jobs.leader_lease TO work");
    work.query(&guard).unwrap();
    let stolen = work.query("UPDATE jobs.leader_lease SET token = token + 1").unwrap_err();
    assert!(stolen.starts_with("42501"), "{stolen}");
}

fn without_the_right_to_create_the_error_says_what_to_run(release: Release) {
    let cluster = Cluster::start(release);
    cluster.session().run("CREATE ROLE app LOGIN; REVOKE ALL ON SCHEMA public FROM PUBLIC");
    cluster.session().run("GRANT USAGE ON SCHEMA public TO app");
    let error = refusal(&with_user(&cluster.url(), "app"));
    let line = error.to_string();
    assert!(error.is_permanent() && !line.contains('\n'), "{line}");
    assert!(line.contains("permission denied for schema public"), "{line}");
    assert!(line.contains("elector schema") || line.contains("elector migrate"), "{line}");
    // A table that it may not even read.
    cluster.session().run(&ddl("public"));
    let url = with_option(&with_user(&cluster.url(), "app"), "create_table=false");
    let mut field = Field::start(&url, 1);
    field.complaint("permission denied for table leader_lease");
    field.pass(LEASE);
    assert_eq!(field.terms(), 0);
    // Granted while it waits: it leads without a restart.
    cluster.session().run("GRANT SELECT, INSERT, UPDATE, DELETE ON leader_lease TO app");
    field.leader();
}

fn a_missing_table_that_must_not_be_made_is_an_error_that_says_what_to_run(release: Release) {
    let url = fresh_database(release);
    let error = refusal(&with_option(&url, "create_table=false"));
    let line = error.to_string();
    assert!(error.is_permanent() && !line.contains('\n'), "{line}");
    assert!(line.contains("leader_lease") && line.contains("elector migrate"), "{line}");
    assert!(line.contains("elector schema --dialect postgres"), "{line}");
    Session::open(&url).run(&ddl("public"));
    StoreUrl::parse(&with_option(&url, "create_table=false")).unwrap().open(Arc::new(|_| {})).unwrap();
}

fn a_missing_schema_is_named(release: Release) {
    let cluster = Cluster::start(release);
    cluster.session().run("CREATE ROLE app LOGIN");
    let line = refusal(&with_option(&with_user(&cluster.url(), "app"), "schema=nowhere")).to_string();
    assert!(line.contains("nowhere") && !line.contains('\n'), "{line}");
    let line = refusal(&with_option(&cluster.url(), "schema=nowhere&create_table=false")).to_string();
    assert!(line.contains("nowhere") && line.contains("elector migrate"), "{line}");
}

fn a_schema_of_any_name_works(release: Release) {
    let url = fresh_database(release);
    let session = Session::open(&url);
    let names = ["My-Schema", "a\"b", "o'clock; DROP TABLE x", "$elector$", "ünïcödé"];
    for name in names {
        session.run(&format!("CREATE SCHEMA \"{}\"", name.replace('"', "\"\"")));
        let encoded: String = name.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let mut field = Field::with_lease(&with_option(&url, &format!("schema={encoded}")), 1, STEADY);
        field.leader();
        field.assert_no_complaint();
        field.judge();
    }
    let tables = session.number("SELECT count(*) FROM pg_tables WHERE tablename = 'leader_lease'");
    assert_eq!(tables, names.len() as i64);
}

fn a_table_of_another_shape_is_refused_and_left_alone(release: Release) {
    let shapes = [
        ("CREATE TABLE leader_lease (id uuid PRIMARY KEY, leader_id text, expires_at timestamptz)", "id"),
        ("CREATE TABLE leader_lease (name text)", "id"),
        (
            "CREATE TABLE leader_lease (id text PRIMARY KEY, leader_id text, expires_at timestamp, \
             created_at timestamp)",
            "expires_at",
        ),
        ("CREATE VIEW leader_lease AS SELECT 1 AS id", ""),
    ];
    for (shape, column) in shapes {
        let url = fresh_database(release);
        let session = Session::open(&url);
        session.run(shape);
        let before = session.columns();
        let error = refusal(&url);
        let line = error.to_string();
        assert!(error.is_permanent() && !line.contains('\n') && line.contains("leader_lease"), "{line}");
        assert!(line.contains(column), "{line}");
        assert_eq!(session.columns(), before);
    }
}

/// Nothing would keep two rows of one election apart.
fn a_table_without_a_key_on_its_id_is_refused(release: Release) {
    let url = fresh_database(release);
    Session::open(&url).run(
        "CREATE TABLE leader_lease (id text, leader_id text NOT NULL, expires_at timestamptz NOT NULL, \
         created_at timestamptz NOT NULL)",
    );
    let line = refusal(&url).to_string();
    assert!(line.contains("leader_lease") && !line.contains('\n'), "{line}");
}

/// A row would be refused, cut, or lost in a crash of the server.
fn a_table_that_would_fail_us_later_is_refused_at_once(release: Release) {
    let changes = [
        ("SET UNLOGGED", "UNLOGGED"),
        ("ADD COLUMN team text NOT NULL", "team"),
        ("ALTER COLUMN leader_id TYPE varchar(10)", "leader_id takes 10 characters"),
        ("ALTER COLUMN id TYPE varchar(254)", "id takes 254 characters"),
        ("ALTER COLUMN meta TYPE varchar(10)", "meta takes 10 characters"),
        ("ALTER COLUMN expires_at TYPE timestamptz(0)", "expires_at keeps 0 digits"),
    ];
    for (change, expected) in changes {
        let url = fresh_database(release);
        let session = Session::open(&url);
        session.run(&ddl("public"));
        session.run(&format!("ALTER TABLE leader_lease {change}"));
        let error = refusal(&url);
        let line = error.to_string();
        assert!(error.is_permanent() && !line.contains('\n') && line.contains(expected), "{change}: {line}");
        let run = elector(&["run", "--election", "e", "--store", &url, "--", "true"]);
        assert_eq!(run.code, Some(69), "{change}: {}", run.err);
    }
}

/// And a column of others, if it needs no value of ours. Grant and release fall into one millisecond here, or
/// the release comes before the start, since that was rounded up or the clock set back.
fn a_table_of_whole_milliseconds_is_taken(release: Release) {
    for columns in [&["expires_at", "created_at"][..], &["expires_at"], &["created_at"]] {
        let url = fresh_database(release);
        let session = Session::open(&url);
        session.run(&ddl("public"));
        for column in columns {
            session.run(&format!("ALTER TABLE leader_lease ALTER COLUMN {column} TYPE timestamptz(3)"));
        }
        session.run("ALTER TABLE leader_lease ADD COLUMN team text NOT NULL DEFAULT 'ours'");
        session.run("ALTER TABLE leader_lease ALTER COLUMN id TYPE varchar(255)");
        let mut store = crate::handle::Handle::open(&url);
        for round in 0..50 {
            let election = format!("e{round}");
            let token = store.acquire(&election, 60_000).expect("it is free");
            if round % 2 == 1 {
                let later =
                    "created_at = created_at + interval '1 min', expires_at = expires_at + interval '1 min'";
                session.run(&format!("UPDATE leader_lease SET {later} WHERE id = '{election}'"));
            }
            let released = store.release(&election, token);
            assert_eq!(released, elector::core::lease::Outcome::Released, "{columns:?}, {round}");
        }
    }
}

fn a_command_is_not_kept_waiting_for_a_right_that_is_missing(release: Release) {
    let cluster = Cluster::start(release);
    let admin = cluster.session();
    admin.run(&ddl("public"));
    admin.run("CREATE ROLE app LOGIN");
    let url = with_user(&cluster.url(), "app");
    let run = |url: &str| elector(&["run", "--election", "e", "--store", url, "--", "true"]);
    for (grant, lacking) in
        [("SELECT", "INSERT, UPDATE"), ("SELECT, INSERT", "UPDATE"), ("INSERT, UPDATE", "SELECT")]
    {
        admin.run("REVOKE ALL ON leader_lease FROM app");
        admin.run(&format!("GRANT {grant} ON leader_lease TO app"));
        let outcome = run(&url);
        assert_eq!(outcome.code, Some(69), "{grant}: {}", outcome.err);
        let line = outcome.err.trim_end();
        assert!(!line.contains('\n') && line.contains(&format!("lacks {lacking};")), "{grant}: {line}");
    }
    // What is needed, column by column, is enough.
    admin.run("GRANT SELECT, INSERT ON leader_lease TO app");
    admin.run(
        "GRANT UPDATE (leader_id, expires_at, created_at, token, lease_ms, meta) ON leader_lease TO app",
    );
    let outcome = run(&url);
    assert_eq!(outcome.code, Some(0), "{}", outcome.err);
}

fn a_migration_that_a_lock_holds_up_says_so(release: Release) {
    let cluster = Cluster::start(release);
    let session = cluster.session();
    session.run(&ddl("public"));
    session.run("ALTER TABLE leader_lease DROP COLUMN meta");
    let locker = cluster.session();
    locker.run("BEGIN; LOCK TABLE leader_lease IN ACCESS SHARE MODE");
    let outcome = elector(&["migrate", "--store", &cluster.url()]);
    assert_eq!(outcome.code, Some(69), "{}", outcome.err);
    assert!(outcome.err.contains("55P03") && outcome.err.contains("another transaction"), "{}", outcome.err);
}

fn migrate_completes_a_table_and_can_be_repeated(release: Release) {
    let url = fresh_database(release);
    for _ in 0..2 {
        let migrated = elector(&["migrate", "--store", &url]);
        assert_eq!(migrated.code, Some(0), "{}", migrated.err);
    }
    let session = Session::open(&url);
    let migrated = session.columns();
    // The printed script does the same.
    let other = fresh_database(release);
    Session::open(&other).run(&ddl("public"));
    assert_eq!(Session::open(&other).columns(), migrated);
    session.run("ALTER TABLE leader_lease DROP COLUMN meta");
    assert_eq!(elector(&["migrate", "--store", &url]).code, Some(0));
    assert_eq!(session.columns(), migrated);
}

fn wrong_hosts_databases_roles_and_passwords_end_in_one_line_without_the_password(release: Release) {
    let cluster = Cluster::plan(release)
        .hba("local all all trust\nhost all postgres 127.0.0.1/32 trust\nhost all all all scram-sha-256\n")
        .start();
    cluster.session().run("CREATE ROLE app LOGIN PASSWORD 'correct'");
    let port = cluster.port();
    let nobody = elector_kit::ports::free_port();
    let cases = [
        (format!("postgres://app:hunter2@127.0.0.1:{port}/postgres"), "password authentication failed"),
        (format!("postgres://app@127.0.0.1:{port}/postgres?passfile=%2Fnowhere"), "password"),
        (format!("postgres://postgres:hunter2@127.0.0.1:{port}/nowhere"), "nowhere"),
        (format!("postgres://nobody:hunter2@127.0.0.1:{port}/postgres"), "nobody"),
        (format!("postgres://app:hunter2@127.0.0.1:{nobody}/postgres"), "refused"),
        (format!("postgres://app:hunter2@elector.invalid:{port}/postgres"), "elector.invalid"),
        (format!("postgres://postgres:hunter2@127.0.0.1:{port}/postgres?sslmode=require"), "TLS"),
    ];
    for (url, expected) in cases {
        let outcome = elector(&["status", "--store", &url]);
        assert_eq!(outcome.code, Some(69), "{url}: {}", outcome.err);
        let line = outcome.err.trim_end();
        assert!(!line.contains('\n') && line.contains(expected), "{url}: {line}");
        assert!(!line.contains("hunter2") && outcome.out.is_empty(), "{url}: {line} {}", outcome.out);
    }
    let right = format!("postgres://app:correct@127.0.0.1:{port}/postgres?create_table=false");
    let outcome = elector(&["status", "--store", &right]);
    assert!(!outcome.err.contains("correct") && outcome.err.contains("elector migrate"), "{}", outcome.err);
}
