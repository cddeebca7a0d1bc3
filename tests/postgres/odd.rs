//! Clocks that are set back, rows that were written by hand, and servers that are not quite PostgreSQL.

use std::time::Duration;

use elector::Elector;
use elector::core::sql::postgres::{IdType, Table};

use crate::handle::{Handle, name};
use crate::leading::{lead, leading};
use elector_kit::cluster::{Cluster, Release, fresh_database};
use elector_kit::field::{LEASE, STEADY};
use elector_kit::session::Session;
use elector_kit::waiting::{SOON, wait_until};

elector_kit::on_each_release! {
    a_clock_that_is_set_back_costs_no_term
    a_row_that_never_expires_holds_up_only_its_own_election
    a_server_that_does_not_name_its_wal_is_asked_for_no_timeline
    a_new_type_of_the_ids_is_noticed
}

fn elector(url: &str, election: &str) -> Elector {
    Elector::builder(election).store(url).lease(STEADY).build().unwrap()
}

/// Moves the row's times an hour ahead, as if the server's clock had been set back by an hour.
const SET_BACK: &str = "UPDATE leader_lease SET created_at = created_at + interval '1 hour', \
                        expires_at = expires_at + interval '1 hour'";
const AHEAD: &str = "SELECT count(*) FROM leader_lease \
                     WHERE expires_at > clock_timestamp() + interval '1 minute'";

fn a_clock_that_is_set_back_costs_no_term(release: Release) {
    let url = fresh_database(release);
    let session = Session::open(&url);
    let [first, second] = ["first", "second"].map(|name| leading(elector(&url, name)));
    let tokens = (first.token(), second.token());
    session.run(SET_BACK);
    let start = std::time::Instant::now();
    while start.elapsed() < STEADY + LEASE {
        assert_eq!((first.token(), second.token()), tokens, "{:?}", first.last_error());
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(session.number(AHEAD), 0, "renewed by the clock as it is");
    // What is released, or broken, before it was renewed is not left ahead either.
    session.run(SET_BACK);
    first.release_and_wait(SOON).unwrap();
    second.release_and_wait(SOON).unwrap();
    assert_eq!(session.number(AHEAD), 0);
    session.run("DELETE FROM leader_lease");
    let mut store = Handle::open(&url);
    store.acquire("third", 10_000).unwrap();
    session.run(SET_BACK);
    store.store.revoke(&name("third"), None).unwrap().unwrap();
    assert_eq!(session.number(AHEAD), 0);
}

fn a_row_that_never_expires_holds_up_only_its_own_election(release: Release) {
    let url = fresh_database(release);
    let session = Session::open(&url);
    let mut store = Handle::open(&url);
    store.acquire("frozen", 10_000).unwrap();
    session.run("UPDATE leader_lease SET expires_at = 'infinity'");
    let [frozen, other] = ["frozen", "other"].map(|election| {
        let elector = elector(&url, election);
        elector.campaign();
        elector
    });
    lead(&other);
    assert!(!frozen.am_i_leader());
    assert!(store.look("frozen").unwrap().remaining > Duration::from_secs(1_000_000_000));
    assert_eq!(store.store.rows(None).unwrap().len(), 2, "and it can be found");
    store.store.revoke(&name("frozen"), None).unwrap().unwrap();
    lead(&frozen);
}

/// Aurora refuses the functions that name the WAL, even on the primary, as every server does on a standby.
fn a_server_that_does_not_name_its_wal_is_asked_for_no_timeline(release: Release) {
    let mut primary = Cluster::start(release);
    Handle::open(&primary.url()).acquire("e", 60_000).unwrap();
    let cluster = primary.standby();
    let standby = cluster.session();
    let look = Table::new("public", IdType::Text).look().replace("$1", "ARRAY['e']");
    assert!(standby.query(&look).is_err(), "or this server would prove nothing");
    let mark = "CREATE FUNCTION pg_catalog.aurora_version() RETURNS text LANGUAGE sql AS 'SELECT ''16.1'''";
    primary.session().run(mark);
    wait_until("the standby knows the mark", || standby.query(&look).is_ok());
}

/// As who has rolled out everywhere does, to have names instead of numbers.
fn a_new_type_of_the_ids_is_noticed(release: Release) {
    let url = fresh_database(release);
    let session = Session::open(&url);
    session.run(elector_kit::peer::TABLE);
    let elector = leading(elector(&url, "7"));
    session.run("ALTER TABLE leader_lease ALTER id TYPE text");
    std::thread::sleep(STEADY);
    lead(&elector);
    let start = std::time::Instant::now();
    while start.elapsed() < STEADY {
        assert!(elector.am_i_leader(), "{:?}", elector.last_error());
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(Handle::open(&url).look("7").is_some());
}
