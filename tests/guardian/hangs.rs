//! What hangs beside the command does not keep the lease from who works: a reader of standard error or of
//! events that does not read, and the thread of `elector run` that drives the term.

use std::ffi::c_void;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Command, Stdio};
use std::ptr::null_mut;

use elector::core::Instant;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::pty::openpty;
use nix::sys::signal::Signal;
use nix::sys::stat::Mode;
use nix::unistd::{Pid, mkfifo};

use crate::beats::{self, Manner};
use crate::place::{Candidate, ENDS, LONG, Place, elector, wait_for};

/// Both ends of a full pipe: a process that writes to it hangs.
fn full_pipe() -> (File, OwnedFd) {
    let (reader, writer) = nix::unistd::pipe2(OFlag::O_CLOEXEC).expect("a pipe");
    let mut writer = File::from(writer);
    fill(&mut writer);
    (reader.into(), writer.into())
}

fn fill(pipe: &mut (impl Write + AsFd)) {
    let size = fcntl(&*pipe, FcntlArg::F_GETPIPE_SZ).expect("its size");
    pipe.write_all(&vec![b'-'; size as usize]).expect("an empty pipe");
}

/// Both ends of a terminal in which Ctrl-S was typed.
fn stopped_terminal() -> (OwnedFd, OwnedFd) {
    let terminal = openpty(None, None).expect("a terminal");
    File::from(terminal.master.try_clone().expect("it")).write_all(b"\x13").expect("a key");
    (terminal.master, terminal.slave)
}

impl Place {
    /// A leader that says and logs all it can to this standard error.
    pub fn run_talking_to(&self, candidate: &str, stderr: impl Into<Stdio>, options: &[&str]) -> Candidate {
        let command = beats::command(Manner::CleansUp, &self.file(candidate));
        self.run_like_this(candidate, &command, options, |run| {
            run.env("ELECTOR_LOG", "trace").stderr(stderr);
        })
    }
}

/// Its command runs, SIGTERM ends it in order, and the next one leads.
fn assert_works_and_ends(place: &Place, mut first: Candidate) {
    let token = first.wait_for_beats(0).token;
    let second = place.run("b", Manner::Plain, &[]);
    second.wait_until_it_stands();
    first.signal(Signal::SIGTERM);
    assert_eq!(first.exit_code(), 7, "the command's own code");
    assert!(first.last_beat().at < second.wait_for_beats(token).at);
}

#[test]
fn a_pipe_that_nobody_reads_as_standard_error_holds_up_nothing() {
    let place = Place::new(LONG);
    let (_reader, stderr) = full_pipe();
    assert_works_and_ends(&place, place.run_talking_to("a", stderr, &[]));
}

#[test]
fn a_terminal_after_ctrl_s_as_standard_error_holds_up_nothing() {
    let place = Place::new(LONG);
    let (_screen, stderr) = stopped_terminal();
    assert_works_and_ends(&place, place.run_talking_to("a", stderr, &[]));
}

#[test]
fn events_that_nobody_reads_hold_up_nothing() {
    let place = Place::new(LONG);
    let path = place.file("events");
    mkfifo(&path, Mode::S_IRUSR | Mode::S_IWUSR).expect("a named pipe");
    let mut pipe = File::options().read(true).write(true).open(&path).expect("both its ends");
    fill(&mut pipe);
    let option = format!("--events={}", path.display());
    assert_works_and_ends(&place, place.run("a", Manner::CleansUp, &[&option]));
}

#[test]
fn a_watch_whose_lines_nobody_reads_holds_up_nothing() {
    let place = Place::new(LONG);
    let (_reader, stdout) = full_pipe();
    let (_other_reader, stderr) = full_pipe();
    let first = place.run("a", Manner::CleansUp, &[]);
    first.wait_for_beats(0);
    let mut watch = elector(&["watch", "--election=e"]);
    let mut watch = watch.arg(place.store()).stdout(stdout).stderr(stderr).spawn().expect("elector watch");
    let files = || std::fs::read_dir(format!("/proc/{}/fd", watch.id())).into_iter().flatten().flatten();
    let is_database = |path: std::path::PathBuf| path.ends_with("e.db");
    let reads = || files().any(|file| std::fs::read_link(file.path()).is_ok_and(is_database));
    wait_for("elector watch to read", || reads().then_some(()));
    // Then it writes its first line, and hangs.
    std::thread::sleep(std::time::Duration::from_millis(500));
    assert!(watch.try_wait().expect("our child").is_none());
    assert_works_and_ends(&place, first);
    watch.kill().expect("our child");
    watch.wait().expect("our child");
}

