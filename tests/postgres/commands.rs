//! The command line on PostgreSQL: `run` under faults, and what operators ask and do.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use elector_kit::cluster::{Cluster, Release, Stop, fresh_database};
use elector_kit::field::{LEASE, STEADY};
use elector_kit::proxy::{Proxy, Way};
use elector_kit::waiting::wait_until;

elector_kit::on_each_release! {
    commands_of_two_terms_never_run_at_once_whatever_is_killed
    a_command_survives_a_restart_of_the_server
    operators_see_and_end_terms
    whoever_watches_sees_every_term
    an_election_that_the_table_cannot_hold_is_refused_at_once
    a_server_that_takes_long_to_refuse_ends_the_program
}

pub fn elector(words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_elector"));
    command.args(words).stdin(Stdio::null()).env_remove("ELECTOR_STORE");
    command
}

/// `elector run` with a command that writes its term and the time into a file, again and again.
struct Runner {
    child: Child,
}

impl Runner {
    fn start(lease: Duration, url: &str, candidate: &str, file: &Path) -> Runner {
        let beat = format!(
            "while :; do echo \"$ELECTOR_TOKEN $(date +%s%N) {candidate} .\" >> {}; sleep 0.01; done",
            file.display()
        );
        let lease = lease.as_millis().to_string();
        let child = elector(&["run", "--quiet", "--election", "e", "--forever", "--store", url])
            .args(["--candidate", candidate, "--lease-ms", &lease, "--grace-ms", "200"])
            .args(["--", "sh", "-c", &beat])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("elector run");
        Runner { child }
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id() as i32), signal).expect("it runs");
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        // Its guardian ends the command.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Token, time in ns and candidate of every beat so far.
fn beats(file: &Path) -> Vec<(u64, u64, String)> {
    let text = fs::read_to_string(file).unwrap_or_default();
    let beat = |line: &str| {
        let mut words = line.strip_suffix(" .")?.split(' ');
        Some((words.next()?.parse().ok()?, words.next()?.parse().ok()?, words.next()?.to_owned()))
    };
    text.lines().filter_map(beat).collect()
}

/// Waits for the first beat of a term after this one; the candidate and the term.
#[track_caller]
fn next_term(file: &Path, after: u64) -> (String, u64) {
    let mut found = None;
    wait_until("a command of the next term runs", || {
        let newer = beats(file).into_iter().rev().find(|beat| beat.0 > after);
        found = newer.map(|(token, _, candidate)| (candidate, token));
        found.is_some()
    });
    found.unwrap()
}

fn commands_of_two_terms_never_run_at_once_whatever_is_killed(release: Release) {
    let url = fresh_database(release);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("beats");
    let mut runners: Vec<(String, Runner)> = Vec::new();
    for number in 0..3 {
        let name = format!("c{number}");
        runners.push((name.clone(), Runner::start(LEASE, &url, &name, &file)));
    }
    let (mut leader, mut token) = next_term(&file, 0);
    for signal in [Signal::SIGKILL, Signal::SIGSTOP] {
        std::thread::sleep(Duration::from_millis(300));
        let at = runners.iter().position(|(name, _)| *name == leader).expect("one of ours leads");
        runners[at].1.signal(signal);
        (leader, token) = next_term(&file, token);
    }
    for (_, runner) in &runners {
        // Those that were stopped go on; those that were killed are no more.
        let _ = kill(Pid::from_raw(runner.child.id() as i32), Signal::SIGCONT);
    }
    std::thread::sleep(Duration::from_millis(500));
    drop(runners);
    let beats = beats(&file);
    for pair in beats.windows(2) {
        assert!(pair[0].0 <= pair[1].0, "a command of an older term wrote after a newer: {pair:?}");
    }
    let terms: std::collections::BTreeSet<u64> = beats.iter().map(|beat| beat.0).collect();
    assert!(terms.len() >= 3 && terms.contains(&token), "{terms:?}");
}

fn a_command_survives_a_restart_of_the_server(release: Release) {
    let mut cluster = Cluster::start(release);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("beats");
    let runner = Runner::start(STEADY, &cluster.url(), "only", &file);
    let (_, token) = next_term(&file, 0);
    cluster.restart(Stop::Fast);
    // Longer than a lease: it was renewed since.
    std::thread::sleep(STEADY + LEASE);
    let beats = beats(&file);
    let last = beats.last().expect("it beats");
    assert_eq!(last.0, token, "a quick restart costs no term");
    drop(runner);
}

/// What it says, except that the store is slow: the machine may be busy.
pub fn said(output: &Output) -> String {
    let all = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes)).concat();
    let lines: Vec<_> = all.lines().filter(|line| !line.contains("has not answered yet")).collect();
    lines.join("\n")
}

