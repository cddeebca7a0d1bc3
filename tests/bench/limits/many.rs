//! Ten thousand elections led by one process.

use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use elector::core::lease::Event;
use elector::{Changes, Elector};

use crate::figure::Figure;

pub const ELECTIONS: usize = 10_000;

/// The store of the process that leads them all.
const STORE: &str = "ELECTOR_BENCH_STORE";
/// How long it is watched, in seconds.
const WATCH_S: &str = "ELECTOR_BENCH_WATCH_S";

/// SQLite's figures.
pub fn ten_thousand_elections() -> Vec<Figure> {
    let folder = tempfile::tempdir().unwrap();
    let store = format!("sqlite:{}", folder.path().join("many.db").display());
    figures(start(&store, Duration::from_secs(60)), "SQLite")
}

/// The process that leads them all: one of its own, so that its processor time is its own.
pub fn start(store: &str, watched: Duration) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .env(STORE, store)
        .env(WATCH_S, watched.as_secs().to_string())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the process starts")
}

/// What it measured, once it has ended.
pub fn figures(process: Child, store: &str) -> Vec<Figure> {
    let output = process.wait_with_output().expect("it is ours");
    assert!(output.status.success(), "the process that leads failed");
    let text = String::from_utf8(output.stdout).unwrap();
    let figures: Vec<f64> = text.split_whitespace().map(|word| word.parse().unwrap()).collect();
    let [elected_s, deposed, watched_s, core_percent, renewals] = figures[..] else {
        panic!("it said {text:?}")
    };
    let what = format!("of a core for {ELECTIONS} elections, {store} ({renewals:.0} renewals/s)");
    vec![
        Figure::new(format!("to lead {ELECTIONS} elections from scratch"), elected_s, 10.0, "s"),
        Figure::new(format!("depositions in {watched_s} s"), deposed, 0.0, ""),
        Figure::new(what, core_percent, 25.0, "%"),
    ]
}

/// Whether a bench has started this process to lead them all.
pub fn is_one() -> bool {
    std::env::var_os(STORE).is_some()
}

/// The process: leads them all, watches for a while, prints five numbers.
pub fn lead() -> ExitCode {
    let setting = |name| std::env::var(name).expect("the bench says so");
    let (store, watched) = (setting(STORE), setting(WATCH_S).parse().expect("a number"));
    let started = Instant::now();
    let electors: Vec<Elector> = (0..ELECTIONS)
        .map(|n| Elector::builder(format!("election-{n}")).store(store.clone()).build().unwrap())
        .collect();
    let mut changes: Vec<Changes> = electors.iter().map(Elector::changes).collect();
    electors.iter().for_each(Elector::campaign);
    for elector in &electors {
        elector.wait_until_leader(Duration::from_secs(60)).expect("no other candidate leads");
    }
    let elected_s = started.elapsed().as_secs_f64();
    let (cpu, watch) = (cpu_time(), Instant::now());
    std::thread::sleep(Duration::from_secs(watched));
    let core_percent = 100.0 * (cpu_time() - cpu).as_secs_f64() / watch.elapsed().as_secs_f64();
    let deposed = changes.iter_mut().flat_map(|changes| std::iter::from_fn(|| changes.try_next()));
    let deposed = deposed.filter(|change| matches!(change.event, Event::Deposed { .. })).count();
    let leading = electors.iter().filter(|elector| elector.am_i_leader()).count();
    // Each renewal went through the store; its row says when, so the mean age tells the rate.
    let ages = electors.iter().map(|elector| {
        let trusted = elector.leadership().trusted_for(elector::driver::clock::now());
        elector::core::Timing::default().trust().saturating_sub(trusted).as_secs_f64()
    });
    let mean_age = ages.sum::<f64>() / ELECTIONS as f64;
    println!(
        "{elected_s} {} {} {core_percent} {}",
        deposed + ELECTIONS - leading,
        watched,
        ELECTIONS as f64 / (2.0 * mean_age)
    );
    ExitCode::SUCCESS
}

/// Processor time that this process has used, in all threads, user and system.
fn cpu_time() -> Duration {
    let usage = nix::sys::resource::getrusage(nix::sys::resource::UsageWho::RUSAGE_SELF).unwrap();
    let time = |value: nix::sys::time::TimeVal| {
        Duration::from_secs(value.tv_sec() as u64) + Duration::from_micros(value.tv_usec() as u64)
    };
    time(usage.user_time()) + time(usage.system_time())
}
