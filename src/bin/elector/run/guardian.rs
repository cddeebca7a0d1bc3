//! The guardian: a small process between `elector run` and the command. It ends the command before the hard
//! deadline of the lease.
//!
//! ```text
//! elector run ──socket pair── guardian ──parent of── CMD ── …
//!      └───── keeper ─────────────┘
//! ```
//!
//! `elector run` sends it the deadlines of each renewal in absolute time. The guardian needs nothing else to
//! be safe:
//!
//! * No extension comes (`elector run` is stopped, hangs, or lost the store): SIGTERM at the soft
//!   deadline, SIGKILL before the hard one. The timer runs on the boot clock, so it fires at once after a
//!   suspend.
//! * `elector run` dies: the stream ends; SIGTERM at once, the grace, SIGKILL.
//! * The guardian dies: the kernel kills CMD (`PR_SET_PDEATHSIG`), and the keeper (`keeper.rs`), which
//!   inherits the orphans, kills them.
//! * The keeper dies: SIGTERM, the grace, SIGKILL.
//! * The files of an SQLite store are deleted or replaced, their directory moved or mounted over: SIGKILL at
//!   once. The guardian watches them itself, since `elector run` may be stopped.
//!
//! It has its own process group, so that neither Ctrl-Z nor a signal to the job of `elector run` reaches
//! it, and it ends only when no descendant of CMD is left. On SQLite it holds the lease's file lock open
//! all that time.

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::Duration;

use elector::core::Instant;
use elector::driver::clock;
use elector::driver::stores::sqlite::FileWatch;
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::prctl;
use nix::sys::signal::{SigSet, SigmaskHow, Signal, killpg, sigprocmask};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use nix::unistd::{Pid, getpgrp, setpgid};

use super::channel::{Channel, Order, Received, Report};
use super::keeper::{self, Next};
use crate::options::GuardianOptions;
use crate::os::child;
use crate::os::ended::Ended;
use crate::os::processes::{self, Change, Reaped};
use crate::os::signals::ENDING;
use crate::os::terminal::Terminal;

