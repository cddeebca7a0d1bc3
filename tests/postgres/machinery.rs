//! That the machinery of these tests does what it says. A fault that does not happen proves nothing.

use std::time::{Duration, Instant};

use serde_json::json;

use elector_kit::cluster::{Cluster, Release, Stop, fresh_database};
use elector_kit::peer::Peer;
use elector_kit::pgbouncer::PgBouncer;
use elector_kit::proxy::{Proxy, Way};
use elector_kit::session::Session;
use elector_kit::waiting::wait_until;

elector_kit::on_each_release! {
    a_server_keeps_its_rows_through_every_way_to_stop_it
    a_standby_follows_and_can_be_promoted
    a_frozen_server_answers_nothing_until_it_goes_on
    pgbouncer_shares_its_servers_and_what_was_set_in_them
    every_database_is_fresh
    the_real_peer_leads_and_releases
}

fn a_server_keeps_its_rows_through_every_way_to_stop_it(release: Release) {
    let mut cluster = Cluster::start(release);
    cluster.session().run("CREATE TABLE t (n int)");
    for (n, how) in [Stop::Fast, Stop::Immediate, Stop::Kill].into_iter().enumerate() {
        let session = cluster.session();
        session.run(&format!("INSERT INTO t VALUES ({n})"));
        cluster.restart(how);
        assert!(session.query("SELECT 1").is_err(), "{how:?} ends connections");
        assert_eq!(cluster.session().number("SELECT count(*) FROM t"), n as i64 + 1);
    }
    let directory = cluster.session().one("SHOW data_directory");
    assert!(std::path::Path::new(&directory).exists());
    drop(cluster);
    assert!(!std::path::Path::new(&directory).exists(), "a cluster leaves nothing behind");
}

fn a_standby_follows_and_can_be_promoted(release: Release) {
    let mut primary = Cluster::start(release);
    let standby = primary.standby();
    primary.session().run("CREATE TABLE t (n int)");
    let reader = standby.session();
    wait_until("the standby follows", || reader.query("TABLE t").is_ok());
    assert!(reader.query("INSERT INTO t VALUES (1)").unwrap_err().starts_with("25006"));
    primary.stop(Stop::Kill);
    standby.promote();
    standby.session().run("INSERT INTO t VALUES (1)");
}

fn a_frozen_server_answers_nothing_until_it_goes_on(release: Release) {
    let cluster = Cluster::start(release);
    let session = cluster.session();
    cluster.freeze();
    std::thread::scope(|scope| {
        let answered = scope.spawn(|| {
            session.run("SELECT 1");
            Instant::now()
        });
        std::thread::sleep(Duration::from_millis(200));
        let thawed = Instant::now();
        cluster.thaw();
        assert!(answered.join().unwrap() >= thawed);
    });
}

#[test]
fn a_proxy_passes_delays_holds_loses_and_cuts() {
    let cluster = Cluster::start(Release::System);
    let proxy = Proxy::to(cluster.port());
    let url = cluster.url_at(proxy.port());
    let session = Session::open(&url);
    proxy.set(Way::Delay(Duration::from_millis(50)));
    let start = Instant::now();
    session.run("SELECT 1");
    assert!(start.elapsed() >= Duration::from_millis(100), "both ways are slow");
    for (to_server, to_client) in [(Way::Hold, Way::Pass), (Way::Pass, Way::Hold)] {
        proxy.set_ways(to_server, to_client);
        std::thread::scope(|scope| {
            let answered = scope.spawn(|| {
                session.run("SELECT 1");
                Instant::now()
            });
            std::thread::sleep(Duration::from_millis(200));
            let opened = Instant::now();
            proxy.set(Way::Pass);
            assert!(answered.join().unwrap() >= opened, "what was held arrives late");
        });
    }
    proxy.cut();
    assert!(session.query("SELECT 1").is_err());
    proxy.refuse(true);
    assert!(Session::try_open(&url).is_err());
    proxy.refuse(false);
    let lost = Session::open(&url);
    let marker = "SELECT 'lost on the way'";
    cluster.alter("log_statement", "all");
    wait_until("the server logs what arrives", || {
        lost.run("SELECT 'arrived'");
        cluster.log().contains("SELECT 'arrived'")
    });
    proxy.set_ways(Way::Swallow, Way::Pass);
    std::thread::scope(|scope| {
        let asked = scope.spawn(|| lost.query(marker));
        std::thread::sleep(Duration::from_millis(200));
        proxy.set(Way::Pass);
        std::thread::sleep(Duration::from_millis(100));
        assert!(!asked.is_finished(), "the client does not notice");
        proxy.cut();
        assert!(asked.join().unwrap().is_err());
    });
    assert!(!cluster.log().contains(marker));
}

/// Two servers for three clients: while two transactions are open the third client waits, and what one client
/// sets, or listens to, is then set for another.
fn pgbouncer_shares_its_servers_and_what_was_set_in_them(release: Release) {
    let cluster = Cluster::start(release);
    let pool = PgBouncer::before(cluster.port());
    let [first, second, third] = [(); 3].map(|()| Session::open(&cluster.url_at(pool.port())));
    let backends = [&first, &second].map(|session| {
        session.run("BEGIN");
        session.one("SELECT pg_backend_pid()")
    });
    assert_ne!(backends[0], backends[1]);
    std::thread::scope(|scope| {
        let answered = scope.spawn(|| (third.one("SELECT pg_backend_pid()"), Instant::now()));
        std::thread::sleep(Duration::from_millis(200));
        let over = Instant::now();
        first.run("SET work_mem = '12345kB'; LISTEN something; COMMIT");
        let (backend, at) = answered.join().unwrap();
        assert!(backend == backends[0] && at >= over, "{backend} of {backends:?}");
    });
    assert_eq!(third.one("SHOW work_mem"), "12345kB");
    assert_eq!(third.one("SELECT pg_listening_channels()"), "something");
    second.run("COMMIT");
}

fn every_database_is_fresh(release: Release) {
    let urls = [fresh_database(release), fresh_database(release)];
    assert_ne!(urls[0], urls[1]);
    for url in &urls {
        Session::open(url).run("CREATE TABLE t (n int)");
    }
}

fn the_real_peer_leads_and_releases(release: Release) {
    let url = fresh_database(release);
    let mut first = Peer::start(&url, "first", json!({}));
    first.elected();
    let mut second = Peer::start(&url, "second", json!({ "leaseDuration": 600, "jitterRange": 100 }));
    assert!(!second.leads());
    first.say("release");
    let released = first.deposed();
    let elected = second.elected();
    assert!(elected >= released);
    // It polls: nobody tells it.
    println!("hand-over took {:?}", elected.saturating_since(released));
}
