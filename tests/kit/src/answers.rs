//! Every "yes" of every candidate, with the times right before and right after the question, and what they
//! show together: for how long two led at once.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;
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

/// One term as its leader's answers show it.
struct Term {
    /// It was led for certain at some instant before this one…
    first_answered: Instant,
    /// … and at some instant after this one.
    last_asked: Instant,
}

/// How many answers were "yes", how many terms they tell of, and the longest time for which a term was
/// provably led while a later one was too.
pub fn overlap(folder: &Path) -> (usize, usize, Duration) {
    let mut terms: BTreeMap<u64, Term> = BTreeMap::new();
    let mut count = 0;
    for entry in fs::read_dir(folder).expect("the folder").flatten() {
        for line in fs::read_to_string(entry.path()).unwrap_or_default().lines() {
            let Some((token, asked, answered)) = parse(line) else { continue };
            count += 1;
            let term = terms.entry(token).or_insert(Term { first_answered: answered, last_asked: asked });
            term.first_answered = term.first_answered.min(answered);
            term.last_asked = term.last_asked.max(asked);
        }
    }
    let mut longest = Duration::ZERO;
    // The latest instant at which any earlier term was led.
    let mut led_until = Instant::ZERO;
    for term in terms.values() {
        longest = longest.max(led_until.saturating_since(term.first_answered));
        led_until = led_until.max(term.last_asked);
    }
    (count, terms.len(), longest)
}

/// A process may be killed in the middle of a line.
fn parse(line: &str) -> Option<(u64, Instant, Instant)> {
    let mut words = line.strip_suffix(" .")?.split(' ').map(str::parse::<u64>);
    let mut next = || words.next()?.ok();
    Some((next()?, Instant::from_nanos(next()?), Instant::from_nanos(next()?)))
}
