//! `elector demo`: three real processes elect a leader, hand over, lose it to `kill -9` and to SIGSTOP.

pub mod candidate;
mod claims;
mod view;

use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anstyle::Style;
use elector::core::Instant;
use elector::driver::clock;
use nix::sys::signal::{SigSet, Signal, kill};
use nix::unistd::Pid;

use crate::exit::Failure;
use crate::options::DemoOptions;
use crate::os::ended::Ended;
use crate::os::{child, signals};
use crate::output::{BOLD, Colour, GREEN, RED, Table};
use candidate::{LEASE, News};
use claims::Claims;
use view::{State, View, YELLOW, print_now};

const PLAIN: Style = Style::new();
const NAMES: [&str; 3] = ["alpha", "beta", "gamma"];
/// How long each leader leads before the next step.
const LEAD_TIME: Duration = Duration::from_millis(600);
/// Timeout of each step; long, since the machine may be busy.
const TOO_LONG: Duration = Duration::from_secs(60);

enum Message {
    /// From this candidate, in this life of it (0 is the first).
    News(usize, u32, News),
    Signal(Signal),
}

/// One line of the table at the end.
struct Measured {
    what: &'static str,
    from: Option<usize>,
    to: usize,
    token: u64,
    took: Duration,
}

/// Runs `elector demo`.
pub fn run(options: &DemoOptions) -> Result<u8, Failure> {
    let (outbox, inbox) = channel();
    let forward = outbox.clone();
    let mask = signals::listen(move |signal| {
        // SIGCONT after Ctrl-Z needs no action.
        signal == Signal::SIGCONT || forward.send(Message::Signal(signal)).is_ok()
    })
    .map_err(|error| Failure::system("listen for signals", &error))?;
    let folder = Folder::new()?;
    let mut demo = Demo {
        mask,
        store: format!("sqlite:{}", folder.0.join("demo.db").display()),
        view: View::new(&NAMES),
        outbox,
        inbox,
        processes: Vec::new(),
        leader: None,
        measured: Vec::new(),
        claims: Claims::default(),
        continued: None,
        woke: None,
        woke_as_leader: false,
    };
    let result = demo.play(options.kills);
    demo.end();
    drop(folder);
    match result {
        Ok(()) => demo.conclude(),
        Err(stop) => {
            demo.view.close();
            match stop {
                Stop::Signal(signal) => Ok(Ended::Signal(signal as i32).exit_code()),
                Stop::Failure(failure) => Err(failure),
            }
        }
    }
}

/// Why the demo ended early.
enum Stop {
    Signal(Signal),
    Failure(Failure),
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Stop {
        Stop::Failure(failure)
    }
}

struct Process {
    child: Child,
    life: u32,
    /// The thread that reads its standard output.
    reader: Option<JoinHandle<()>>,
}

struct Demo {
    mask: SigSet,
    store: String,
    view: View,
    outbox: Sender<Message>,
    inbox: Receiver<Message>,
    processes: Vec<Process>,
    /// The candidate with the largest token so far.
    leader: Option<(usize, u64)>,
    measured: Vec<Measured>,
    claims: Claims,
    /// The leader that was stopped, and when it was continued.
    continued: Option<(usize, Instant)>,
    /// The token that this leader reported when it was continued; 0 if it did not lead.
    woke: Option<u64>,
    /// Whether `woke` is the token of the term in which this leader was stopped.
    woke_as_leader: bool,
}

impl Demo {
    fn play(&mut self, kills: u32) -> Result<(), Stop> {
        let start = clock::now();
        self.view.tell(start, None, PLAIN, "three processes campaign in one election, on one SQLite file");
        for who in 0..NAMES.len() {
            self.spawn(who, 0)?;
        }
        self.elected("election", None, start)?;
        self.wait(LEAD_TIME)?;
        self.hand_over()?;
        self.wait(LEAD_TIME)?;
        for _ in 0..kills {
            self.kill_leader()?;
            self.wait(LEAD_TIME)?;
        }
        self.pause_leader()?;
        self.wait(LEAD_TIME)
    }

    fn hand_over(&mut self) -> Result<(), Stop> {
        let Some((who, _)) = self.leader else { return Ok(()) };
        let start = clock::now();
        self.view.tell(start, Some(who), PLAIN, "is asked to release its lease");
        if let Some(input) = &mut self.processes[who].child.stdin {
            let _ = input.write_all(b"release\n");
        }
        self.elected("hand-over", Some(who), start)
    }

