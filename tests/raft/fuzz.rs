//! Fuzzing: bytes that are changed and sealed anew, and machines that get any inputs in any order.
//!
//! A run of 64 cases is drawn from its seed. A panic names the seed, which repeats it:
//!
//! ```text
//! ELECTOR_FUZZ_SEEDS=17..18 cargo test --no-default-features --features testing --test raft fuzz::
//! ```

use elector::core::raft::{Durable, Input, Message};
use elector_kit::seeds::seeds_of;
use rand_pcg::Pcg32;
use rand_pcg::rand_core::{Rng as _, SeedableRng as _};

use crate::bytes::{durables, messages, open, seal};
use crate::drive::{MS, id, led, propose};
use crate::fuzzed::Fuzzed;

/// How many cases a run has.
pub const EACH: u64 = 64;

/// The largest number that bytes hold.
pub const LARGEST: u64 = (1 << 53) - 1;

/// Draws what happens.
pub struct Dice(Pcg32);

impl Dice {
    pub fn new(seed: u64) -> Dice {
        Dice(Pcg32::seed_from_u64(seed))
    }

    /// A number below `below`, which is not 0.
    pub fn below(&mut self, below: usize) -> usize {
        self.0.next_u32() as usize % below
    }

    pub fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }

    /// A number near `number` mostly, else one at the end of what bytes hold, or any.
    pub fn near(&mut self, number: u64) -> u64 {
        let near = match self.below(20) {
            0..=8 => number,
            9..=12 => number + 1,
            13 => number + 2,
            14 => number.saturating_sub(1),
            15 => 0,
            16 => LARGEST - self.below(3) as u64,
            17 => number + (1 << 32) + self.below(2) as u64,
            _ => self.0.next_u64() >> (11 + self.below(50)),
        };
        near.min(LARGEST)
    }
}

/// Says which seed a panic belongs to.
struct Run(u64);

impl Drop for Run {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the run with ELECTOR_FUZZ_SEEDS={}..{}", self.0, self.0 + 1);
        }
    }
}

/// Plays the runs, and returns how many cases they were.
fn play(mut run: impl FnMut(Dice)) -> u64 {
    let seeds = seeds_of("ELECTOR_FUZZ_SEEDS", 300);
    let cases = (seeds.end - seeds.start) * EACH;
    for seed in seeds {
        let _run = Run(seed);
        run(Dice::new(seed));
    }
    cases
}

/// The bytes of every vector, and of what a cluster sends that elects, commits and changes its members.
pub fn corpus() -> Vec<Vec<u8>> {
    let mut corpus: Vec<Vec<u8>> = messages().iter().map(|(message, _)| message.to_bytes()).collect();
    corpus.extend(durables().iter().map(|(durable, _)| durable.to_bytes()));
    let mut cluster = led();
    propose(&mut cluster, "a", 1, None, "data");
    corpus.extend(cluster.in_flight.iter().map(Message::to_bytes));
    cluster.input(id("b"), Input::Leave);
    cluster.run(500 * MS, |message| message.to == id("c"));
    corpus.extend(cluster.in_flight.iter().map(Message::to_bytes));
    cluster.input(id("c"), Input::Campaign);
    corpus.extend(cluster.in_flight.iter().map(Message::to_bytes));
    corpus
}

/// Bytes of the corpus with a few changes, mostly with the checksum that belongs to them.
pub fn changed(dice: &mut Dice, corpus: &[Vec<u8>], bytes: &[u8]) -> Vec<u8> {
    let mut bytes = open(bytes);
    for _ in 0..=dice.below(3) {
        let at = dice.below(bytes.len());
        match dice.below(12) {
            0 | 1 => bytes[at] = dice.below(256) as u8,
            2 | 3 => bytes[at] = *dice.pick(&[0, 1, 2, 0x7F, 0x80, 0xFF]),
            4 => bytes[at] ^= 1 << dice.below(8),
            5 => bytes.truncate(at.max(5)),
            6 => bytes.insert(at, dice.below(256) as u8),
            7 => drop(bytes.remove(at)),
            8 => {
                let other = open(&corpus[dice.below(corpus.len())]);
                bytes.truncate(at.max(5));
                bytes.extend_from_slice(&other[at.min(other.len())..]);
            }
            9 => {
                let number = dice.near(0);
                let number =
                    (0..8).map(|place| (number >> (7 * place)) as u8 | if place < 7 { 0x80 } else { 0 });
                bytes.splice(at..(at + 1).min(bytes.len()), number);
            }
            10 => {
                bytes[4.min(at)] =
                    *dice.pick(&[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 65, 66, 67, 68])
            }
            _ => bytes[3.min(at)] = dice.below(3) as u8,
        }
        if bytes.is_empty() {
            bytes.push(b'E');
        }
    }
    if dice.chance(95) { seal(bytes) } else { bytes }
}

/// Reads bytes in both ways. What this version accepts, it writes as it stands; what a newer version wrote,
/// it writes without what it does not know.
fn read(bytes: &[u8]) -> bool {
    let is_newer = bytes.get(3).is_some_and(|minor| *minor > 0);
    let (message, durable) = (Message::from_bytes(bytes), Durable::from_bytes(bytes));
    if let Ok(message) = &message {
        let again = message.to_bytes();
        assert_eq!(Message::from_bytes(&again).as_ref(), Ok(message));
        assert!(is_newer || again == bytes, "{message:?}");
    }
    if let Ok(durable) = &durable {
        let again = durable.to_bytes();
        assert_eq!(Durable::from_bytes(&again).as_ref(), Ok(durable));
        assert!(is_newer || again == bytes, "{durable:?}");
    }
    assert!(message.is_err() || durable.is_err(), "a message is no durable state");
    message.is_ok() || durable.is_ok()
}

#[test]
fn changed_bytes_are_read_as_they_stand_or_refused() {
    let corpus = corpus();
    let mut accepted = 0;
    let cases = play(|mut dice| {
        for _ in 0..EACH {
            let bytes = &corpus[dice.below(corpus.len())];
            let bytes = changed(&mut dice, &corpus, bytes);
            accepted += u64::from(read(&bytes));
        }
    });
    println!("{cases} cases, {accepted} accepted");
    assert!(accepted > cases / 20, "changes reach the values too, not only the refusals: {accepted}");
}

#[test]
fn any_inputs_in_any_order_keep_the_contract() {
    let corpus = corpus();
    let mut reached = [0; 4];
    let cases = play(|mut dice| {
        let mut fuzzed = Fuzzed::new(&mut dice, &corpus);
        for _ in 0..EACH {
            fuzzed.step(&mut dice, &corpus);
            reached[fuzzed.raft.role() as usize] += 1;
        }
    });
    println!("{cases} cases; inputs to followers, pre-candidates, candidates, leaders: {reached:?}");
    assert!(reached.iter().all(|count| *count > cases / 100), "all roles are reached: {reached:?}");
}
