//! Promise G at every isolation level, beside programs that rewrite the table, and in savepoints.

use std::time::Duration;

use elector::Elector;

use crate::leading::leading;
use elector_kit::cluster::{Release, fresh_database};
use elector_kit::session::Session;
use elector_kit::waiting;

elector_kit::on_each_release! {
    a_guard_with_an_old_snapshot_fails_once_another_was_elected
    a_guard_that_was_prepared_before_fails_as_well
    a_guard_with_an_old_snapshot_fails_once_the_table_was_rewritten
    a_guard_with_an_old_snapshot_passes_over_renewals_and_earlier_rewrites
    a_guard_holds_off_whatever_would_rewrite_its_table
    a_guard_of_a_partitioned_table_passes_only_where_each_statement_has_its_own_snapshot
    a_guard_that_was_rolled_back_holds_nothing_and_its_work_is_undone
}

/// What leaves one snapshot to a whole transaction.
const LEVELS: [&str; 2] = ["REPEATABLE READ", "SERIALIZABLE"];
/// Statements that an operator may run. Each copies the rows into a new file.
const REWRITES: [&str; 4] = [
    "VACUUM FULL leader_lease",
    "CLUSTER leader_lease USING leader_lease_pkey",
    "ALTER TABLE leader_lease ALTER meta TYPE text USING meta || ''",
    "BEGIN; CREATE TEMP TABLE kept AS TABLE leader_lease; TRUNCATE leader_lease; \
     INSERT INTO leader_lease SELECT * FROM kept; COMMIT; DROP TABLE kept",
];

fn candidate(url: &str) -> Elector {
    Elector::builder("nightly").store(url).lease(Duration::from_secs(300)).build().unwrap()
}

/// A database with the table of leases, and a transaction in it whose snapshot is old by the time of its
/// guard.
fn old_snapshot(url: &str, level: &str) -> Session {
    let session = Session::open(url);
    session.run(&format!("BEGIN ISOLATION LEVEL {level}; SELECT count(*) FROM work"));
    session
}

/// The guard of a term that lasts, run in this transaction: whether it passed. An error is what the server
/// says to a transaction that must be tried again.
fn passes(session: &Session, guard: &str) -> bool {
    match session.query(guard) {
        Ok(rows) => !rows.is_empty(),
        Err(said) => {
            assert!(said.starts_with("40001 "), "{said}");
            false
        }
    }
}

/// The old leader's transaction sees the row as it was, and a rewrite leaves no other trace of the change.
fn a_guard_with_an_old_snapshot_fails_once_another_was_elected(release: Release) {
    for level in LEVELS {
        for rewrite in
            ["SELECT 1", "VACUUM leader_lease", "VACUUM (FREEZE) leader_lease"].iter().chain(&REWRITES)
        {
            let url = fresh_database(release);
            let operator = Session::open(&url);
            operator.run("CREATE TABLE work (token bigint)");
            let old = leading(candidate(&url));
            let guard = old.guard_sql().unwrap();
            let session = old_snapshot(&url, level);
            old.release_and_wait(waiting::SOON).unwrap();
            let new = leading(candidate(&url));
            operator.run(rewrite);
            assert!(!passes(&session, &guard), "{level}, {rewrite}");
            session.run("ROLLBACK");
            assert!(new.am_i_leader());
            assert!(passes(&old_snapshot(&url, level), &new.guard_sql().unwrap()), "{level}, {rewrite}");
        }
    }
}

/// The server keeps its plan, and sees that the table was rewritten.
fn a_guard_that_was_prepared_before_fails_as_well(release: Release) {
    for level in LEVELS {
        let url = fresh_database(release);
        let operator = Session::open(&url);
        operator.run("CREATE TABLE work (token bigint)");
        let old = leading(candidate(&url));
        let session = Session::open(&url);
        session.run("SET plan_cache_mode TO force_generic_plan");
        session.run(&format!("PREPARE guard AS {}", old.guard_sql().unwrap()));
        for _ in 0..7 {
            session.run(&format!("BEGIN ISOLATION LEVEL {level}"));
            assert!(passes(&session, "EXECUTE guard"));
            session.run("COMMIT");
        }
        session.run(&format!("BEGIN ISOLATION LEVEL {level}; SELECT count(*) FROM work"));
        old.release_and_wait(waiting::SOON).unwrap();
        let _new = leading(candidate(&url));
        operator.run("VACUUM FULL leader_lease");
        assert!(!passes(&session, "EXECUTE guard"), "{level}");
    }
}

/// Then the transaction cannot determine whether another candidate was elected meanwhile. A new one can.
fn a_guard_with_an_old_snapshot_fails_once_the_table_was_rewritten(release: Release) {
    let url = fresh_database(release);
    let operator = Session::open(&url);
    operator.run("CREATE TABLE work (token bigint)");
    let elector = leading(candidate(&url));
    let guard = elector.guard_sql().unwrap();
    for level in LEVELS {
        for rewrite in REWRITES {
            let session = old_snapshot(&url, level);
            operator.run(rewrite);
            assert!(!passes(&session, &guard), "{level}, {rewrite}");
            session.run("ROLLBACK; BEGIN; SELECT count(*) FROM work");
            assert!(passes(&session, &guard), "a new snapshot after {rewrite}");
            session.run("COMMIT");
        }
    }
    // In READ COMMITTED each statement has its own snapshot.
    let session = Session::open(&url);
    for rewrite in REWRITES {
        session.run("BEGIN; SELECT count(*) FROM work");
        operator.run(rewrite);
        assert!(passes(&session, &guard), "{rewrite}");
        session.run("COMMIT");
    }
}

