//! Servers that restart, crash, hang, become read-only, refuse connections, or are replaced by their standby.

use std::time::Duration;

use elector_kit::clock;

use crate::watch::{SLACK, watch};
use elector_kit::cluster::{Cluster, Release, Stop};
use elector_kit::field::{Field, LEASE, STEADY};
use elector_kit::session::Session;
use elector_kit::waiting::wait_until;

/// Back-off, which lasts a third of the lease at most, may let a candidate notice a server's return so much
/// later.
const RETURN: Duration = Duration::from_millis(LEASE.as_millis() as u64 / 3).saturating_add(SLACK);

elector_kit::on_each_release! {
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
        field.leader();
        field.pass(Duration::from_millis(200));
        cluster.restart(how);
        let witness = watch(&field, cluster.pid());
        let back = clock::now();
        wait_for_the_row(&cluster.session());
        let took = clock::now().saturating_since(back);
        println!("{how:?}: the row is held after {took:?}");
        witness.at_most(took, LEASE + RETURN, "the renewal or election after a restart");
    }
    field.pass(LEASE);
    field.leader();
    field.judge();
}

/// Waits until the row is renewed, or taken: a leader that does not know yet that its server has gone proves
/// nothing.
fn wait_for_the_row(session: &Session) {
    let before = session.expiry("nightly");
    wait_until("the row is renewed or taken", || session.expiry("nightly") > before);
}

fn an_outage_ends_the_term_in_time_and_the_next_begins_soon_after_it(release: Release) {
    let mut cluster = Cluster::start(release);
    let mut field = Field::start(&cluster.url(), 2);
    for how in [Stop::Fast, Stop::Kill] {
        let old = field.leader();
        cluster.stop(how);
        let stopped = clock::now();
        let ended = field.end_of(old.token);
        assert!(ended.saturating_since(stopped) <= LEASE, "trust ends by the clock alone");
        field.pass(2 * LEASE);
        cluster.start_again();
        let witness = watch(&field, cluster.pid());
        let back = clock::now();
        let new = field.leader_after(old.token);
        let took = new.since.saturating_since(back);
        println!("{how:?}: leads after {took:?}");
        witness.at_most(took, RETURN, "the election after an outage");
    }
    field.judge();
}