    fn kill_leader(&mut self) -> Result<(), Stop> {
        let Some((who, _)) = self.leader else { return Ok(()) };
        let start = clock::now();
        let process = &mut self.processes[who];
        let life = process.life + 1;
        let _ = process.child.kill();
        let _ = process.child.wait();
        self.view.set(who, State::Down);
        self.view.tell(start, Some(who), RED, "kill -9");
        self.elected("kill -9", Some(who), start)?;
        self.wait(LEAD_TIME / 2)?;
        self.spawn(who, life)?;
        Ok(())
    }

    fn pause_leader(&mut self) -> Result<(), Stop> {
        let Some((who, token)) = self.leader else { return Ok(()) };
        let pid = Pid::from_raw(self.processes[who].child.id() as i32);
        let start = clock::now();
        let _ = kill(pid, Signal::SIGSTOP);
        self.view.set(who, State::Stopped);
        let text = format!("SIGSTOP: its lease expires {} ms after the last renewal", LEASE.as_millis());
        self.view.tell(start, Some(who), YELLOW, &text);
        self.elected("SIGSTOP", Some(who), start)?;
        self.wait(LEAD_TIME)?;
        let continued = clock::now();
        self.continued = Some((who, continued));
        let _ = kill(pid, Signal::SIGCONT);
        self.view.set(who, State::Standing);
        let text = "SIGCONT: it continues where it was stopped";
        self.view.tell(continued, Some(who), YELLOW, text);
        let deadline = continued.saturating_add(TOO_LONG);
        let woke = loop {
            match self.woke {
                Some(woke) => break woke,
                None => drop(self.step(deadline)?),
            }
        };
        self.woke_as_leader = woke == token;
        let (style, answer) = match woke {
            0 => (PLAIN, format!("asks am_i_leader(): false. The term with token {token} is over")),
            _ if self.woke_as_leader => {
                (RED, format!("asks am_i_leader(): TRUE, with the old token {token}"))
            }
            _ => (PLAIN, format!("asks am_i_leader(): true, in a new term with token {woke}")),
        };
        self.view.tell(clock::now(), Some(who), style, &answer);
        Ok(())
    }

    /// Waits until a candidate leads with a larger token than all before, and notes how long it took.
    fn elected(&mut self, what: &'static str, from: Option<usize>, start: Instant) -> Result<(), Stop> {
        let deadline = start.saturating_add(TOO_LONG);
        let (at, to, token) = loop {
            if let Some(found) = self.step(deadline)? {
                break found;
            }
        };
        let took = at.saturating_since(start);
        let text = format!("leads after {} ms, token {token}", millis(took));
        self.view.tell(at, Some(to), GREEN, &text);
        self.measured.push(Measured { what, from, to, token, took });
        Ok(())
    }

    fn wait(&mut self, time: Duration) -> Result<(), Stop> {
        let end = clock::now().saturating_add(time);
        while clock::now() < end {
            self.step_until(end)?;
        }
        Ok(())
    }

    /// Handles the next message; fails if none comes before the deadline.
    fn step(&mut self, deadline: Instant) -> Result<Option<(Instant, usize, u64)>, Stop> {
        if clock::now() >= deadline {
            let seconds = TOO_LONG.as_secs();
            return Err(Failure::internal(format!(
                "the candidates reported nothing for {seconds} s. Is this machine overloaded?"
            ))
            .into());
        }
        self.step_until(deadline)
    }

    /// Handles at most one message; returns the election that it reported.
    fn step_until(&mut self, end: Instant) -> Result<Option<(Instant, usize, u64)>, Stop> {
        self.view.refresh();
        let wait = end.saturating_since(clock::now()).min(Duration::from_millis(50));
        self.inbox.recv_timeout(wait).map_or(Ok(None), |message| self.handle(message))
    }

    fn handle(&mut self, message: Message) -> Result<Option<(Instant, usize, u64)>, Stop> {
        match message {
            Message::Signal(signal) => Err(Stop::Signal(signal)),
            // A message of a process that was killed.
            Message::News(who, life, _) if self.processes[who].life != life => Ok(None),
            Message::News(who, _, News::Leads { at, token }) => {
                self.claims.begin(who, token, at);
                self.view.set(who, State::Leading);
                // Messages of different processes may arrive out of order.
                let is_new = self.leader.is_none_or(|(_, latest)| latest < token);
                Ok(is_new.then(|| {
                    self.leader = Some((who, token));
                    (at, who, token)
                }))
            }
            Message::News(who, _, News::Still { last }) => {
                self.claims.extend(who, last);
                Ok(None)
            }
            Message::News(who, _, News::Follows { last }) => {
                self.claims.extend(who, last);
                if self.view.state(who) == State::Leading {
                    self.view.set(who, State::Standing);
                }
                Ok(None)
            }
            Message::News(who, _, News::Woke { at, token }) => {
                // Other pauses are caused by the machine.
                if self.continued.is_some_and(|(stopped, continued)| who == stopped && at >= continued) {
                    self.woke.get_or_insert(token);
                }
                Ok(None)
            }
        }
    }

