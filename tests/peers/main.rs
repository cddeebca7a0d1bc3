//! Candidates written in Rust, C, Go and JavaScript stand for one election in one PostgreSQL, and are
//! stopped, killed and told to release at random: never two leaders, and tokens that grow.
//!
//! tests/steps/languages.sh builds the programs and names them in `ELECTOR_TEST_C_DRIVER`,
//! `ELECTOR_TEST_GO_DRIVER` and `ELECTOR_TEST_NODE_DRIVER`. `ELECTOR_LANGUAGES_SECONDS` is how long it goes
//! on; `ELECTOR_LANGUAGES_SEED` repeats the order of a run.
#![cfg(all(feature = "postgres", target_os = "linux"))]

mod candidate;

use std::collections::BTreeMap;
use std::process::Command;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use elector_kit::cluster::{Release, fresh_database};
use elector_kit::field::{Field, LEASE};

/// How many candidates of each language campaign at any time.
const OF_EACH: usize = 2;
/// How much longer it may go on until each language has led.
const TURNS: Duration = Duration::from_secs(300);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Language {
    Rust,
    C,
    Go,
    Node,
}

const LANGUAGES: [Language; 4] = [Language::Rust, Language::C, Language::Go, Language::Node];

/// The candidates that run now, by their languages, and what became of those that do not.
struct Crowd {
    field: Field,
    running: BTreeMap<usize, Language>,
    terms: BTreeMap<Language, usize>,
}

impl Crowd {
    fn start(url: &str) -> Crowd {
        let terms = LANGUAGES.into_iter().map(|language| (language, 0)).collect();
        let mut crowd = Crowd { field: Field::start(url, 0), running: BTreeMap::new(), terms };
        for language in LANGUAGES {
            (0..OF_EACH).for_each(|_| crowd.add(language));
        }
        crowd
    }

    fn add(&mut self, language: Language) {
        let driver = |variable: &str| {
            let path = std::env::var_os(variable);
            Command::new(path.unwrap_or_else(|| panic!("{variable} is not set; run tests/run.sh languages")))
        };
        let number = match language {
            Language::Rust => self.field.add(),
            Language::C => self.field.add_program(driver("ELECTOR_TEST_C_DRIVER")),
            Language::Go => self.field.add_program(driver("ELECTOR_TEST_GO_DRIVER")),
            Language::Node => self.field.add_program(driver("ELECTOR_TEST_NODE_DRIVER")),
        };
        self.running.insert(number, language);
    }

    /// `kill -9`, and another one of the same language in its place.
    fn replace(&mut self, candidate: usize) {
        self.field.kill(candidate);
        let language = self.running.remove(&candidate).expect("it runs");
        *self.terms.entry(language).or_default() += self.field.terms_of(candidate);
        self.add(language);
    }

    fn terms(&self) -> BTreeMap<Language, usize> {
        let mut terms = self.terms.clone();
        for (&candidate, &language) in &self.running {
            *terms.entry(language).or_default() += self.field.terms_of(candidate);
        }
        terms
    }
}

/// Chance says who leads next, so it goes on until candidates of each language have led.
fn goes_on(crowd: &Crowd, elapsed: Duration, time: Duration) -> bool {
    elapsed < time || elapsed < time + TURNS && crowd.terms().values().any(|&terms| terms == 0)
}

fn setting(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).map_or(otherwise, |text| text.parse().unwrap_or_else(|_| panic!("{name}: a number")))
}

#[test]
fn candidates_in_four_languages_never_lead_two_at_a_time() {
    let time = Duration::from_secs(setting("ELECTOR_LANGUAGES_SECONDS", 60));
    let seed = setting("ELECTOR_LANGUAGES_SEED", rand::random_range(0..1_000_000));
    println!("ELECTOR_LANGUAGES_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let mut crowd = Crowd::start(&fresh_database(Release::Newest));
    let (mut kills, mut stops, mut releases) = (0, 0, 0);
    let begin = Instant::now();
    while goes_on(&crowd, begin.elapsed(), time) {
        let leader = crowd.field.leader().candidate;
        let anybody = *crowd.running.keys().nth(random.random_range(0..crowd.running.len())).unwrap();
        // Most of what happens happens to the leader.
        let victim = if random.random_bool(0.7) { leader } else { anybody };
        match random.random_range(0..10) {
            0..4 => {
                crowd.replace(victim);
                kills += 1;
            }
            4..7 => {
                crowd.field.stop(victim);
                crowd.field.pass(LEASE.mul_f64(random.random_range(0.1..2.0)));
                crowd.field.go_on(victim);
                stops += 1;
            }
            _ => {
                crowd.field.say(victim, "release");
                crowd.field.pass(Duration::from_millis(random.random_range(0..100)));
                crowd.field.say(victim, "campaign");
                releases += 1;
            }
        }
        crowd.field.pass(Duration::from_millis(random.random_range(0..300)));
    }
    let terms = crowd.terms();
    let took = begin.elapsed();
    println!("{kills} kills, {stops} stops, {releases} releases in {took:?}; terms {terms:?}");
    assert!(terms.values().all(|&terms| terms > 0), "each language leads: {terms:?}");
    let judged = crowd.field.judge();
    println!("{judged} terms, 0 overlaps, 0 tokens that went back");
}