fn a_server_that_hangs_ends_the_term_in_time(release: Release) {
    let cluster = Cluster::start(release);
    let mut field = Field::start(&cluster.url(), 3);
    for _ in 0..2 {
        let old = field.leader();
        cluster.freeze();
        let frozen = clock::now();
        let ended = field.end_of(old.token);
        assert!(ended.saturating_since(frozen) <= LEASE);
        field.pass(LEASE);
        // Everything that was sent meanwhile is executed now, late.
        let witness = watch(&field, cluster.pid());
        cluster.thaw();
        let back = clock::now();
        let new = field.leader_after(old.token);
        let took = new.since.saturating_since(back);
        println!("leads after {took:?}");
        witness.at_most(took, LEASE + RETURN, "the election after a hang");
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
    let leader = field.leader();
    let session = cluster.session();
    // For longer than a lease, which nothing else would end.
    for _ in 0..12 {
        terminate_all(&session);
        field.pass(Duration::from_secs(1));
    }
    assert_eq!(field.leader(), leader);
    assert_eq!(field.judge(), 1);
}

fn a_read_only_server_elects_nobody_until_it_is_writable_again(release: Release) {
    let cluster = Cluster::start(release);
    let mut field = Field::start(&cluster.url(), 2);
    let old = field.leader();
    let witness = watch(&field, cluster.pid());
    cluster.alter("default_transaction_read_only", "on");
    let changed = clock::now();
    let ended = field.end_of(old.token);
    // It may still be renewed while the server's processes read their settings.
    witness.at_most(ended.saturating_since(changed), 2 * LEASE, "the end of the term");
    field.complaint("read-only");
    field.pass(LEASE);
    assert_eq!(field.newest(), Some(old.token));
    let session = cluster.session();
    for sql in
        ["SET default_transaction_read_only = off", "ALTER SYSTEM RESET ALL", "SELECT pg_reload_conf()"]
    {
        session.run(sql);
    }
    let witness = watch(&field, cluster.pid());
    let back = clock::now();
    let new = field.leader_after(old.token);
    let took = new.since.saturating_since(back);
    println!("leads after {took:?}");
    witness.at_most(took, LEASE + RETURN, "the election at a writable server");
    field.judge();
}

fn a_promoted_standby_takes_over_with_larger_tokens(release: Release) {
    let mut primary = Cluster::start(release);
    let standby = primary.standby();
    let (first, second) = (primary.port(), standby.port());
    let url = format!("postgres://postgres@127.0.0.1:{second},127.0.0.1:{first}/postgres");
    let mut field = Field::start(&url, 3);
    let old = field.leader();
    field.pass(LEASE);
    primary.stop(Stop::Kill);
    standby.promote();
    let witness = watch(&field, standby.pid());
    let promoted = clock::now();
    // The old leader may go on: it renews at the new primary what was replicated.
    wait_for_the_row(&standby.session());
    let took = clock::now().saturating_since(promoted);
    println!("the row is held after {took:?}");
    witness.at_most(took, LEASE + RETURN, "the renewal or election at the new primary");
    field.pass(2 * LEASE);
    assert!(field.leader().token >= old.token);
    field.judge();
}

fn exhausted_connections_are_waited_for(release: Release) {
    let cluster =
        Cluster::plan(release).set("max_connections", 12).set("superuser_reserved_connections", 3).start();
    cluster.session().run("CREATE ROLE app LOGIN; GRANT ALL ON SCHEMA public TO app");
    let url = cluster.url().replace("postgres@", "app@");
    let mut field = Field::start(&url, 2);
    let old = field.leader();
    let session = cluster.session();
    session.run("ALTER ROLE app CONNECTION LIMIT 0");
    terminate_all(&session);
    field.end_of(old.token);
    session.run("ALTER ROLE app CONNECTION LIMIT -1");
    let old = field.leader_after(old.token);
    // Now for real: others take every connection.
    let mut others: Vec<Session> = Vec::new();
    let ours = "FROM pg_stat_activity WHERE application_name LIKE 'elector%'";
    wait_until("others have every connection", || {
        session.run(&format!("SELECT pg_terminate_backend(pid) {ours}"));
        others.extend(std::iter::from_fn(|| Session::try_open(&url).ok()));
        session.number(&format!("SELECT count(*) {ours}")) == 0
    });
    field.end_of(old.token);
    field.pass(LEASE);
    let witness = watch(&field, cluster.pid());
    drop(others);
    let freed = clock::now();
    let new = field.leader_after(old.token);
    let took = new.since.saturating_since(freed);
    println!("leads after {took:?}");
    witness.at_most(took, LEASE + RETURN, "the election once connections are free");
    field.complaint("connection");
    field.judge();
}

fn a_locked_table_ends_the_term_in_time_and_piles_up_no_connections(release: Release) {
    let cluster = Cluster::start(release);
    let mut field = Field::start(&cluster.url(), 3);
    let old = field.leader();
    let (locker, session) = (cluster.session(), cluster.session());
    locker.run("BEGIN; LOCK TABLE leader_lease IN ACCESS EXCLUSIVE MODE");
    let locked = clock::now();
    let ended = field.end_of(old.token);
    assert!(ended.saturating_since(locked) <= LEASE);
    field.pass(3 * LEASE);
    let count = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'elector%'";
    // Those that piled up would stay until the lock is gone.
    wait_until("two connections of each candidate at most", || session.number(count) <= 6);
    let witness = watch(&field, cluster.pid());
    locker.run("ROLLBACK");
    let back = clock::now();
    let new = field.leader_after(old.token);
    let took = new.since.saturating_since(back);
    println!("leads after {took:?}");
    witness.at_most(took, LEASE + RETURN, "the election after a lock");
    wait_until("one connection of each candidate", || session.number(count) == 3);
    field.judge();
}

fn a_statement_timeout_is_survived(release: Release) {
    let cluster = Cluster::start(release);
    let session = cluster.session();
    session.run("ALTER ROLE postgres SET statement_timeout = '200ms'");
    let mut field = Field::with_lease(&cluster.url(), 2, STEADY);
    let old = field.leader();
    let locker = cluster.session();
    locker.run("SET statement_timeout = 0");
    // Each short: some renewals are cancelled, others come through in time.
    // And for longer than a lease, which nothing else would end.
    for _ in 0..8 {
        locker.run("BEGIN; LOCK TABLE leader_lease IN ACCESS EXCLUSIVE MODE");
        field.pass(Duration::from_millis(600));
        locker.run("ROLLBACK");
        field.pass(Duration::from_secs(1));
    }
    assert_eq!(field.leader(), old, "a few cancelled renewals cost no term");
    locker.run("BEGIN; LOCK TABLE leader_lease IN ACCESS EXCLUSIVE MODE");
    field.end_of(old.token);
    field.pass(LEASE);
    let witness = watch(&field, cluster.pid());
    locker.run("ROLLBACK");
    let back = clock::now();
    let new = field.leader_after(old.token);
    let took = new.since.saturating_since(back);
    println!("leads after {took:?}");
    // Back-off lasts a third of a lease at most.
    witness.at_most(took, STEADY / 3 + SLACK, "the election after a lock");
    field.judge();
}
