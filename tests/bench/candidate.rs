//! A candidate process of a bench, driven over its standard input and output, and the bench's end of it.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, ExitCode, Stdio};
use std::sync::mpsc::Sender;
use std::time::Duration;

use elector::Elector;
use elector::core::Instant;
use elector::core::lease::Event;
use elector::driver::clock;

#[allow(dead_code, reason = "the bench of PostgreSQL keeps no answers")]
#[path = "answers.rs"]
pub mod answers;

use answers::ANSWERS;

/// The lease of a candidate process, in milliseconds; by default the default.
pub const LEASE_MS: &str = "ELECTOR_BENCH_LEASE_MS";
/// A file for what its store complains about.
pub const COMPLAINTS: &str = "ELECTOR_BENCH_COMPLAINTS";

/// What a candidate process reports.
#[derive(Debug)]
pub struct Report {
    pub candidate: usize,
    pub at: Instant,
    pub elected: bool,
    pub token: u64,
}

/// The process: campaigns at once; obeys `release` and `campaign`; ends with its standard input.
pub fn run() -> ExitCode {
    let store = std::env::var("ELECTOR_BENCH_STORE").expect("the bench names the store");
    let mut builder = Elector::builder("bench").store(store);
    if let Ok(lease) = std::env::var(LEASE_MS) {
        builder = builder.lease(Duration::from_millis(lease.parse().expect("a number")));
    }
    let elector = builder.build().expect("the bench's options are right");
    if let Some(path) = std::env::var_os(COMPLAINTS) {
        let elector = elector.clone();
        std::thread::spawn(move || complain(&elector, path.as_ref()));
    }
    if let Some(folder) = std::env::var_os(ANSWERS) {
        let elector = elector.clone();
        std::thread::spawn(move || answers::keep(&elector, folder.as_ref()));
    }
    let changes = elector.changes();
    elector.campaign();
    std::thread::spawn(move || {
        let mut out = std::io::stdout().lock();
        for change in changes {
            let (what, token) = match change.event {
                Event::Elected { token } => ("elected", token),
                Event::Deposed { token, .. } => ("deposed", token),
                _ => continue,
            };
            // A bench that ended reads no more.
            let _ = writeln!(out, "{what} {token} {}", clock::now().as_nanos()).and_then(|()| out.flush());
        }
    });
    for line in std::io::stdin().lock().lines().map_while(Result::ok) {
        match line.as_str() {
            "release" => elector.release(),
            "campaign" => elector.campaign(),
            other => panic!("the bench said {other:?}"),
        }
    }
    ExitCode::SUCCESS
}

/// Appends what the store's errors say to a file.
fn complain(elector: &Elector, path: &std::path::Path) {
    let mut last = None;
    loop {
        let error = elector.last_error().map(|error| error.to_string());
        if error != last {
            last = error;
            let text = format!("{}\n", last.as_deref().unwrap_or("solved"));
            let file = std::fs::OpenOptions::new().create(true).append(true).open(path);
            file.and_then(|mut file| file.write_all(text.as_bytes()))
                .expect("the bench's file can be written");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The bench's end of a candidate process. Dropped: the process is killed.
pub struct Process {
    child: Child,
    input: ChildStdin,
}

impl Process {
    pub fn start(candidate: usize, store: &str, reports: Sender<Report>) -> Process {
        Process::start_with(candidate, store, &[], reports)
    }

    /// With more in its environment: [`LEASE_MS`], [`COMPLAINTS`].
    pub fn start_with(
        candidate: usize,
        store: &str,
        environment: &[(&str, &str)],
        reports: Sender<Report>,
    ) -> Process {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .env("ELECTOR_BENCH_ROLE", "candidate")
            .env("ELECTOR_BENCH_STORE", store)
            .envs(environment.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a candidate process starts");
        let output = BufReader::new(child.stdout.take().unwrap());
        let input = child.stdin.take().unwrap();
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                let words: Vec<&str> = line.split(' ').collect();
                let [what, token, at] = words[..] else { panic!("a candidate said {line:?}") };
                let report = Report {
                    candidate,
                    at: Instant::from_nanos(at.parse().unwrap()),
                    elected: what == "elected",
                    token: token.parse().unwrap(),
                };
                if reports.send(report).is_err() {
                    return;
                }
            }
        });
        Process { child, input }
    }

    pub fn say(&mut self, command: &str) {
        writeln!(self.input, "{command}").expect("the candidate listens");
    }

    /// `kill -9`; gives the instant right before it.
    pub fn kill(&mut self) -> Instant {
        let at = clock::now();
        self.child.kill().expect("the candidate runs");
        self.child.wait().expect("it is ours");
        at
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Already dead is fine.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
