//! One candidate of the demo: a process that campaigns, samples its leadership every millisecond, and reports
//! changes on standard output.

use std::io::{self, BufRead, Write};
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use elector::Elector;
use elector::core::Instant;
use elector::driver::clock;

use crate::exit::Failure;
use crate::options::CandidateOptions;

/// The election of the demo.
const ELECTION: &str = "demo";
/// Short, so that the demo does not wait long for the stopped leader's lease to expire.
pub const LEASE: Duration = Duration::from_secs(2);
/// Interval between two samples.
const SAMPLE: Duration = Duration::from_millis(1);
/// Interval between two reports of a leader that still leads.
const BEAT: Duration = Duration::from_millis(10);
/// After a pause of this length between two samples, a candidate reports that it woke. Shorter than the demo
/// stops one.
const STOPPED: Duration = Duration::from_millis(400);

/// A report of a candidate. All times are of the boot clock, which the processes share.
///
/// Each answer of `am_i_leader()` lies between two readings of the clock, however long the machine pauses
/// there. So the first answer counts from the reading after it and the last one until the reading before it:
/// the candidate surely led in between.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    /// It leads from `at` on.
    Leads { at: Instant, token: u64 },
    /// It still led at `last`.
    Still { last: Instant },
    /// It does not lead any more; `last` is the last time at which it led.
    Follows { last: Instant },
    /// The candidate's first answer after a long pause, given at `at`: the token of its term, or 0 if it does
    /// not lead.
    Woke { at: Instant, token: u64 },
}

impl News {
    fn line(self) -> String {
        match self {
            News::Leads { at, token } => format!("leads {} {token}", at.as_nanos()),
            News::Still { last } => format!("still {}", last.as_nanos()),
            News::Follows { last } => format!("follows {}", last.as_nanos()),
            News::Woke { at, token } => format!("woke {} {token}", at.as_nanos()),
        }
    }

    fn say(self) {
        let mut out = io::stdout().lock();
        // A failure means that the demo has ended; then this process is killed too.
        let _ = writeln!(out, "{}", self.line()).and_then(|()| out.flush());
    }
}

impl FromStr for News {
    type Err = ();

    fn from_str(line: &str) -> Result<News, ()> {
        let mut words = line.split(' ');
        let name = words.next().ok_or(())?;
        let mut number = || words.next().and_then(|word| word.parse::<u64>().ok()).ok_or(());
        match name {
            "leads" => Ok(News::Leads { at: Instant::from_nanos(number()?), token: number()? }),
            "still" => Ok(News::Still { last: Instant::from_nanos(number()?) }),
            "follows" => Ok(News::Follows { last: Instant::from_nanos(number()?) }),
            "woke" => Ok(News::Woke { at: Instant::from_nanos(number()?), token: number()? }),
            _ => Err(()),
        }
    }
}

/// Runs one candidate until its standard input ends. At each line of input it releases, and campaigns again
/// later.
pub fn run(options: &CandidateOptions) -> Result<u8, Failure> {
    let elector = Elector::builder(ELECTION)
        .store(&options.store)
        .candidate(&options.name)
        .lease(LEASE)
        .build()
        .map_err(Failure::internal)?;
    elector.campaign();
    static RUNNING: AtomicBool = AtomicBool::new(true);
    let sampled = elector.clone();
    let sampler = thread::spawn(move || sample(&sampled, &RUNNING));
    for line in io::stdin().lock().lines() {
        if line.is_err() {
            break;
        }
        elector.release();
        // Another candidate is to take over, not this one.
        thread::sleep(Duration::from_millis(300));
        elector.campaign();
    }
    RUNNING.store(false, Ordering::Relaxed);
    let _ = sampler.join();
    let _ = elector.release_and_wait(Duration::from_millis(500));
    Ok(0)
}

fn sample(elector: &Elector, running: &AtomicBool) {
    let mut led: Option<(u64, Instant)> = None;
    let (mut last, mut said) = (clock::now(), clock::now());
    while running.load(Ordering::Relaxed) {
        let before = clock::now();
        let token = elector.token().map(|token| token.get());
        let after = clock::now();
        if before.saturating_since(last) >= STOPPED {
            News::Woke { at: before, token: token.unwrap_or(0) }.say();
        }
        match (led, token) {
            (Some((_, last)), None) => News::Follows { last }.say(),
            (Some((old, last)), Some(token)) if old != token => {
                News::Follows { last }.say();
                News::Leads { at: after, token }.say();
            }
            (None, Some(token)) => News::Leads { at: after, token }.say(),
            (Some(_), Some(_)) if before.saturating_since(said) >= BEAT => {
                News::Still { last: before }.say();
                said = before;
            }
            _ => {}
        }
        led = token.map(|token| (token, before));
        last = before;
        thread::sleep(SAMPLE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_parses_back_to_itself() {
        let all = [
            News::Leads { at: Instant::from_nanos(7), token: 9 },
            News::Still { last: Instant::from_nanos(8) },
            News::Follows { last: Instant::from_nanos(8) },
            News::Woke { at: Instant::from_nanos(9), token: 0 },
        ];
        for news in all {
            assert_eq!(news.line().parse(), Ok(news));
        }
    }
}