fn a_guard_with_an_old_snapshot_passes_over_renewals_and_earlier_rewrites(release: Release) {
    let url = fresh_database(release);
    let operator = Session::open(&url);
    operator.run("CREATE TABLE work (token bigint)");
    let lease = Duration::from_secs(300);
    let elector = Elector::builder("nightly").store(&url).lease(lease).renew(Duration::from_millis(50));
    let elector = leading(elector.retry(Duration::from_millis(50)).build().unwrap());
    for level in LEVELS {
        for rewrite in REWRITES {
            operator.run(rewrite);
            let session = old_snapshot(&url, level);
            waiting::renewed(&operator, "nightly");
            assert!(passes(&session, &elector.guard_sql().unwrap()), "{level}, {rewrite}");
            session.run("INSERT INTO work VALUES (1); COMMIT");
        }
    }
}

fn a_guard_holds_off_whatever_would_rewrite_its_table(release: Release) {
    let url = fresh_database(release);
    let (operator, session) = (Session::open(&url), Session::open(&url));
    let elector = leading(candidate(&url));
    session.run("BEGIN");
    assert!(passes(&session, &elector.guard_sql().unwrap()));
    operator.run("SET lock_timeout = '100ms'");
    for rewrite in REWRITES {
        let said = operator.query(rewrite).unwrap_err();
        assert!(said.starts_with("55P03 "), "{rewrite}: {said}");
        let _ = operator.query("ROLLBACK");
    }
    session.run("COMMIT");
    operator.run(REWRITES[0]);
}

/// An administrator may have partitioned the table, and then its parts are rewritten.
fn a_guard_of_a_partitioned_table_passes_only_where_each_statement_has_its_own_snapshot(release: Release) {
    let url = fresh_database(release);
    let operator = Session::open(&url);
    operator.run(
        "CREATE TABLE work (token bigint);
         CREATE TABLE leader_lease (id text PRIMARY KEY, leader_id text NOT NULL,
             expires_at timestamptz NOT NULL, created_at timestamptz NOT NULL, token bigint NOT NULL,
             lease_ms bigint, meta text) PARTITION BY HASH (id);
         CREATE TABLE part PARTITION OF leader_lease FOR VALUES WITH (MODULUS 1, REMAINDER 0)",
    );
    let elector = leading(candidate(&url));
    let guard = elector.guard_sql().unwrap();
    for (level, expected) in
        [("READ COMMITTED", true), ("READ UNCOMMITTED", true), ("REPEATABLE READ", false)]
    {
        let session = old_snapshot(&url, level);
        operator.run("VACUUM FULL part");
        assert_eq!(passes(&session, &guard), expected, "{level}");
    }
}

/// What a savepoint's end takes away: the lock, and all that was done under it. What is done afterwards
/// needs a guard of its own.
fn a_guard_that_was_rolled_back_holds_nothing_and_its_work_is_undone(release: Release) {
    let url = fresh_database(release);
    let (operator, session) = (Session::open(&url), Session::open(&url));
    operator.run("CREATE TABLE work (token bigint)");
    let row_is_free = || {
        let free = "SELECT count(*) FROM (SELECT FROM leader_lease FOR UPDATE SKIP LOCKED) AS free";
        operator.number(free) == 1
    };
    let old = leading(candidate(&url));
    let guard = old.guard_sql().unwrap();
    let block = guard.replace("SELECT 1", "PERFORM 1");
    let undone = [
        format!("SAVEPOINT work; {guard}; INSERT INTO work VALUES (1); ROLLBACK TO work"),
        format!(
            "DO $$ BEGIN {block}; INSERT INTO work VALUES (1); PERFORM 1/0; \
             EXCEPTION WHEN division_by_zero THEN NULL; END $$"
        ),
    ];
    for undone in &undone {
        session.run(&format!("BEGIN; {undone}"));
        assert!(row_is_free(), "{undone}");
        session.run("COMMIT");
        assert_eq!(operator.number("SELECT count(*) FROM work"), 0, "{undone}");
    }
    // A savepoint that is kept keeps its lock, and so does a guard before it.
    let kept = [
        format!("SAVEPOINT work; {guard}; RELEASE work"),
        format!("SAVEPOINT work; {guard}; RELEASE work; SAVEPOINT more; ROLLBACK TO more"),
        format!("{guard}; SAVEPOINT work; {guard}; ROLLBACK TO work"),
    ];
    for kept in &kept {
        session.run(&format!("BEGIN; {kept}"));
        assert!(!row_is_free(), "{kept}");
        session.run("COMMIT");
    }
    // Taken again after it was rolled back, it knows that the term is over.
    session.run(&format!("BEGIN; {}", undone[0]));
    old.release_and_wait(waiting::SOON).unwrap();
    let _new = leading(candidate(&url));
    assert!(!passes(&session, &guard));
}