/// Runs the guardian to its end.
pub fn run(options: &GuardianOptions) -> io::Result<()> {
    processes::wait_for_children();
    let job = getpgrp();
    let (handled, mask) = block()?;
    match keeper::split(options.channel, &handled)? {
        Next::Exit => return Ok(()),
        Next::Guard => {}
    }
    let signals = SignalFd::with_flags(&handled, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?;
    let mut channel = adopt(options.channel)?;
    setpgid(Pid::from_raw(0), Pid::from_raw(0))?;
    prctl::set_name(c"elector-guard")?;
    prctl::set_child_subreaper(true)?;
    // The first extension starts the command. If there is none, `elector run` has died: nothing to do.
    let Received::Message(Order::Extend { soft, hard }) = channel.receive()? else { return Ok(()) };
    let place = watch_place(options);
    let reason = match place {
        Err(PlaceIsLost) => Some(Report::Displaced),
        Ok(_) if clock::now() >= soft => Some(Report::Expired),
        Ok(_) => None,
    };
    if let Some(reason) = reason {
        channel.send(reason);
        channel.send(Report::Gone);
        return Ok(());
    }
    let terminal = Terminal::of(job);
    let group = match start(&options.command, terminal, mask) {
        Ok(group) => group,
        Err(error) => {
            channel.send(Report::Failed(error.raw_os_error().unwrap_or(libc::EINVAL)));
            channel.send(Report::Gone);
            return Ok(());
        }
    };
    channel.send(Report::Started(group.as_raw()));
    channel.stream().set_nonblocking(true)?;
    let timer = TimerFd::new(ClockId::CLOCK_BOOTTIME, TimerFlags::TFD_CLOEXEC | TimerFlags::TFD_NONBLOCK)?;
    let mut watch = Watch {
        channel,
        signals,
        timer,
        terminal,
        group,
        leader_ended: false,
        policy: Policy {
            soft,
            hard,
            grace: Duration::from_millis(options.grace_ms),
            slack: Duration::from_millis(options.slack_ms),
            stopped_at: None,
        },
        parent_gone: false,
        place: place.unwrap_or_default(),
        displaced: false,
    };
    let result = watch.keep();
    if result.is_err() {
        // On any error: the command must not run without a guardian.
        processes::kill_until_none_is_left();
    }
    if let Some(terminal) = terminal {
        terminal.give_back(group);
    }
    watch.channel.send(Report::Gone);
    result
}

/// Takes over the inherited end of the channel, and keeps it from the command.
fn adopt(channel: RawFd) -> io::Result<Channel> {
    // SAFETY: the check that the descriptor is open comes first; nothing else in this process owns it.
    let channel = unsafe {
        if libc::fcntl(channel, libc::F_GETFD) < 0 {
            return Err(io::Error::last_os_error());
        }
        OwnedFd::from_raw_fd(channel)
    };
    fcntl(&channel, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
    Ok(Channel::new(UnixStream::from(channel)))
}

/// The store's path does not lead to the lock that we inherited.
struct PlaceIsLost;

/// Watches the files of the store, if it has any.
fn watch_place(options: &GuardianOptions) -> Result<Option<FileWatch>, PlaceIsLost> {
    match (&options.database, options.lock) {
        (Some(database), Some(lock)) => FileWatch::start(database, lock).map(Some).ok_or(PlaceIsLost),
        _ => Ok(None),
    }
}

/// Blocks the signals that the guardian and the keeper read, and the stop signals of the terminal, which they
/// ignore. Returns the set of the former, and the mask from before, for the command.
fn block() -> io::Result<(SigSet, SigSet)> {
    let mut handled = SigSet::empty();
    handled.extend(ENDING);
    handled.extend([Signal::SIGCHLD, keeper::ALARM]);
    let mut blocked = handled;
    blocked.extend([Signal::SIGTTIN, Signal::SIGTTOU, Signal::SIGTSTP]);
    let mut before = SigSet::empty();
    sigprocmask(SigmaskHow::SIG_BLOCK, Some(&blocked), Some(&mut before))?;
    Ok((handled, before))
}

/// Starts the command in a process group of its own that dies with this process.
fn start(command: &[OsString], terminal: Option<Terminal>, mask: SigSet) -> io::Result<Pid> {
    let (program, arguments) = command.split_first().ok_or(io::ErrorKind::InvalidInput)?;
    let mut command = Command::new(program);
    command.args(arguments).process_group(0);
    child::dies_with_us(&mut command);
    child::takes(&mut command, terminal.filter(|terminal| terminal.is_ours_alone()));
    child::has_mask(&mut command, mask);
    // The handle is dropped: `processes::reap` waits for all children alike.
    Ok(Pid::from_raw(command.spawn()?.id() as i32))
}

/// When to end the command.
#[derive(Clone, Copy, Debug)]
struct Policy {
    soft: Instant,
    hard: Instant,
    grace: Duration,
    slack: Duration,
    /// When SIGTERM was sent.
    stopped_at: Option<Instant>,
}

impl Policy {
    /// When SIGTERM is due, if it was not sent yet; never later than SIGKILL.
    fn stop_at(&self) -> Instant {
        self.soft.min(self.last_moment())
    }

    /// When SIGKILL is due: after the grace, and before trust ends in any case.
    fn kill_at(&self) -> Instant {
        let stopped = self.stopped_at.unwrap_or(self.stop_at());
        stopped.saturating_add(self.grace).min(self.last_moment())
    }

    fn next(&self) -> Instant {
        if self.stopped_at.is_some() { self.kill_at() } else { self.stop_at() }
    }

    fn last_moment(&self) -> Instant {
        self.hard.saturating_sub(self.slack)
    }
}

struct Watch {
    channel: Channel,
    signals: SignalFd,
    timer: TimerFd,
    terminal: Option<Terminal>,
    /// The command's process, which is also its process group.
    group: Pid,
    /// The command itself was reaped, so another process group may have its number.
    leader_ended: bool,
    policy: Policy,
    parent_gone: bool,
    /// The files of an SQLite store.
    place: Option<FileWatch>,
    /// The store's files were replaced or moved: the lease protects nothing, and no extension counts.
    displaced: bool,
}

impl Watch {
    /// Returns when no process of the command is left.
    fn keep(&mut self) -> io::Result<()> {
        while self.reap_all() {
            let now = clock::now();
            if !self.displaced && self.place.as_ref().is_some_and(FileWatch::is_lost) {
                self.displaced = true;
                self.channel.send(Report::Displaced);
                (self.policy.soft, self.policy.hard) = (Instant::ZERO, Instant::ZERO);
                self.stop(now);
            }
            // Reported first, even if both deadlines have passed: `elector run` must not take the exit that
            // follows for one of the command's own.
            if self.policy.stopped_at.is_none() && now >= self.policy.stop_at() {
                self.channel.send(Report::Expired);
                self.stop(now);
            }
            if now >= self.policy.kill_at() {
                processes::kill_children(self.live_group());
                self.sleep(Some(Duration::from_millis(2)))?;
            } else {
                self.sleep(None)?;
            }
            self.read_signals()?;
            self.read_orders()?;
        }
        Ok(())
    }

    /// Sends SIGTERM to all processes, once, and SIGCONT: a stopped process cannot act on SIGTERM.
    fn stop(&mut self, now: Instant) {
        if self.policy.stopped_at.is_none() {
            self.policy.stopped_at = Some(now);
            self.signal(Signal::SIGTERM);
            self.signal(Signal::SIGCONT);
        }
    }

    fn signal(&self, signal: Signal) {
        processes::signal_all(self.live_group(), signal);
    }

    fn live_group(&self) -> Option<Pid> {
        (!self.leader_ended).then_some(self.group)
    }

    /// Waits for a signal, an order, the next deadline or the next check of the files, for `at_most` if
    /// given.
    fn sleep(&self, at_most: Option<Duration>) -> io::Result<()> {
        // An absolute time of zero would disarm the timer.
        let next = Duration::from_nanos(self.policy.next().as_nanos().max(1));
        self.timer
            .set(Expiration::OneShot(TimeSpec::from_duration(next)), TimerSetTimeFlags::TFD_TIMER_ABSTIME)?;
        let place = self.place.as_ref().filter(|_| !self.displaced);
        let timeout = at_most
            .or(place.and_then(FileWatch::poll_every))
            .map_or(PollTimeout::NONE, |limit| PollTimeout::try_from(limit).unwrap_or(PollTimeout::ZERO));
        let mut wait = vec![PollFd::new(self.signals.as_fd(), PollFlags::POLLIN)];
        if at_most.is_none() {
            wait.push(PollFd::new(self.timer.as_fd(), PollFlags::POLLIN));
        }
        // A stream that has ended is always readable, so it is not waited for any more.
        if !self.parent_gone {
            wait.push(PollFd::new(self.channel.stream().as_fd(), PollFlags::POLLIN));
        }
        wait.extend(place.into_iter().flat_map(FileWatch::poll_fds));
        match poll(&mut wait, timeout) {
            Ok(_) | Err(Errno::EINTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Handles all changes of children. False if no child is left.
    fn reap_all(&mut self) -> bool {
        loop {
            match processes::reap() {
                Reaped::Child(pid, change) => self.child_changed(pid, change),
                Reaped::Nothing => return true,
                Reaped::NoChild => return false,
            }
        }
    }

    fn child_changed(&mut self, pid: Pid, change: Change) {
        if pid != self.group || self.leader_ended {
            return;
        }
        let ended = match change {
            Change::Exited(code) => Ended::Code(code),
            Change::Killed(signal) => Ended::Signal(signal),
            Change::Stopped(signal) => return self.stopped_by(signal),
            Change::Continued => return self.channel.send(Report::Continued),
        };
        self.leader_ended = true;
        self.channel.send(Report::Exited(ended));
        // Processes that the command left behind end with the term too.
        self.stop(clock::now());
    }

    /// The command was stopped by `signal`. By Ctrl-Z: the terminal goes back to the job, which is to stop
    /// too. For using the terminal while our job has it: it gets the terminal and goes on. Otherwise it is
    /// only reported.
    fn stopped_by(&self, signal: i32) {
        match self.terminal {
            Some(terminal) if terminal.is_lent_to(self.group) => {
                terminal.give_back(self.group);
                self.channel.send(Report::Suspended);
            }
            Some(terminal)
                if matches!(signal, libc::SIGTTIN | libc::SIGTTOU) && terminal.lend(self.group) =>
            {
                self.signal_group(Signal::SIGCONT);
            }
            _ => self.channel.send(Report::Stopped(signal)),
        }
    }

    fn read_signals(&mut self) -> io::Result<()> {
        while let Some(info) = self.signals.read_signal()? {
            let is = |signal: Signal| signal as u32 == info.ssi_signo;
            if is(keeper::ALARM) {
                self.channel.send(Report::Unkept);
            }
            if is(keeper::ALARM) || ENDING.into_iter().any(is) {
                self.stop(clock::now());
            }
        }
        Ok(())
    }

    fn read_orders(&mut self) -> io::Result<()> {
        while !self.parent_gone {
            match self.channel.receive()? {
                Received::Message(Order::Extend { .. }) if self.displaced => {}
                Received::Message(Order::Extend { soft, hard }) => {
                    self.policy.soft = soft;
                    self.policy.hard = hard;
                }
                Received::Message(Order::Signal(signal)) => self.signal_group(signal),
                Received::Message(Order::Continue) => self.resume(),
                Received::Message(Order::Stop) => self.stop(clock::now()),
                Received::Nothing => return Ok(()),
                Received::End => {
                    self.parent_gone = true;
                    self.stop(clock::now());
                }
            }
        }
        Ok(())
    }

    fn signal_group(&self, signal: Signal) {
        if let Some(group) = self.live_group() {
            let _ = killpg(group, signal);
            if ENDING.contains(&signal) {
                // A stopped process cannot act on it.
                let _ = killpg(group, Signal::SIGCONT);
            }
        }
    }

    fn resume(&self) {
        if let (Some(terminal), Some(group)) = (self.terminal, self.live_group()) {
            terminal.lend(group);
        }
        self.signal_group(Signal::SIGCONT);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy() -> Policy {
        Policy {
            soft: Instant::from_millis(1_000),
            hard: Instant::from_millis(2_000),
            grace: Duration::from_millis(300),
            slack: Duration::from_millis(50),
            stopped_at: None,
        }
    }

    #[test]
    fn term_comes_at_the_soft_deadline_and_kill_after_the_grace() {
        let mut policy = policy();
        assert_eq!(policy.next(), Instant::from_millis(1_000));
        policy.stopped_at = Some(Instant::from_millis(1_001));
        assert_eq!(policy.next(), Instant::from_millis(1_301));
    }

    #[test]
    fn kill_comes_before_trust_ends_whatever_the_grace_and_the_soft_deadline() {
        let late = Policy { grace: Duration::from_secs(60), soft: Instant::MAX, ..policy() };
        assert_eq!(late.stop_at(), Instant::from_millis(1_950));
        assert_eq!(late.kill_at(), Instant::from_millis(1_950));
        let stopped = Policy { stopped_at: Some(Instant::from_millis(500)), ..late };
        assert_eq!(stopped.next(), Instant::from_millis(1_950));
    }
}
