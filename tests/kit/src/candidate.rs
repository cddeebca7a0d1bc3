//! A candidate in a process of its own: the test's end of it, and what the process does.
//!
//! The process says on its standard output, each line behind a mark:
//!
//! ```text
//! up TOKEN NS      it has begun to lead under this token, at this instant or before
//! still TOKEN NS   it leads under this token, and did so at this instant or later
//! down TOKEN NS    it led under this token until this instant or longer, and leads no more
//! error TEXT       what its store complains about now, or "none"
//! done LINE        it did what it was told
//! ```
//!
//! It obeys `release`, `campaign` and `end` on its standard input, whose end ends it. Programs in other
//! languages that do the same may take its place.

use std::fs::OpenOptions;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::Sender;
use std::thread::JoinHandle;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::answers;
use crate::clock::{self, Instant};

/// What the process's lines begin with, to tell them from a test harness's own.
const MARK: &str = "@ ";
/// How often a candidate asks itself whether it leads.
const SAMPLE: Duration = Duration::from_millis(3);
/// After how many questions it repeats that it still leads, and looks for a new complaint of its store.
const REPEAT: u64 = 10;

const ELECTION: &str = "ELECTOR_TEST_CANDIDATE";
const STORE: &str = "ELECTOR_TEST_STORE";
const LEASE_MS: &str = "ELECTOR_TEST_LEASE_MS";
const MARGIN_MS: &str = "ELECTOR_TEST_MARGIN_MS";
const ANSWERS: &str = "ELECTOR_TEST_ANSWERS";
const COMPLAINTS: &str = "ELECTOR_TEST_COMPLAINTS";
const SOURCE: &str = "ELECTOR_TEST_SOURCE";

/// What a candidate says.
#[derive(Clone, Debug, PartialEq)]
pub enum Said {
    /// It has begun to lead under this token, at this instant or before.
    Up(u64, Instant),
    /// It leads under this token, and did so at this instant or later.
    Still(u64, Instant),
    /// It led under this token until this instant or longer, and leads no more.
    Down(u64, Instant),
    /// What its store complains about.
    Error(String),
    /// It did what it was told.
    Done(String),
}

#[derive(Debug)]
pub struct Report {
    pub candidate: usize,
    pub said: Said,
}

/// From what a candidate knows that it leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// It asks all the time, as an application does.
    Questions,
    /// It is told of each change, at once.
    Changes,
}

/// How a candidate is made.
#[derive(Clone, Debug)]
pub struct Stand {
    pub store: String,
    pub election: String,
    /// None: the default.
    pub lease: Option<Duration>,
    /// None: the default.
    pub margin: Option<Duration>,
    pub source: Source,
    /// A folder where it writes every answer down.
    pub answers: Option<PathBuf>,
    /// A file for what its store complains about.
    pub complaints: Option<PathBuf>,
}

impl Stand {
    /// With the default timing, in one election for all.
    pub fn on(store: &str, source: Source) -> Stand {
        let (store, election) = (store.to_owned(), "nightly".to_owned());
        Stand { store, election, lease: None, margin: None, source, answers: None, complaints: None }
    }

    fn environment(&self) -> Vec<(&'static str, PathBuf)> {
        let ms = |time: Duration| PathBuf::from(time.as_millis().to_string());
        let source = (self.source == Source::Changes).then(|| "changes".into());
        let settings = [
            (ELECTION, Some(PathBuf::from(&self.election))),
            (STORE, Some(PathBuf::from(&self.store))),
            (LEASE_MS, self.lease.map(ms)),
            (MARGIN_MS, self.margin.map(ms)),
            (SOURCE, source),
            (ANSWERS, self.answers.clone()),
            (COMPLAINTS, self.complaints.clone()),
        ];
        settings.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
    }

    fn of_this_process() -> Stand {
        let text = |name| std::env::var(name).ok();
        let path = |name| std::env::var_os(name).map(PathBuf::from);
        let ms = |name| Some(Duration::from_millis(text(name)?.parse().expect("a number")));
        Stand {
            store: text(STORE).expect("the test names the store"),
            election: text(ELECTION).expect("the test names the election"),
            lease: ms(LEASE_MS),
            margin: ms(MARGIN_MS),
            source: if path(SOURCE).is_some() { Source::Changes } else { Source::Questions },
            answers: path(ANSWERS),
            complaints: path(COMPLAINTS),
        }
    }
}

/// A candidate of the crate under test, inside the process that plays it. [`contender!`](crate::contender)
/// makes one.
pub trait Contender: Clone + Send + 'static {
    fn new(stand: &Stand) -> Self;
    fn campaign(&self);
    fn release(&self);
    fn release_and_wait(&self, patience: Duration);
    /// The token under which it leads, if it does.
    fn token(&self) -> Option<u64>;
    /// What its store complains about.
    fn complaint(&self) -> Option<String>;
    /// The beginnings (true) and ends of its terms, as it is told of them.
    fn changes(&self) -> impl Iterator<Item = (bool, u64)> + Send + 'static;
}

/// Whether a test has started this process to be a candidate.
pub fn is_one() -> bool {
    std::env::var_os(ELECTION).is_some()
}

