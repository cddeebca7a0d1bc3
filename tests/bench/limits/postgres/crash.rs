//! Fail-over after `kill -9`, of Elector and of nest-leader-election.

use std::time::Duration;

use elector_kit::candidate::{Source, Stand};
use elector_kit::clock;
use elector_kit::peer::Peer;
use elector_kit::session::Session;
use serde_json::json;

use super::server;
use crate::crowd::Crowd;
use crate::figure::{Figure, percentile_ms};

const ROUNDS: usize = 20;
const LEASE: Duration = Duration::from_secs(3);

/// Candidates with that lease.
pub fn stand(url: &str) -> Stand {
    Stand { lease: Some(LEASE), ..Stand::on(url, Source::Changes) }
}

/// Kills the leader: how long until the next one leads, and how much of that the lease explains.
pub fn kill(crowd: &mut Crowd, session: &Session) -> (Duration, Duration) {
    let killed = crowd.kill_leader();
    let left = "SELECT (extract(epoch FROM expires_at - clock_timestamp()) * 1000000)::bigint \
                FROM leader_lease";
    let remaining = Duration::from_micros(u64::try_from(session.number(left)).unwrap_or(0));
    let asked = clock::now().saturating_since(killed);
    (crowd.follow().saturating_since(killed), remaining + asked)
}

pub fn kill_minus_nine() -> Vec<Figure> {
    let cluster = server().start();
    // Beside ours, on a database of its own: it takes as long as half of our rounds.
    let session = cluster.session();
    let url = cluster.database("peer");
    let peer = std::thread::spawn(move || peer_crash(&url));
    let mut crowd = Crowd::start(stand(&cluster.url()), 3);
    crowd.follow();
    let (mut took, mut beyond) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        // At another point of its renewal interval each time.
        std::thread::sleep(Duration::from_millis(200 + (round as u64 * 370) % 1_000));
        let (time, explained) = kill(&mut crowd, &session);
        took.push(time);
        beyond.push(time.saturating_sub(explained));
        crowd.add();
    }
    let peer = peer.join().expect("the peer's bench ends");
    let what = format!(
        "kill -9, lease 3 s, {ROUNDS} times: p50 {:.0}, max {:.0} ms; beyond the lease",
        percentile_ms(&mut took, 50),
        percentile_ms(&mut took, 100)
    );
    vec![
        Figure::new(what, percentile_ms(&mut beyond, 100), 500.0, "ms"),
        Figure::new("tokens that did not grow", crowd.regressions as f64, 0.0, ""),
        Figure::new("nest-leader-election 1.1.2, leaseDuration 3000, once", peer.as_secs_f64(), 60.0, "s"),
    ]
}

/// Two replicas of it; the leader is killed.
fn peer_crash(url: &str) -> Duration {
    let mut first = Peer::start(url, "first", json!({}));
    first.elected();
    let mut second = Peer::start(url, "second", json!({}));
    std::thread::sleep(Duration::from_secs(2));
    let killed = clock::now();
    first.kill();
    second.elected().saturating_since(killed)
}