    fn spawn(&mut self, who: usize, life: u32) -> Result<(), Failure> {
        let failed = |error: io::Error| Failure::system("start a candidate", &error);
        let program = std::env::current_exe().map_err(failed)?;
        let mut command = Command::new(program);
        command
            .arg("demo-candidate")
            .arg(format!("--name={}", NAMES[who]))
            .arg(format!("--store={}", self.store))
            // In a process group of its own: only this process handles Ctrl-C.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        child::has_mask(&mut command, self.mask);
        child::dies_with_us(&mut command);
        let mut process = command.spawn().map_err(failed)?;
        let lines = process.stdout.take().map(BufReader::new).into_iter().flat_map(BufRead::lines);
        let outbox = self.outbox.clone();
        let reader = thread::spawn(move || {
            for news in lines.map_while(Result::ok).filter_map(|line| line.parse().ok()) {
                if outbox.send(Message::News(who, life, news)).is_err() {
                    return;
                }
            }
        });
        let process = Process { child: process, life, reader: Some(reader) };
        match self.processes.get_mut(who) {
            Some(old) => *old = process,
            None => self.processes.push(process),
        }
        self.view.set(who, State::Standing);
        if life > 0 {
            self.view.tell(clock::now(), Some(who), PLAIN, "restarted, campaigns");
        }
        Ok(())
    }

    /// Kills every process that the demo started, and handles their last messages.
    fn end(&mut self) {
        for process in &mut self.processes {
            let _ = process.child.kill();
            let _ = process.child.wait();
            process.reader.take().map(JoinHandle::join);
        }
        while let Ok(message) = self.inbox.try_recv() {
            let _ = self.handle(message);
        }
    }

    fn conclude(&mut self) -> Result<u8, Failure> {
        self.view.close();
        let colour = Colour::of_stdout();
        let mut table = Table::new(&["WHAT", "FROM", "TO", ">MS", ">TOKEN"]);
        for line in &self.measured {
            table.row(vec![
                line.what.to_owned(),
                line.from.map_or("-", |who| NAMES[who]).to_owned(),
                NAMES[line.to].to_owned(),
                millis(line.took),
                line.token.to_string(),
            ]);
        }
        let mut text = Vec::new();
        table.write(&mut text, colour)?;
        print_now(&format!("\n{}", String::from_utf8_lossy(&text)));
        let (overlap, grown) = (self.claims.overlap(), self.claims.grew());
        let summary = format!(
            "Two leaders at once: {}. Tokens only grew: {}. The stopped leader still led when continued: {}.",
            if overlap.is_zero() { "never".to_owned() } else { format!("for {} ms", millis(overlap)) },
            if grown { "yes" } else { "no" },
            if self.woke_as_leader { "yes" } else { "no" },
        );
        print_now(&format!("\n{}\n", colour.paint(BOLD, summary)));
        if overlap.is_zero() && grown && !self.woke_as_leader {
            Ok(0)
        } else {
            Err(Failure::internal(
                "the demo broke a promise of Elector; please report this with the output above",
            ))
        }
    }
}

fn millis(duration: Duration) -> String {
    format!("{:.1}", duration.as_secs_f64() * 1_000.0)
}

/// A temporary folder, removed when it is dropped.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Result<Folder, Failure> {
        let name = format!("elector-demo-{}-{}", std::process::id(), clock::now().as_nanos());
        let path = std::env::temp_dir().join(name);
        match fs::DirBuilder::new().mode(0o700).create(&path) {
            Ok(()) => Ok(Folder(path)),
            Err(error) => Err(Failure::internal(format!(
                "cannot create a temporary folder in '{}': {error}; set TMPDIR to a writable folder",
                std::env::temp_dir().display()
            ))),
        }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dropped_folder_is_removed() {
        let folder = Folder::new().unwrap();
        let path = folder.0.clone();
        fs::write(path.join("demo.db"), "x").unwrap();
        drop(folder);
        assert!(!path.exists());
    }
}
