//! Behind the real PgBouncer, which pools transactions: no session state, no notifications, no statement that
//! was prepared on another connection.

use std::time::Duration;

use crate::cluster::{Cluster, Release};
use crate::field::{Field, LEASE, SLACK};
use crate::pgbouncer::PgBouncer;

const SOON: Duration = Duration::from_secs(20);

crate::on_each_release! {
    a_transaction_pool_is_recognised_and_serves
    a_candidate_in_the_pool_and_one_beside_it_share_an_election
}

fn a_transaction_pool_is_recognised_and_serves(release: Release) {
    let cluster = Cluster::start(release);
    let pool = PgBouncer::before(cluster.port());
    let mut field = Field::start(&cluster.url_at(pool.port()), 4);
    for round in 0..3 {
        let old = field.leader(SOON);
        field.pass(LEASE);
        assert_eq!(field.leader(SOON), old);
        if round == 1 {
            field.say(old.candidate, "release");
            let ended = field.end_of(old.token, SOON);
            let new = field.leader_after(Some(old.token), SOON);
            let took = new.since.saturating_since(ended);
            assert!(took <= LEASE / 2 + SLACK, "looking finds it: {took:?}");
            field.say(old.candidate, "campaign");
        } else {
            let killed = field.kill(old.candidate);
            let new = field.leader_after(Some(old.token), SOON);
            let took = new.since.saturating_since(killed);
            assert!(took <= LEASE + SLACK, "{took:?}");
        }
    }
    assert_eq!(field.errors, [""; 0]);
    field.judge();
}

fn a_candidate_in_the_pool_and_one_beside_it_share_an_election(release: Release) {
    let cluster = Cluster::start(release);
    let pool = PgBouncer::before(cluster.port());
    let mut field = Field::start(&cluster.url(), 1);
    field.leader(SOON);
    let pooled = crate::candidate::Stand { store: cluster.url_at(pool.port()), ..field.stand() };
    field.add_at(&pooled);
    for _ in 0..4 {
        let old = field.leader(SOON);
        field.pass(Duration::from_millis(300));
        field.say(old.candidate, "release");
        let new = field.leader_after(Some(old.token), SOON);
        assert_ne!(new.candidate, old.candidate);
        field.say(old.candidate, "campaign");
    }
    assert_eq!(field.errors, [""; 0]);
    field.judge();
}
