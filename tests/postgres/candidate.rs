//! A candidate in a process of its own: the role that it plays, and the test's end of it.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::Sender;
use std::thread::JoinHandle;
use std::time::Duration;

use elector::Elector;
use elector::core::{FencingToken, Instant};
use elector::driver::clock;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// What the process's lines begin with, to tell them from the test harness's own.
const MARK: &str = "@ ";
/// How often a candidate asks itself whether it leads.
const SAMPLE: Duration = Duration::from_millis(3);
/// After how many questions it repeats that it still leads, and looks for a new complaint of its store.
const REPEAT: u64 = 10;

/// What a candidate says.
#[derive(Clone, Debug, PartialEq)]
pub enum Said {
    /// It has begun to lead under this token, at this instant or before.
    Up(FencingToken, Instant),
    /// It leads under this token, and did so at this instant or later.
    Still(FencingToken, Instant),
    /// It led under this token until this instant or longer, and leads no more.
    Down(FencingToken, Instant),
    /// What its store complains about.
    Error(String),
    /// It did what it was told.
    Done(String),
}

pub struct Report {
    pub candidate: usize,
    pub said: Said,
}

/// How a candidate is made.
#[derive(Clone, Debug)]
pub struct Stand {
    pub store: String,
    pub election: String,
    pub lease: Duration,
}

#[test]
#[ignore = "the process that the other tests run"]
fn plays_a_candidate() {
    let election = std::env::var("ELECTOR_TEST_CANDIDATE").expect("the name of an election");
    let store = std::env::var("ELECTOR_TEST_STORE").unwrap();
    let lease = std::env::var("ELECTOR_TEST_LEASE_MS").unwrap().parse().unwrap();
    let margin = Duration::from_millis(100);
    let builder = Elector::builder(election).store(store).lease(Duration::from_millis(lease)).margin(margin);
    let elector = builder.build().unwrap();
    elector.campaign();
    let (asked, rounds) = (elector.clone(), Arc::new(AtomicU64::new(0)));
    let counted = Arc::clone(&rounds);
    std::thread::spawn(move || sample(&asked, &counted));
    for line in std::io::stdin().lock().lines().map_while(Result::ok) {
        match line.as_str() {
            "release" => elector.release(),
            "campaign" => elector.campaign(),
            "end" => {
                let _ = elector.release_and_wait(Duration::from_secs(2));
                // The next question is answered with no; the round of the one before may not be over.
                let asked = rounds.load(Ordering::SeqCst) + 2;
                while rounds.load(Ordering::SeqCst) < asked {
                    std::thread::sleep(SAMPLE);
                }
            }
            other => panic!("the test said {other:?}"),
        }
        say(format_args!("done {line}"));
    }
    std::process::exit(0);
}

/// Asks again and again, as an application does, and says when the answer changes. A thread may be kept from
/// running between a question and a look at the clock, so the clock is read on the safe side: after the first
/// yes, before the question of the last one.
fn sample(elector: &Elector, rounds: &AtomicU64) {
    let mut led: Option<(FencingToken, Instant)> = None;
    let mut complaint = None;
    for round in 0_u64.. {
        let before = clock::now();
        let token = elector.am_i_leader().then(|| elector.token()).flatten();
        let after = clock::now();
        let old = led.map(|(token, _)| token);
        if old != token {
            if let Some((old, last)) = led {
                say(format_args!("down {old} {}", last.as_nanos()));
            }
            if let Some(token) = token {
                say(format_args!("up {token} {}", after.as_nanos()));
            }
        }
        led = token.map(|token| (token, before));
        if round % REPEAT == 0 {
            if let Some(token) = token {
                say(format_args!("still {token} {}", before.as_nanos()));
            }
            let error = elector.last_error().map(|error| error.to_string());
            if error != complaint {
                complaint = error;
                say(format_args!("error {}", complaint.as_deref().unwrap_or("none").replace('\n', " ")));
            }
        }
        rounds.fetch_add(1, Ordering::SeqCst);
        std::thread::sleep(SAMPLE);
    }
}

fn say(line: std::fmt::Arguments<'_>) {
    let mut out = std::io::stdout().lock();
    // A test that ended reads no more.
    let _ = writeln!(out, "{MARK}{line}").and_then(|()| out.flush());
}

/// The test's end. Dropped: the process is killed.
pub struct Candidate {
    child: Child,
    reader: Option<JoinHandle<()>>,
}

impl Candidate {
    /// This very program in that role.
    pub fn start(number: usize, stand: &Stand, reports: Sender<Report>) -> Candidate {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["candidate::plays_a_candidate", "--exact", "--ignored", "--nocapture"]);
        Candidate::run(command, number, stand, reports)
    }

    /// Any program that speaks as `plays_a_candidate` does.
    pub fn run(mut command: Command, number: usize, stand: &Stand, reports: Sender<Report>) -> Candidate {
        let mut child = command
            .env("ELECTOR_TEST_CANDIDATE", &stand.election)
            .env("ELECTOR_TEST_STORE", &stand.store)
            .env("ELECTOR_TEST_LEASE_MS", stand.lease.as_millis().to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a candidate starts");
        let output = BufReader::new(child.stdout.take().unwrap());
        let reader = std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                let Some((_, line)) = line.split_once(MARK) else { continue };
                if reports.send(Report { candidate: number, said: read(line) }).is_err() {
                    return;
                }
            }
        });
        Candidate { child, reader: Some(reader) }
    }

    pub fn say(&mut self, command: &str) {
        writeln!(self.child.stdin.as_mut().unwrap(), "{command}").expect("the candidate listens");
    }

    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id() as i32), signal).expect("the candidate runs");
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// `kill -9`; gives an instant before it. All that it has said is in the channel then.
    pub fn kill(mut self) -> Instant {
        let at = clock::now();
        self.child.kill().expect("the candidate runs");
        self.child.wait().expect("it is ours");
        self.reader.take().expect("joined once").join().expect("its reports were read");
        at
    }
}

fn read(line: &str) -> Said {
    let (what, rest) = line.split_once(' ').unwrap_or((line, ""));
    let term = || {
        let (token, at) = rest.split_once(' ').expect("a token and an instant");
        let token = FencingToken::new(token.parse().unwrap()).unwrap();
        (token, Instant::from_nanos(at.parse().unwrap()))
    };
    match what {
        "up" => Said::Up(term().0, term().1),
        "still" => Said::Still(term().0, term().1),
        "down" => Said::Down(term().0, term().1),
        "error" => Said::Error(rest.to_owned()),
        "done" => Said::Done(rest.to_owned()),
        _ => panic!("a candidate said {line:?}"),
    }
}

impl Drop for Candidate {
    fn drop(&mut self) {
        // Already dead is fine.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
