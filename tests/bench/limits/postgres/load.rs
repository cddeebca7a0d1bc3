//! Ten thousand elections led by one process for two minutes.

use std::time::{Duration, Instant};

use super::server;
use super::standby::statements;
use crate::figure::Figure;
use crate::many::{self, ELECTIONS};
use elector_kit::cluster::Cluster;
use elector_kit::session::Session;

const WATCHED: Duration = Duration::from_secs(120);
/// The part of [`WATCHED`] in which the figures are measured: all elections certainly run then.
const MEASURED: Duration = Duration::from_secs(110);

pub fn ten_thousand_elections() -> Vec<Figure> {
    let cluster = server()
        .set("log_statement", "all")
        .set("log_parameter_max_length", 0)
        .set("log_line_prefix", "%a|")
        .start();
    let session = cluster.session();
    let process = many::start(&cluster.url(), WATCHED);
    while session.query("SELECT count(*) FROM leader_lease WHERE expires_at > now()").map_or(0, count)
        < ELECTIONS
    {
        std::thread::sleep(Duration::from_millis(100));
    }
    // Elected, and settled to its rhythm.
    std::thread::sleep(Duration::from_secs(5));
    session.run("SELECT pg_stat_reset()");
    let (before, start) = ((server_time(&cluster), statements(&cluster.log())), Instant::now());
    std::thread::sleep(MEASURED);
    let elapsed = start.elapsed().as_secs_f64();
    let after = (server_time(&cluster), statements(&cluster.log()));
    let cold = cold_percent(&session);
    let core = 100.0 * (after.0 - before.0).as_secs_f64() / elapsed;
    let mut figures = many::figures(process, "PostgreSQL");
    figures.extend([
        Figure::new("of a core for all of the server's processes", core, 25.0, "%"),
        Figure::new("statements per second", (after.1 - before.1) as f64 / elapsed, 40.0, "/s"),
        Figure::new("renewals that were not HOT", cold, 1.0, "%"),
    ]);
    figures
}

fn count(rows: Vec<elector_kit::session::Row>) -> usize {
    rows[0][0].as_ref().map_or(0, |text| text.parse().unwrap())
}

fn cold_percent(session: &Session) -> f64 {
    // Backends report about once a second.
    std::thread::sleep(Duration::from_secs(2));
    let sql = "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = 'leader_lease'";
    let row = &session.run(sql)[0];
    let number = |column: usize| row[column].as_ref().unwrap().parse::<f64>().unwrap();
    let (all, hot) = (number(0), number(1));
    assert!(all > 0.0, "no renewals were counted");
    println!("          {all:.0} renewals counted, {hot:.0} of them HOT");
    100.0 * (all - hot) / all
}

/// Processor time of the postmaster and all its processes.
fn server_time(cluster: &Cluster) -> Duration {
    let pid = cluster.pid();
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    let own = std::iter::once(pid.to_string()).chain(children.split_whitespace().map(str::to_owned));
    let ticks: u64 = own.map(|process| ticks(&process)).sum();
    // SAFETY: it reads a constant of the system.
    let per_second = unsafe { libc::sysconf(libc::_SC_CLK_TCK) } as u64;
    Duration::from_millis(ticks * 1_000 / per_second)
}

/// User and system time of a process, and of those of its children that have ended.
fn ticks(process: &str) -> u64 {
    let Ok(stat) = std::fs::read_to_string(format!("/proc/{process}/stat")) else { return 0 };
    // The name, in brackets, may hold blanks.
    let fields: Vec<&str> = stat.rsplit_once(") ").map_or("", |(_, rest)| rest).split(' ').collect();
    fields[11..15].iter().map(|field| field.parse::<u64>().unwrap()).sum()
}