fn operators_see_and_end_terms(release: Release) {
    let url = fresh_database(release);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("beats");
    let _runners = ["first", "second"].map(|name| Runner::start(STEADY, &url, name, &file));
    let (leader, token) = next_term(&file, 0);
    let status = elector(&["status", "--json", "--store", &url]).output().unwrap();
    let line: serde_json::Value = serde_json::from_slice(&status.stdout).expect("one line of JSON");
    assert_eq!((line["candidate"].as_str(), line["token"].as_u64()), (Some(&*leader), Some(token)));
    let plain = elector(&["status", "--election", "e", "--store", &url]).output().unwrap();
    assert!(plain.status.success() && said(&plain).contains(&leader), "{}", said(&plain));

    // A term that is not any more cannot be ended.
    let wrong = (token - 1).to_string();
    let released =
        elector(&["release", "--election", "e", "--token", &wrong, "--store", &url]).output().unwrap();
    assert_eq!(released.status.code(), Some(1), "{}", said(&released));
    let right = token.to_string();
    let released =
        elector(&["release", "--election", "e", "--token", &right, "--store", &url]).output().unwrap();
    assert_eq!(released.status.code(), Some(0), "{}", said(&released));
    let (_, next) = next_term(&file, token);
    assert!(next > token + 1, "revoking takes a token of its own");
    let broken = elector(&["break", "--yes", "--election", "e", "--store", &url]).output().unwrap();
    assert_eq!(broken.status.code(), Some(0), "{}", said(&broken));
    let (_, last) = next_term(&file, next);
    assert!(last > next + 1);
    let beats = beats(&file);
    assert!(beats.windows(2).all(|pair| pair[0].0 <= pair[1].0), "no two commands at once");
}

fn an_election_that_the_table_cannot_hold_is_refused_at_once(release: Release) {
    let url = fresh_database(release);
    elector_kit::session::Session::open(&url).run(elector_kit::peer::TABLE);
    let asked = |election| {
        let ask = |words: &[&str]| {
            let command = ["--", "false"].iter().filter(|_| words[0] == "run");
            let words = [words, &["--election", election, "--store", &url]].concat();
            elector(&words).args(command).output().unwrap()
        };
        let run = ask(&["run", "--quiet"]);
        (run, [ask(&["status"]), ask(&["break", "--yes"]), ask(&["release", "--token", "1"])])
    };
    let (run, questions) = asked("7");
    assert_eq!(run.status.code(), Some(1), "CMD's own: {}", said(&run));
    assert!(questions.iter().all(|output| output.status.code() != Some(69)), "{questions:?}");
    let (run, questions) = asked("nightly");
    let watch = elector(&["watch", "--election", "nightly", "--store", &url]).output().unwrap();
    for output in [run, watch].into_iter().chain(questions) {
        let said = said(&output);
        assert_eq!(output.status.code(), Some(69), "{said}");
        assert!(said.contains("\"nightly\"") && said.contains("integer"), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
    }
}

fn a_server_that_takes_long_to_refuse_ends_the_program(release: Release) {
    let cluster = Cluster::start(release);
    let proxy = Proxy::to(cluster.port());
    proxy.set(Way::Delay(Duration::from_millis(150)));
    let url = cluster.url_at(proxy.port()).replacen("postgres@", "nobody@", 1);
    let run = elector(&["run", "--election", "e", "--store", &url, "--", "true"]).output().unwrap();
    let said = said(&run);
    assert_eq!(run.status.code(), Some(69), "{said}");
    assert!(said.contains("\"nobody\"") && !said.contains('\n'), "{said}");
}

fn whoever_watches_sees_every_term(release: Release) {
    let url = fresh_database(release);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("beats");
    let (seen, beats) = (folder.path().join("seen"), &file);
    let mut runners = vec![Runner::start(STEADY, &url, "c0", beats)];
    let (_, mut token) = next_term(beats, 0);
    let mut watch = elector(&["watch", "--election", "e", "--store", &url])
        .stdout(fs::File::create(&seen).unwrap())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let is_seen = |token: u64| {
        let text = || fs::read_to_string(&seen).unwrap();
        wait_until(&format!("{token} is seen"), || text().contains(&token.to_string()));
    };
    is_seen(token);
    for number in 1..3 {
        runners.push(Runner::start(STEADY, &url, &format!("c{number}"), beats));
        runners[number - 1].signal(Signal::SIGTERM);
        (_, token) = next_term(beats, token);
        is_seen(token);
    }
    watch.kill().unwrap();
    watch.wait().unwrap();
}
