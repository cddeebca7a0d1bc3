//! Connections that are cut, slow, half open, or go silent in one direction or both. The leader's way to the
//! server leads through a proxy; the others' does not.

use std::time::Duration;

use elector::Elector;
use elector_kit::clock;

use crate::leading::leading;
use crate::watch::{SLACK, watch};
use elector_kit::candidate::Stand;
use elector_kit::cluster::{Cluster, Release};
use elector_kit::field::{Field, LEASE, Leader, STEADY};
use elector_kit::proxy::{Proxy, Way};
use elector_kit::waiting::wait_until;

elector_kit::on_each_release! {
    a_role_whose_idle_sessions_are_ended_keeps_ours
    cut_connections_cost_no_term
    a_slow_network_costs_no_term
    a_cut_off_leader_is_followed_and_its_late_requests_change_nothing
    a_leader_whose_requests_are_lost_is_followed
    a_leader_that_hears_no_answers_is_followed
    a_half_open_connection_is_left_for_a_new_one
    candidates_far_from_the_server_connect_and_lead
}

struct Scene {
    cluster: Cluster,
    proxy: Proxy,
    field: Field,
    leader: Leader,
}

/// One leader behind a proxy, then others that reach the server directly.
fn scene(release: Release, others: usize, lease: Duration) -> Scene {
    let cluster = Cluster::start(release);
    let proxy = Proxy::to(cluster.port());
    let mut field = Field::with_lease(&cluster.url_at(proxy.port()), 1, lease);
    let leader = field.leader();
    let direct = Stand { store: cluster.url(), ..field.stand() };
    for _ in 0..others {
        field.add_at(&direct);
    }
    field.pass(Duration::from_millis(400));
    Scene { cluster, proxy, field, leader }
}

fn cut_connections_cost_no_term(release: Release) {
    let Scene { cluster: _cluster, proxy, mut field, leader } = scene(release, 1, STEADY);
    // For longer than a lease, which nothing else would end.
    for _ in 0..16 {
        proxy.cut();
        field.pass(Duration::from_millis(700));
    }
    assert_eq!(field.leader(), leader);
    assert_eq!(field.judge(), 1);
}

fn a_slow_network_costs_no_term(release: Release) {
    let Scene { cluster: _cluster, proxy, mut field, leader } = scene(release, 1, STEADY);
    // A round trip of 160 ms, for longer than a lease.
    proxy.set(Way::Delay(Duration::from_millis(80)));
    field.pass(STEADY + LEASE);
    assert_eq!(field.leader(), leader);
    proxy.set(Way::Pass);
    assert_eq!(field.judge(), 1);
}

/// The leader's proxy does this for some leases. Another leads in time, and goes on once it is healed.
fn followed(release: Release, to_server: Way, to_client: Way) {
    let lease = STEADY;
    let Scene { cluster, proxy, mut field, leader: old } = scene(release, 2, lease);
    let witness = watch(&field, cluster.pid());
    proxy.set_ways(to_server, to_client);
    let lost = clock::now();
    let ended = field.end_of(old.token);
    assert!(ended.saturating_since(lost) <= lease, "trust ends by the clock alone");
    let new = field.leader_after(old.token);
    let took = new.since.saturating_since(lost);
    println!("followed after {took:?}");
    // Where only answers are lost, renewals still reach the row: each unanswered attempt may be one more.
    let unheard = if to_server == Way::Pass { lease } else { Duration::ZERO };
    witness.at_most(took, lease + unheard + SLACK, "the fail-over");
    field.pass(LEASE);
    proxy.set(Way::Pass);
    field.pass(lease / 2);
    assert_eq!(field.leader(), new, "what arrives late changes nothing");
    // And the old one is a candidate again: it leads when no other candidate is left.
    let witness = watch(&field, cluster.pid());
    let killed = clock::now();
    for other in 1..3 {
        field.kill(other);
    }
    let last = field.leader_after(new.token);
    assert_eq!(last.candidate, old.candidate);
    let took = last.since.saturating_since(killed);
    println!("back after {took:?}");
    witness.at_most(took, lease + SLACK, "the return of the old leader");
    field.judge();
}

fn a_cut_off_leader_is_followed_and_its_late_requests_change_nothing(release: Release) {
    followed(release, Way::Hold, Way::Hold);
}

fn a_leader_whose_requests_are_lost_is_followed(release: Release) {
    followed(release, Way::Swallow, Way::Pass);
}

fn a_leader_that_hears_no_answers_is_followed(release: Release) {
    followed(release, Way::Pass, Way::Hold);
}

/// A firewall that forgot the connection: what was open stays silent for ever, what is new works.
fn a_half_open_connection_is_left_for_a_new_one(release: Release) {
    let Scene { cluster, proxy, mut field, leader } = scene(release, 0, LEASE);
    let before = proxy.accepted();
    proxy.set(Way::Swallow);
    field.end_of(leader.token);
    let witness = watch(&field, cluster.pid());
    proxy.set(Way::Pass);
    let healed = clock::now();
    let new = field.leader_after(leader.token);
    let took = new.since.saturating_since(healed);
    println!("leads again after {took:?}");
    witness.at_most(took, LEASE + SLACK, "the election by a new connection");
    assert!(proxy.accepted() > before);
    field.judge();
}

/// To connect takes some round trips, each 200 ms here; all of them must fit into what the candidate allows.
fn candidates_far_from_the_server_connect_and_lead(release: Release) {
    let cluster = Cluster::start(release);
    let proxy = Proxy::to(cluster.port());
    proxy.set(Way::Delay(Duration::from_millis(100)));
    let mut field = Field::with_lease(&cluster.url_at(proxy.port()), 2, STEADY);
    let leader = field.leader();
    field.pass(STEADY + LEASE);
    assert_eq!(field.leader(), leader);
    field.judge();
}

/// Ours rests for long: the leader renews rarely, and a standby looks rarely.
fn a_role_whose_idle_sessions_are_ended_keeps_ours(release: Release) {
    let cluster = Cluster::start(release);
    let admin = cluster.session();
    for (limit, least) in [
        ("idle_session_timeout = '500ms'", 14),
        ("idle_in_transaction_session_timeout = '500ms'", 13),
        ("transaction_timeout = '5s'", 17),
    ] {
        if admin.number("SELECT current_setting('server_version_num')::int / 10000") >= least {
            admin.run(&format!("ALTER ROLE postgres SET {limit}"));
        }
    }
    let url = format!("{}?application_name=resting", cluster.url());
    let elector =
        || Elector::builder("nightly").store(&*url).lease(Duration::from_secs(300)).build().unwrap();
    let leader = leading(elector());
    let rests = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'resting' AND state = 'idle' \
                 AND clock_timestamp() > backend_start + interval '3 s'";
    wait_until("a session that has rested for long", || admin.number(rests) == 1);
    assert_eq!(leader.last_error(), None);
}
