//! Promises L and T on SQLite while real processes are killed and stopped.
//!
//! Four processes stand for one election. Each asks `am_i_leader()` all the time and writes every "yes" into
//! a file, with the times right before and right after the question. The answer was true at some instant
//! between the two. So if a "yes" under an old token was asked for after a "yes" under a newer one had been
//! given, two led at once.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use elector::Elector;
use elector::core::Instant;
use elector::driver::clock;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

const KILLS: usize = 200;
const CANDIDATES: usize = 4;
const MS: Duration = Duration::from_millis(1);

/// Not a test: one candidate, started by the test.
#[test]
#[ignore = "the process that the other test runs"]
fn stand() {
    let Some(folder) = std::env::var_os("KILLS_FOLDER").map(PathBuf::from) else { return };
    let file = folder.join(format!("{}.yes", std::process::id()));
    let mut out = OpenOptions::new().create(true).append(true).open(file).expect("the file of answers");
    let elector = Elector::builder("e")
        .store(format!("sqlite:{}", folder.join("e.db").display()))
        .lease(500 * MS)
        .margin(50 * MS)
        .build()
        .expect("right options");
    elector.campaign();
    // Where nobody kills it, it must not stand for ever.
    let end = clock::now().saturating_add(Duration::from_secs(900));
    while clock::now() < end {
        let asked = clock::now();
        let token = elector.token();
        let answered = clock::now();
        if let Some(token) = token {
            writeln!(out, "{token} {} {} .", asked.as_nanos(), answered.as_nanos()).expect("a line");
        }
        std::thread::sleep(2 * MS);
    }
}

struct Candidate(Child);

impl Candidate {
    fn start(folder: &Path) -> Candidate {
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        command.args(["--exact", "kills::stand", "--ignored"]).env("KILLS_FOLDER", folder);
        Candidate(command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().expect("a process"))
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.0.id() as i32), signal).expect("our own child");
    }
}

impl Drop for Candidate {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// One "yes".
#[derive(Clone, Copy, Debug)]
struct Yes {
    token: u64,
    asked: Instant,
    answered: Instant,
}

/// All of one process, whose last line may be cut off.
fn read(file: &Path) -> Vec<Yes> {
    let yes = |line: &str| {
        let mut words = line.strip_suffix(" .")?.split(' ').map(str::parse::<u64>);
        let mut next = || words.next()?.ok();
        let (token, asked, answered) = (next()?, next()?, next()?);
        Some(Yes { token, asked: Instant::from_nanos(asked), answered: Instant::from_nanos(answered) })
    };
    fs::read_to_string(file).unwrap_or_default().lines().filter_map(yes).collect()
}

#[test]
fn two_hundred_random_kills_make_no_two_leaders_and_tokens_grow() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut candidates: Vec<_> = (0..CANDIDATES).map(|_| Candidate::start(folder.path())).collect();
    let leader = |candidates: &[Candidate]| {
        let newest = |candidate: &Candidate| {
            let file = folder.path().join(format!("{}.yes", candidate.0.id()));
            read(&file).last().map(|yes| yes.token)
        };
        (0..CANDIDATES).max_by_key(|&number| newest(&candidates[number]))
    };
    let newest_token = |candidates: &[Candidate]| {
        let file = |candidate: &Candidate| folder.path().join(format!("{}.yes", candidate.0.id()));
        candidates.iter().filter_map(|candidate| read(&file(candidate)).last().map(|yes| yes.token)).max()
    };
    // One that is stopped in the middle of a write keeps the others from being elected until it goes on.
    let mut stopped: Option<usize> = None;
    let mut last_token = None;
    for round in 0..KILLS {
        // Most kills are to hit a new term, however slow the disk is; the others come at any moment.
        let end = clock::now().saturating_add(1_000 * MS);
        while round % 4 > 0 && newest_token(&candidates) <= last_token && clock::now() < end {
            std::thread::sleep(5 * MS);
        }
        last_token = last_token.max(newest_token(&candidates));
        std::thread::sleep(MS * (5 + rand::random::<u32>() % 60));
        // Now and then a leader is stopped, for longer than its lease, while others are killed around it.
        if round % 40 == 20 {
            stopped = leader(&candidates);
            stopped.iter().for_each(|&number| candidates[number].signal(Signal::SIGSTOP));
        }
        if round % 40 == 39 {
            stopped.take().iter().for_each(|&number| candidates[number].signal(Signal::SIGCONT));
        }
        // Mostly the leader, else anybody: a candidate may be about to become one.
        let anybody = rand::random::<u32>() as usize % CANDIDATES;
        let victim = if rand::random::<u32>() % 4 < 3 { leader(&candidates) } else { None };
        let victim = victim.filter(|number| Some(*number) != stopped).unwrap_or(anybody);
        if Some(victim) == stopped {
            stopped = None;
        }
        candidates[victim] = Candidate::start(folder.path());
    }
    drop(candidates);

    let mut terms: Vec<(Yes, Yes, PathBuf)> = Vec::new();
    for entry in fs::read_dir(folder.path()).expect("the folder").flatten() {
        let path = entry.path();
        if path.extension().is_some_and(|extension| extension == "yes") {
            for yes in read(&path) {
                match terms.iter_mut().rfind(|(first, _, file)| first.token == yes.token && *file == path) {
                    Some((_, last, _)) => *last = yes,
                    None => terms.push((yes, yes, path.clone())),
                }
            }
        }
    }
    terms.sort_by_key(|(first, _, _)| first.token);
    println!("{} terms in {KILLS} kills", terms.len());
    assert!(terms.len() > KILLS / 4, "only {} terms: the kills hit nobody", terms.len());
    for pair in terms.windows(2) {
        let ((_, old, _), (new, _, _)) = (&pair[0], &pair[1]);
        assert_ne!(old.token, new.token, "two processes led under one token: {pair:?}");
        assert!(old.asked <= new.answered, "two leaders at once, or a token that shrank: {old:?} {new:?}");
    }
}
