//! The command of these tests: it writes the time into a file every 2 ms, so that the file proves when it
//! ran.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use elector::core::Instant;
use elector::driver::clock;
use nix::sys::signal::{SigHandler, Signal, signal};
use nix::unistd::setsid;

/// One line of the file.
#[derive(Clone, Copy, Debug)]
pub struct Beat {
    pub token: u64,
    pub pid: i32,
    pub at: Instant,
}

/// All beats so far. A process may be killed in the middle of a line.
pub fn read(file: &Path) -> Vec<Beat> {
    let text = fs::read_to_string(file).unwrap_or_default();
    let beat = |line: &str| {
        let mut words = line.strip_suffix(" .")?.split(' ');
        let token = words.next()?.parse().ok()?;
        let pid = words.next()?.parse().ok()?;
        let at = Instant::from_nanos(words.next()?.parse().ok()?);
        Some(Beat { token, pid, at })
    };
    text.lines().filter_map(beat).collect()
}

/// Whether a command that cleans up came to its own end.
pub fn cleaned_up(file: &Path) -> bool {
    fs::read_to_string(file).unwrap_or_default().lines().any(|line| line == CLEANED_UP)
}

const CLEANED_UP: &str = "cleaned up";

/// What the command does beside beating.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// It ends at SIGTERM.
    Plain,
    /// It does not.
    IgnoresTerm,
    /// It leaves a process behind in a session of its own, which ignores SIGTERM, and ends.
    LeavesDaemon,
    /// At SIGTERM it beats on for 100 ms or more, writes that it has cleaned up and exits with 7.
    CleansUp,
}

/// The command line that beats into `file`: this test program itself, asked for its one ignored test.
pub fn command(manner: Manner, file: &Path) -> Vec<String> {
    let program = std::env::current_exe().expect("path of this program");
    let env = format!("BEAT_MANNER={manner:?}");
    let file = format!("BEAT_FILE={}", file.display());
    let words = ["env", &env, &file, program.to_str().expect("UTF-8"), "--exact", "beat", "--ignored"];
    words.map(str::to_owned).to_vec()
}

/// Beats on; what `command` runs.
pub fn beat() {
    let Some(file) = std::env::var_os("BEAT_FILE").map(PathBuf::from) else { return };
    let manner = std::env::var("BEAT_MANNER").unwrap_or_default();
    // SAFETY: no handler is installed that could run; SIG_IGN and this one async-signal-safe handler are
    // fine.
    unsafe {
        match manner.as_str() {
            "IgnoresTerm" => signal(Signal::SIGTERM, SigHandler::SigIgn),
            "CleansUp" => signal(Signal::SIGTERM, SigHandler::Handler(note_term)),
            "LeavesDaemon" => return leave_daemon(&file),
            _ => signal(Signal::SIGTERM, SigHandler::SigDfl),
        }
        .expect("a handler");
    }
    let token: u64 = std::env::var("ELECTOR_TOKEN").ok().and_then(|token| token.parse().ok()).unwrap_or(0);
    let mut out = OpenOptions::new().create(true).append(true).open(file).expect("the file of beats");
    let mut left = 50;
    // If the guardian fails to end this process, which these tests must detect, it still ends by itself.
    let end = clock::now().saturating_add(Duration::from_secs(150));
    while clock::now() < end {
        let line = format!("{token} {} {} .\n", std::process::id(), clock::now().as_nanos());
        out.write_all(line.as_bytes()).expect("a beat");
        if TERM.load(std::sync::atomic::Ordering::Relaxed) {
            left -= 1;
            if left == 0 {
                out.write_all(format!("{CLEANED_UP}\n").as_bytes()).expect("a line");
                std::process::exit(7);
            }
        }
        thread::sleep(Duration::from_millis(2));
    }
}

static TERM: std::sync::atomic::AtomicBool = std::sync::atomic::AtomicBool::new(false);

extern "C" fn note_term(_: i32) {
    TERM.store(true, std::sync::atomic::Ordering::Relaxed);
}

/// Starts a beating process in a new session whose parent ends at once.
fn leave_daemon(file: &Path) {
    let words = command(Manner::IgnoresTerm, file);
    let mut daemon = std::process::Command::new(&words[0]);
    daemon.args(&words[1..]);
    // SAFETY: one system call between fork and exec.
    unsafe {
        std::os::unix::process::CommandExt::pre_exec(&mut daemon, || Ok(setsid().map(|_| ())?));
    }
    let child = daemon.spawn().expect("the daemon");
    // Exit only once the daemon certainly beats. The guardian ends the daemon, so this process does not wait
    // for it.
    while read(file).iter().all(|beat| beat.pid != child.id() as i32) {
        thread::sleep(Duration::from_millis(2));
    }
    std::process::exit(0);
}
