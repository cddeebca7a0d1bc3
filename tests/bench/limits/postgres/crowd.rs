//! A hundred candidates of one election, and its leader killed.

use std::time::Duration;

use elector_kit::candidate::Stand;

use super::crash::{kill, stand};
use super::server;
use crate::crowd::Crowd;
use crate::figure::Figure;

pub fn one_of_a_hundred() -> Vec<Figure> {
    let cluster = server().start();
    let folder = tempfile::tempdir().unwrap();
    let complaints = folder.path().join("complaints");
    let stand = Stand { complaints: Some(complaints.clone()), ..stand(&cluster.url()) };
    let mut crowd = Crowd::start(stand, 100);
    crowd.follow();
    let session = cluster.session();
    // All hundred stand.
    let standing = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'elector%'";
    while session.number(standing) < 100 {
        std::thread::sleep(Duration::from_millis(50));
    }
    std::thread::sleep(Duration::from_secs(6));
    let (took, explained) = kill(&mut crowd, &session);
    let more = crowd.more_leaders(Duration::from_secs(6));
    let said = std::fs::read_to_string(&complaints).unwrap_or_default();
    let log = cluster.log();
    let errors = log.lines().filter(|line| [" ERROR: ", " FATAL: "].iter().any(|kind| line.contains(kind)));
    let errors = errors.inspect(|line| eprintln!("{line}")).count() + said.lines().count();
    if !said.is_empty() {
        eprintln!("{said}");
    }
    let what = format!("100 candidates, leader killed: next after {:.0} ms; beyond the lease", millis(took));
    vec![
        Figure::new(what, millis(took.saturating_sub(explained)), 500.0, "ms"),
        Figure::new("leaders beyond the one", more as f64, 0.0, ""),
        Figure::new("errors of candidates and server", errors as f64, 0.0, ""),
        Figure::new("tokens that did not grow", crowd.regressions as f64, 0.0, ""),
    ]
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000.0
}
