//! Every "yes" of every candidate, with the times right before and right after the question, and what they
//! show together.
//!
//! An answer was true at some instant between the two times. So if a "yes" under an old token was asked for
//! after a "yes" under a newer one had been given, two led at once.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::clock::{self, Instant};

/// Asks for the token all the time and writes each "yes" down, in a file of this process.
pub fn keep(folder: &Path, ask: impl Fn() -> Option<u64>) {
    let file = folder.join(format!("{}.yes", std::process::id()));
    let mut out = OpenOptions::new().create(true).append(true).open(file).expect("a file of answers");
    loop {
        let asked = clock::now();
        let token = ask();
        let answered = clock::now();
        if let Some(token) = token {
            writeln!(out, "{token} {} {} .", asked.as_nanos(), answered.as_nanos()).expect("a line");
        }
        std::thread::sleep(Duration::from_micros(500));
    }
}

/// One term as the answers of one process show it.
#[derive(Clone, Copy, Debug)]
struct Term {
    /// It was led for certain at some instant before this one…
    first_answered: Instant,
    /// … and at some instant after this one.
    last_asked: Instant,
}

/// What all answers together show.
#[derive(Clone, Copy, Debug)]
pub struct Judged {
    pub answers: usize,
    pub terms: usize,
    /// The longest time for which a term was provably led while a later one was too.
    pub overlap: Duration,
}

/// The token of the last "yes" of a process.
pub fn newest(folder: &Path, process: u32) -> Option<u64> {
    read(&folder.join(format!("{process}.yes"))).last().map(|&(token, ..)| token)
}

/// Judges the answers of all processes. No two of them may lead under one token.
#[track_caller]
pub fn judge(folder: &Path) -> Judged {
    let mut terms: BTreeMap<u64, (PathBuf, Term)> = BTreeMap::new();
    let mut answers = 0;
    for entry in fs::read_dir(folder).expect("the folder").flatten() {
        let file = entry.path();
        for (token, asked, answered) in read(&file) {
            answers += 1;
            let term = Term { first_answered: answered, last_asked: asked };
            let (leader, term) = terms.entry(token).or_insert((file.clone(), term));
            assert_eq!(*leader, file, "two processes led under the token {token}");
            term.first_answered = term.first_answered.min(answered);
            term.last_asked = term.last_asked.max(asked);
        }
    }
    let mut overlap = Duration::ZERO;
    // The latest instant at which any earlier term was led.
    let mut led_until = Instant::ZERO;
    for (_, term) in terms.values() {
        overlap = overlap.max(led_until.saturating_since(term.first_answered));
        led_until = led_until.max(term.last_asked);
    }
    Judged { answers, terms: terms.len(), overlap }
}

/// A process may be killed in the middle of a line.
fn read(file: &Path) -> Vec<(u64, Instant, Instant)> {
    let parse = |line: &str| {
        let mut words = line.strip_suffix(" .")?.split(' ').map(str::parse::<u64>);
        let mut next = || words.next()?.ok();
        Some((next()?, Instant::from_nanos(next()?), Instant::from_nanos(next()?)))
    };
    // Other files may stand beside those of answers.
    if file.extension().is_none_or(|extension| extension != "yes") {
        return Vec::new();
    }
    fs::read_to_string(file).unwrap_or_default().lines().filter_map(parse).collect()
}
