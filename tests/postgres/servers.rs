//! Servers that restart, crash, hang, become read-only, refuse connections, or are replaced by their standby.

use std::time::Duration;

use elector::driver::clock;
use nix::sys::signal::Signal;

use crate::cluster::{Cluster, Release, Stop};
use crate::field::{Field, LEASE, SLACK, STEADY};
use crate::session::Session;

const SOON: Duration = Duration::from_secs(20);
/// Back-off may let a candidate notice a server's return so much later.
const RETURN: Duration = Duration::from_millis(2_500);

crate::on_each_release! {
    every_restart_of_the_server_is_survived
    an_outage_ends_the_term_in_time_and_the_next_begins_soon_after_it
    a_server_that_hangs_ends_the_term_in_time
    terminated_backends_cost_no_term
    a_read_only_server_elects_nobody_until_it_is_writable_again
    a_promoted_standby_takes_over_with_larger_tokens
    exhausted_connections_are_waited_for
    a_locked_table_ends_the_term_in_time_and_piles_up_no_connections
    a_statement_timeout_is_survived
}

fn every_restart_of_the_server_is_survived(release: Release) {
    let mut cluster = Cluster::start(release);
    let mut field = Field::start(&cluster.url(), 3);
    for how in [Stop::Fast, Stop::Immediate, Stop::Kill, Stop::Kill] {
        field.leader(SOON);
        field.pass(Duration::from_millis(200));
        cluster.restart(how);
        let back = clock::now();
        field.pass(Duration::from_millis(50));
        let leader = field.leader(LEASE + RETURN);
        // Still the same, if the restart was quick enough.
        let took = leader.since.saturating_since(back);
        assert!(took <= LEASE + RETURN, "{how:?}: {took:?}");
    }
    field.pass(LEASE);
    field.leader(Duration::from_secs(1));
    field.judge();
}

fn an_outage_ends_the_term_in_time_and_the_next_begins_soon_after_it(release: Release) {
    let mut cluster = Cluster::start(release);
    let mut field = Field::start(&cluster.url(), 2);
    for how in [Stop::Fast, Stop::Kill] {
        let old = field.leader(SOON);
        let stopped = clock::now();
        cluster.stop(how);
        let ended = field.end_of(old.token, SOON);
        assert!(ended.saturating_since(stopped) <= LEASE, "trust ends by the clock alone");
        field.pass(2 * LEASE);
        cluster.start_again();
        let back = clock::now();
        let new = field.leader_after(Some(old.token), SOON);
        let took = new.since.saturating_since(back);
        assert!(took <= RETURN, "{how:?}: {took:?}");
    }
    field.judge();
}

fn a_server_that_hangs_ends_the_term_in_time(release: Release) {
    let cluster = Cluster::start(release);
    let mut field = Field::start(&cluster.url(), 3);
    for _ in 0..2 {
        let old = field.leader(SOON);
        let frozen = clock::now();
        cluster.signal_all(Signal::SIGSTOP);
        let ended = field.end_of(old.token, SOON);
        assert!(ended.saturating_since(frozen) <= LEASE);
        field.pass(LEASE);
        // Everything that was sent meanwhile is executed now, late.
        cluster.signal_all(Signal::SIGCONT);
        let back = clock::now();
        let new = field.leader_after(Some(old.token), SOON);
        let took = new.since.saturating_since(back);
        assert!(took <= LEASE + RETURN, "{took:?}");
        field.pass(LEASE);
    }
    field.judge();
}

fn terminate_all(session: &Session) {
    session.run(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
         WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'",
    );
}

fn terminated_backends_cost_no_term(release: Release) {
    let cluster = Cluster::start(release);
    let mut field = Field::with_lease(&cluster.url(), 3, STEADY);
    let leader = field.leader(SOON);
    let session = cluster.session();
    for _ in 0..6 {
        terminate_all(&session);
        field.pass(Duration::from_secs(1));
    }
    assert_eq!(field.leader(SOON), leader);
    assert_eq!(field.judge(), 1);
}

fn a_read_only_server_elects_nobody_until_it_is_writable_again(release: Release) {
    let cluster = Cluster::start(release);
    let mut field = Field::start(&cluster.url(), 2);
    let old = field.leader(SOON);
    let changed = clock::now();
    cluster.alter("default_transaction_read_only", "on");
    let ended = field.end_of(old.token, SOON);
    // It may still be renewed while the servers' processes read their settings.
    assert!(ended.saturating_since(changed) <= 2 * LEASE);
    field.pass(LEASE);
    assert_eq!(field.terms(), 1);
    assert!(field.errors.iter().any(|error| error.contains("read-only")), "{:?}", field.errors);
    let session = cluster.session();
    for sql in
        ["SET default_transaction_read_only = off", "ALTER SYSTEM RESET ALL", "SELECT pg_reload_conf()"]
    {
        session.run(sql);
    }
    let back = clock::now();
    let new = field.leader_after(Some(old.token), SOON);
    let took = new.since.saturating_since(back);
    assert!(took <= LEASE + RETURN, "{took:?}");
    field.judge();
}