/// What the process does, until its input ends or it is told to end.
pub fn play<C: Contender>() -> ! {
    let stand = Stand::of_this_process();
    let contender = C::new(&stand);
    let rounds = Arc::new(AtomicU64::new(0));
    if let Some(folder) = stand.answers {
        let asked = contender.clone();
        std::thread::spawn(move || answers::keep(&folder, || asked.token()));
    }
    if let Some(file) = stand.complaints {
        let asked = contender.clone();
        std::thread::spawn(move || complain(&asked, &file));
    }
    match stand.source {
        Source::Questions => {
            let (asked, counted) = (contender.clone(), Arc::clone(&rounds));
            std::thread::spawn(move || sample(&asked, &counted));
        }
        Source::Changes => {
            let changes = contender.changes();
            std::thread::spawn(move || pass_on(changes));
        }
    }
    contender.campaign();
    for line in std::io::stdin().lock().lines().map_while(Result::ok) {
        match line.as_str() {
            "release" => contender.release(),
            "campaign" => contender.campaign(),
            "end" => {
                contender.release_and_wait(Duration::from_secs(2));
                // The next question is answered with no; the round of the one before may not be over.
                let asked = rounds.load(Ordering::SeqCst) + 2;
                while stand.source == Source::Questions && rounds.load(Ordering::SeqCst) < asked {
                    std::thread::sleep(SAMPLE);
                }
            }
            other => panic!("the test said {other:?}"),
        }
        say(format_args!("done {line}"));
    }
    std::process::exit(0);
}

/// Asks again and again, and says when the answer changes. A thread may be kept from running between a
/// question and a look at the clock, so the clock is read on the safe side: after the first yes, before the
/// question of the last one.
fn sample(contender: &impl Contender, rounds: &AtomicU64) {
    let mut led: Option<(u64, Instant)> = None;
    let mut complaint = None;
    for round in 0_u64.. {
        let before = clock::now();
        let token = contender.token();
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
            let error = contender.complaint();
            if error != complaint {
                complaint = error;
                say(format_args!("error {}", complaint.as_deref().unwrap_or("none").replace('\n', " ")));
            }
        }
        rounds.fetch_add(1, Ordering::SeqCst);
        std::thread::sleep(SAMPLE);
    }
}

fn pass_on(changes: impl Iterator<Item = (bool, u64)>) {
    for (leads, token) in changes {
        let what = if leads { "up" } else { "down" };
        say(format_args!("{what} {token} {}", clock::now().as_nanos()));
    }
}

/// Appends what the store's errors say to a file.
fn complain(contender: &impl Contender, path: &Path) {
    let mut last = None;
    loop {
        let error = contender.complaint();
        if error != last {
            last = error;
            let text = format!("{}\n", last.as_deref().unwrap_or("solved"));
            let file = OpenOptions::new().create(true).append(true).open(path);
            file.and_then(|mut file| file.write_all(text.as_bytes())).expect("its file can be written");
        }
        std::thread::sleep(Duration::from_millis(5));
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
    /// This very program in that role: a test target with a module `candidate` whose ignored test
    /// `plays_a_candidate` calls [`play`], or a program whose `main` does so first if [`is_one`].
    pub fn start(number: usize, stand: &Stand, reports: Sender<Report>) -> Candidate {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["candidate::plays_a_candidate", "--exact", "--ignored", "--nocapture"]);
        Candidate::run(command, number, stand, reports)
    }

    /// Any program that speaks as this one does.
    pub fn run(mut command: Command, number: usize, stand: &Stand, reports: Sender<Report>) -> Candidate {
        let command = command.envs(stand.environment()).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("a candidate starts");
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
        (token.parse().unwrap(), Instant::from_nanos(at.parse().unwrap()))
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

/// Makes `Contender`, a candidate of the crate under test, of which this package knows nothing.
#[macro_export]
macro_rules! contender {
    () => {
        #[derive(Clone)]
        pub struct Contender(elector::Elector);

        impl $crate::candidate::Contender for Contender {
            fn new(stand: &$crate::candidate::Stand) -> Contender {
                let mut builder = elector::Elector::builder(&*stand.election).store(&*stand.store);
                if let Some(lease) = stand.lease {
                    builder = builder.lease(lease);
                }
                if let Some(margin) = stand.margin {
                    builder = builder.margin(margin);
                }
                Contender(builder.build().expect("the options are right"))
            }

            fn campaign(&self) {
                self.0.campaign();
            }

            fn release(&self) {
                self.0.release();
            }

            fn release_and_wait(&self, patience: std::time::Duration) {
                let _ = self.0.release_and_wait(patience);
            }

            fn token(&self) -> Option<u64> {
                self.0.am_i_leader().then(|| self.0.token()).flatten().map(|token| token.get())
            }

            fn complaint(&self) -> Option<String> {
                self.0.last_error().map(|error| error.to_string())
            }

            fn changes(&self) -> impl Iterator<Item = (bool, u64)> + Send + 'static {
                use elector::core::lease::Event;
                self.0.changes().filter_map(|change| match change.event {
                    Event::Elected { token } => Some((true, token.get())),
                    Event::Deposed { token, .. } => Some((false, token.get())),
                    _ => None,
                })
            }
        }
    };
}