/// A reader that is only late loses nothing. What does not fit into the queue is counted: see `printer.rs`.
#[test]
fn who_reads_late_is_told_everything() {
    let place = Place::new(LONG);
    let (mut reader, stderr) = full_pipe();
    let mut first = place.run_talking_to("a", stderr, &[]);
    first.wait_for_beats(0);
    first.signal(Signal::SIGTERM);
    // It waits for the reader for a while when it ends.
    let mut said = Vec::new();
    reader.read_to_end(&mut said).expect("all that was said");
    let said = String::from_utf8_lossy(&said);
    assert!(said.contains("elected: leads 'e'") && said.contains("reason=\"released\""), "{said}");
    assert!(!said.contains("dropped"), "{said}");
    assert_eq!(first.exit_code(), 7);
}

/// Stops one thread of another process, whose other threads go on.
pub struct Frozen(Pid);

impl Frozen {
    /// Stops the first thread of `process`, a child of ours, as something in it that blocks for ever does.
    pub fn main_thread_of(process: Pid) -> Frozen {
        let trace = |request| {
            // SAFETY: these requests take no memory of ours.
            let result = unsafe {
                libc::ptrace(request, process.as_raw(), null_mut::<c_void>(), null_mut::<c_void>())
            };
            assert_eq!(result, 0, "ptrace: {}", std::io::Error::last_os_error());
        };
        trace(libc::PTRACE_SEIZE);
        trace(libc::PTRACE_INTERRUPT);
        let mut status = 0;
        // SAFETY: the status is ours. The stop is waited for here, so that no other wait takes it for an end.
        unsafe { libc::waitpid(process.as_raw(), &raw mut status, libc::__WALL) };
        assert!(libc::WIFSTOPPED(status), "{status}");
        Frozen(process)
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        // SAFETY: as above.
        unsafe {
            libc::ptrace(libc::PTRACE_DETACH, self.0.as_raw(), null_mut::<c_void>(), null_mut::<c_void>())
        };
    }
}

/// The time of the fault, and the last beat of the old command and the first of the new.
pub fn hang(place: &Place, old: &Candidate, new: &Candidate) -> (Instant, Instant, Instant) {
    let token = old.wait_for_beats(0).token;
    let fault = place.now();
    let frozen = Frozen::main_thread_of(old.pid());
    let next = new.wait_for_beats(token);
    let last = old.beats().iter().rfind(|beat| beat.token == token).expect("a beat").at;
    assert!(last < next.at, "two commands at once");
    drop(frozen);
    (fault, last, next.at)
}

#[test]
fn a_run_whose_driving_thread_hangs_loses_its_term_as_stalled() {
    let place = Place::new(ENDS);
    let events = place.file("events");
    let option = format!("--events={}", events.display());
    let mut first = place.run("a", Manner::IgnoresTerm, &["--once", &option]);
    first.wait_for_beats(0);
    hang(&place, &first, &place.run("b", Manner::Plain, &[]));
    assert_eq!(first.exit_code(), 75);
    let events = std::fs::read_to_string(events).expect("the events");
    assert!(events.contains("\"reason\":\"stalled\""), "{events}");
}

#[test]
fn a_demo_whose_output_nobody_reads_ends_on_sigterm_and_leaves_nothing_behind() {
    let folder = tempfile::tempdir().expect("a folder");
    let (_reader, stdout) = full_pipe();
    let mut demo: Command = elector(&["demo"]);
    let mut demo = demo.env("TMPDIR", folder.path()).stdout(stdout).spawn().expect("elector demo");
    let count = || std::fs::read_dir(folder.path()).expect("the folder").count();
    wait_for("the demo to begin", || (count() > 0).then_some(()));
    nix::sys::signal::kill(Pid::from_raw(demo.id() as i32), Signal::SIGTERM).expect("our child");
    let status = wait_for("the demo to end", || demo.try_wait().expect("our child"));
    assert_eq!((status.code(), count()), (Some(128 + 15), 0));
}
