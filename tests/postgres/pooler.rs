//! Behind the real PgBouncer, which pools transactions: no session state, no notifications, no statement that
//! was prepared on another connection.

use std::time::Duration;

use crate::watch::{SLACK, watch};
use elector_kit::cluster::{Cluster, Release};
use elector_kit::field::{Field, LEASE, STEADY};
use elector_kit::pgbouncer::PgBouncer;

elector_kit::on_each_release! {
    a_transaction_pool_is_recognised_and_serves
    a_candidate_in_the_pool_and_one_beside_it_share_an_election
}

fn a_transaction_pool_is_recognised_and_serves(release: Release) {
    let cluster = Cluster::start(release);
    let pool = PgBouncer::before(cluster.port());
    let mut field = Field::with_lease(&cluster.url_at(pool.port()), 4, STEADY);
    let first = field.leader();
    field.pass(STEADY + LEASE);
    assert_eq!(field.leader(), first);
    for round in 0..3 {
        let old = field.leader();
        let witness = watch(&field, cluster.pid());
        witness.watch(pool.pid());
        if round == 1 {
            field.say(old.candidate, "release");
            let ended = field.end_of(old.token);
            let new = field.leader_after(old.token);
            let took = new.since.saturating_since(ended);
            println!("a release was found after {took:?}");
            witness.at_most(took, STEADY / 3 + SLACK, "looking for a release");
            field.say(old.candidate, "campaign");
        } else {
            let killed = field.kill(old.candidate);
            let new = field.leader_after(old.token);
            let took = new.since.saturating_since(killed);
            println!("followed after {took:?}");
            witness.at_most(took, STEADY + SLACK, "the fail-over");
        }
    }
    field.assert_no_complaint();
    field.judge();
}

fn a_candidate_in_the_pool_and_one_beside_it_share_an_election(release: Release) {
    let cluster = Cluster::start(release);
    let pool = PgBouncer::before(cluster.port());
    let mut field = Field::with_lease(&cluster.url(), 1, STEADY);
    field.leader();
    let pooled = elector_kit::candidate::Stand { store: cluster.url_at(pool.port()), ..field.stand() };
    field.add_at(&pooled);
    for _ in 0..4 {
        let old = field.leader();
        field.pass(Duration::from_millis(300));
        field.say(old.candidate, "release");
        let new = field.leader_after(old.token);
        assert_ne!(new.candidate, old.candidate);
        field.say(old.candidate, "campaign");
    }
    field.assert_no_complaint();
    field.judge();
}