fn a_promoted_standby_takes_over_with_larger_tokens(release: Release) {
    let mut primary = Cluster::start(release);
    let standby = primary.standby();
    let (first, second) = (primary.port(), standby.port());
    let url = format!("postgres://postgres@127.0.0.1:{second},127.0.0.1:{first}/postgres");
    let mut field = Field::start(&url, 3);
    let old = field.leader(SOON);
    field.pass(LEASE);
    assert_eq!(field.leader(SOON), old);
    let stopped = clock::now();
    primary.stop(Stop::Kill);
    standby.promote();
    let promoted = clock::now();
    field.pass(Duration::from_millis(50));
    // The old leader may go on: it renews at the new primary what was replicated.
    let new = field.leader(SOON);
    let took = new.since.saturating_since(promoted);
    assert!(
        took <= 2 * LEASE + RETURN,
        "{took:?}, {:?} after the crash",
        new.since.saturating_since(stopped)
    );
    field.pass(2 * LEASE);
    field.leader(SOON);
    let leads = standby.session().number("SELECT count(*) FROM leader_lease WHERE expires_at > now()");
    assert_eq!(leads, 1);
    field.judge();
}

fn exhausted_connections_are_waited_for(release: Release) {
    let cluster =
        Cluster::plan(release).set("max_connections", 12).set("superuser_reserved_connections", 3).start();
    cluster.session().run("CREATE ROLE app LOGIN; GRANT ALL ON SCHEMA public TO app");
    let url = cluster.url().replace("postgres@", "app@");
    let mut field = Field::start(&url, 2);
    let old = field.leader(SOON);
    let session = cluster.session();
    session.run("ALTER ROLE app CONNECTION LIMIT 0");
    terminate_all(&session);
    field.end_of(old.token, SOON);
    session.run("ALTER ROLE app CONNECTION LIMIT -1");
    let old = field.leader_after(Some(old.token), SOON);
    // Now for real: others take every connection that is left, again and again.
    let others = std::iter::from_fn(|| Session::try_open(&url).ok());
    let mut others: Vec<Session> = others.collect();
    session
        .run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'elector%'");
    others.extend(std::iter::from_fn(|| Session::try_open(&url).ok()).take(12));
    field.pass(2 * LEASE);
    drop(others);
    let freed = clock::now();
    let new = field.leader(SOON);
    let took = new.since.saturating_since(freed);
    assert!(new.token >= old.token && took <= LEASE + RETURN, "{took:?}");
    assert!(field.errors.iter().any(|error| error.contains("connection")), "{:?}", field.errors);
    field.judge();
}

fn a_locked_table_ends_the_term_in_time_and_piles_up_no_connections(release: Release) {
    let cluster = Cluster::start(release);
    let mut field = Field::start(&cluster.url(), 3);
    let old = field.leader(SOON);
    let (locker, session) = (cluster.session(), cluster.session());
    let locked = clock::now();
    locker.run("BEGIN; LOCK TABLE leader_lease IN ACCESS EXCLUSIVE MODE");
    let ended = field.end_of(old.token, SOON);
    assert!(ended.saturating_since(locked) <= LEASE);
    field.pass(3 * LEASE);
    let count = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'elector%'";
    let connections = session.number(count);
    assert!(connections <= 6, "3 candidates hold {connections} connections");
    locker.run("ROLLBACK");
    let back = clock::now();
    let new = field.leader_after(Some(old.token), SOON);
    let took = new.since.saturating_since(back);
    assert!(took <= LEASE + RETURN, "{took:?}");
    field.pass(LEASE);
    assert_eq!(session.number(count), 3, "one connection each");
    field.judge();
}

fn a_statement_timeout_is_survived(release: Release) {
    let cluster = Cluster::start(release);
    let session = cluster.session();
    session.run("ALTER ROLE postgres SET statement_timeout = '50ms'");
    let mut field = Field::with_lease(&cluster.url(), 2, STEADY);
    let old = field.leader(SOON);
    let locker = cluster.session();
    locker.run("SET statement_timeout = 0");
    // Each short: some renewals are cancelled, others come through in time.
    for _ in 0..8 {
        locker.run("BEGIN; LOCK TABLE leader_lease IN ACCESS EXCLUSIVE MODE");
        field.pass(Duration::from_millis(300));
        locker.run("ROLLBACK");
        field.pass(Duration::from_millis(500));
    }
    assert_eq!(field.leader(SOON), old, "a few cancelled renewals cost no term");
    locker.run("BEGIN; LOCK TABLE leader_lease IN ACCESS EXCLUSIVE MODE");
    field.end_of(old.token, SOON);
    field.pass(LEASE);
    locker.run("ROLLBACK");
    let back = clock::now();
    let new = field.leader_after(Some(old.token), SOON);
    let took = new.since.saturating_since(back);
    assert!(took <= SLACK + RETURN, "{took:?}");
    field.judge();
}
