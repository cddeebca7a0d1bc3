//! What operators see and do: states, who holds a row up, and a term that is broken.

use std::process::{Command, Output};
use std::time::Duration;

use elector::core::lease::Outcome;

use crate::handle::{Handle, name};
use elector_kit::cluster::{Cluster, Release, fresh_database};
use elector_kit::session::Session;

elector_kit::on_each_release! {
    a_break_does_not_shorten_a_live_lease_of_the_peer
    a_broken_poisoned_row_is_told_with_what_is_left_of_it
    an_open_guard_holds_up_no_break_and_no_release_by_operators
    status_tells_the_states_apart
    status_names_who_holds_a_row_up_and_only_for_that_row
    status_shows_rows_also_to_a_role_that_may_not_see_who_holds_them
    a_strict_candidate_logs_whose_guard_it_waits_for
}

fn elector(words: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_elector"));
    command.args(words).env_remove("ELECTOR_STORE").output().expect("the program starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn remaining_ms(session: &Session, election: &str) -> i64 {
    session.number(&format!(
        "SELECT (extract(epoch FROM expires_at - clock_timestamp()) * 1000)::bigint FROM leader_lease \
         WHERE id = '{election}'"
    ))
}

/// Its rows say nothing of their lease, which is always 15 s.
fn a_break_does_not_shorten_a_live_lease_of_the_peer(release: Release) {
    let url = fresh_database(release);
    let mut store = Handle::open(&url);
    let session = Session::open(&url);
    session.run(
        "INSERT INTO leader_lease (id, leader_id, expires_at) \
         VALUES ('e', 'theirs', clock_timestamp() + interval '15 seconds')",
    );
    let before = store.look("e").unwrap();
    let told = store.store.revoke(&name("e"), None).unwrap().unwrap();
    let after = store.look("e").unwrap();
    assert_eq!((after.holder.as_ref(), after.expires_at), (None, before.expires_at));
    assert_eq!((told.holder, told.token, told.expires_at), (before.holder, before.token, after.expires_at));
}

fn a_broken_poisoned_row_is_told_with_what_is_left_of_it(release: Release) {
    let url = fresh_database(release);
    let mut store = Handle::open(&url);
    let session = Session::open(&url);
    for (lease_ms, left_ms) in [("10000", 10_000), ("NULL", 15_000)] {
        let token = store.acquire("e", 10_000).unwrap();
        session.run(&format!(
            "UPDATE leader_lease SET lease_ms = {lease_ms}, expires_at = expires_at + interval '10 hours'"
        ));
        let broken = elector(&["break", "--yes", "--election", "e", "--store", &url]);
        let line = text(&broken.stderr);
        assert!(broken.status.success(), "{line}");
        let said = line.split_once("elected in ").and_then(|(_, rest)| rest.split_once(" ms")).unwrap().0;
        let said: i64 = said.parse().unwrap();
        let left = remaining_ms(&session, "e");
        // Of the ten hours nothing; the rest is for a slow statement.
        assert!(left <= said && (left_ms..left_ms + 4_000).contains(&said), "{left} ms are left: {line}");
        assert_eq!(store.renew("e", token), Outcome::Lost);
        session.run("UPDATE leader_lease SET created_at = to_timestamp(0), expires_at = to_timestamp(1)");
    }
}

fn an_open_guard_holds_up_no_break_and_no_release_by_operators(release: Release) {
    let url = fresh_database(release);
    let mut store = Handle::open(&url);
    let guard = Session::open(&url);
    for by_token in [true, false] {
        let election = if by_token { "released" } else { "broken" };
        let token = store.acquire(election, 60_000).unwrap();
        guard.run(&format!("BEGIN; SELECT FROM leader_lease WHERE id = '{election}' FOR KEY SHARE"));
        let revoked = store.store.revoke(&name(election), by_token.then_some(token));
        assert!(revoked.unwrap_or_else(|error| panic!("{error}")).is_some());
        assert_eq!(store.renew(election, token), Outcome::Lost);
        guard.run("COMMIT");
    }
}

/// The lines of `elector status --json`, by election; what has none under "".
fn status(url: &str) -> Vec<(String, serde_json::Value)> {
    let output = elector(&["status", "--json", "--store", url]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let out = text(&output.stdout);
    let line = |line: &str| {
        let line: serde_json::Value = serde_json::from_str(line).expect("a line of JSON");
        (line["election"].as_str().unwrap_or_default().to_owned(), line)
    };
    out.lines().map(line).collect()
}

fn status_tells_the_states_apart(release: Release) {
    let url = fresh_database(release);
    let mut store = Handle::open(&url);
    store.acquire("held", 60_000).unwrap();
    store.acquire("expired", 1).unwrap();
    store.acquire("revoked", 60_000).unwrap();
    store.store.revoke(&name("revoked"), None).unwrap().unwrap();
    let token = store.acquire("vacant", 60_000).unwrap();
    store.release("vacant", token);
    std::thread::sleep(Duration::from_millis(5));
    let table = text(&elector(&["status", "--store", &url]).stdout);
    let lines = status(&url);
    assert_eq!(lines.len(), 4, "{lines:?}");
    for (election, line) in &lines {
        assert_eq!(line["state"].as_str(), Some(&**election));
        let row = table.lines().find(|row| row.starts_with(election)).expect("a row");
        assert!(row.split_whitespace().filter(|word| word == election).count() == 2, "{table}");
    }
}

/// `stale` was locked by a transaction that is over; `alone` by one guard, `shared` by two. Renewals go on
/// meanwhile, so that their rows are marked with more than one transaction.
fn status_names_who_holds_a_row_up_and_only_for_that_row(release: Release) {
    let cluster = Cluster::start(release);
    let mut store = Handle::open(&cluster.url());
    let guards = [cluster.session(), cluster.session()];
    let pids = guards.each_ref().map(|guard| guard.one("SELECT pg_backend_pid()"));
    let tokens = ["alone", "shared", "stale"].map(|election| (election, store.acquire(election, 60_000)));
    let lock = |election: &str| format!("SELECT FROM leader_lease WHERE id = '{election}' FOR KEY SHARE");
    guards[0].run(&lock("stale"));
    // A savepoint has a transaction id of its own.
    guards[0].run(&format!("BEGIN; SAVEPOINT one; {}; {}", lock("alone"), lock("shared")));
    guards[1].run(&format!("BEGIN; {}", lock("shared")));
    let expected = [("alone", vec![&pids[0]]), ("shared", vec![&pids[0], &pids[1]])];
    std::thread::sleep(Duration::from_millis(1_100));
    for round in 0..2 {
        let lines = status(&cluster.url());
        let mut remarks: Vec<&str> = lines.iter().filter_map(|(_, line)| line["remark"].as_str()).collect();
        for (election, pids) in &expected {
            for pid in pids {
                let (row, backend) = (format!("election {election:?}"), format!("backend {pid} "));
                let named = |remark: &&str| remark.contains(&row) && remark.contains(&backend);
                let at = remarks.iter().position(named);
                remarks.remove(at.unwrap_or_else(|| panic!("{round}: no {row} by {backend}: {lines:?}")));
            }
        }
        assert_eq!(remarks, [""; 0], "{round}: no other backend holds a row");
        for (election, token) in &tokens {
            assert_eq!(store.renew(election, token.unwrap()), Outcome::Renewed);
        }
    }
    let plain = elector(&["status", "--store", &cluster.url()]);
    assert!(text(&plain.stderr).contains(&pids[1]), "{}", text(&plain.stderr));
}

fn status_shows_rows_also_to_a_role_that_may_not_see_who_holds_them(release: Release) {
    let cluster = Cluster::start(release);
    Handle::open(&cluster.url()).acquire("e", 60_000).unwrap();
    cluster.session().run(
        "CREATE ROLE app LOGIN; GRANT SELECT ON leader_lease TO app;
         REVOKE SELECT ON pg_stat_activity FROM PUBLIC",
    );
    let url = cluster.url().replace("postgres@", "app@");
    let output = elector(&["status", "--json", "--store", &url]);
    let error = text(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{error}");
    assert!(text(&output.stdout).contains("\"e\"") && error.contains("pg_stat_activity"), "{error}");
}

/// A log that is kept.
#[derive(Clone, Default)]
struct Log(std::sync::Arc<std::sync::Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// It asks only for the row that it has seen unchanged for a lease; any other candidate asks for any.
fn a_strict_candidate_logs_whose_guard_it_waits_for(release: Release) {
    let cluster = Cluster::start(release);
    let mut store = Handle::open(&cluster.url());
    store.acquire("e", 1).unwrap();
    let guard = cluster.session();
    guard.run("BEGIN; SELECT FROM leader_lease FOR KEY SHARE");
    let pid = guard.one("SELECT pg_backend_pid()");
    let seen = store.look("e").unwrap().version();
    for unchanged in [None, Some(seen)] {
        let log = Log::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone());
        tracing::subscriber::with_default(subscriber.finish(), || {
            assert_eq!(store.acquire_if("e", 60_000, unchanged), None, "the guard holds it");
        });
        let log = text(&log.0.lock().unwrap());
        assert!(log.contains("WARN") && log.contains(&format!("backend {pid} ")), "{unchanged:?}: {log}");
    }
    guard.run("COMMIT");
    assert!(store.acquire_if("e", 60_000, Some(seen)).is_some());
}
