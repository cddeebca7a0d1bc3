//! What a candidate costs while another holds the lease.

use std::time::Duration;

use elector_kit::candidate::{Source, Stand};

use super::server;
use crate::crowd::Crowd;
use crate::figure::Figure;
use elector_kit::session::Session;

const WATCHED: Duration = Duration::from_secs(30);

pub fn cost() -> Vec<Figure> {
    // What the server writes of itself would be counted too.
    let cluster = server()
        .set("autovacuum", "off")
        .set("wal_level", "minimal")
        .set("max_wal_senders", 0)
        .set("log_statement", "all")
        .set("log_line_prefix", "%a|")
        .start();
    let session = cluster.session();
    let mut standby = Crowd::start(Stand::on(&cluster.url(), Source::Changes), 1);
    // It makes the table and leads; then the row becomes that of a holder who never needs to renew it.
    standby.follow();
    session.run(
        "UPDATE leader_lease SET leader_id = 'another#0123456789abcdef', token = token + 1, \
         lease_ms = 3600000, expires_at = clock_timestamp() + interval '1 hour'",
    );
    std::thread::sleep(Duration::from_secs(12));
    session.run("VACUUM leader_lease");
    session.run("CHECKPOINT");
    std::thread::sleep(Duration::from_secs(1));
    let before = (position(&session), statements(&cluster.log()));
    std::thread::sleep(WATCHED);
    let after = (position(&session), statements(&cluster.log()));
    drop(standby);
    let rate = (after.1 - before.1) as f64 / WATCHED.as_secs_f64();
    let [wal, transactions] = [after.0[0] - before.0[0], after.0[1] - before.0[1]];
    vec![
        Figure::new("standby: WAL in 30 s", wal as f64, 0.0, "B"),
        Figure::new("standby: transaction ids in 30 s", transactions as f64, 0.0, ""),
        Figure::new("standby: statements per second, default timing", rate, 0.5, "/s"),
    ]
}

/// Bytes of WAL, and the next transaction id.
fn position(session: &Session) -> [i64; 2] {
    [
        session.number("SELECT (pg_current_wal_insert_lsn() - '0/0'::pg_lsn)::bigint"),
        session.number("SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint"),
    ]
}

/// How many statements of ours the server has logged.
pub fn statements(log: &str) -> usize {
    let executed = |line: &&str| line.contains("LOG:  execute ") || line.contains("LOG:  statement: ");
    log.lines().filter(|line| line.starts_with("elector")).filter(executed).count()
}
