//! One term of `elector run`: its guardian, as `elector run` sees it.

use std::ffi::OsString;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::thread;
use std::time::Duration;

use elector::core::Instant;
use elector::driver::descriptor::Descriptor;
use nix::sys::signal::{SigSet, Signal, kill};
use nix::unistd::Pid;

use super::channel::{Channel, Order, Received, Report};
use super::keeper;
use crate::os::child;

/// What a guardian is started with.
pub struct Plan<'a> {
    /// The command and its arguments.
    pub command: &'a [OsString],
    /// Environment variables of the command in addition to ours.
    pub environment: Vec<(&'static str, String)>,
    /// Between SIGTERM and SIGKILL.
    pub grace: Duration,
    /// How long before the hard deadline SIGKILL comes at the latest.
    pub slack: Duration,
    /// The signal mask that we were started with, for the command.
    pub mask: SigSet,
    /// The store's file lock; keeper and guardian hold it until they end.
    pub lock: Option<Arc<Descriptor>>,
    /// The store's file, to be watched.
    pub database: Option<&'a Path>,
}

/// A running guardian, and the keeper above it.
pub struct Term {
    keeper: Child,
    channel: Channel,
}

impl Term {
    /// Starts a guardian; the first [`Term::extend`] starts the command. The guardian's reports are sent to
    /// `reports`, and `None` after it has ended.
    pub fn start<M: From<Option<Report>> + Send + 'static>(
        plan: &Plan<'_>,
        reports: Sender<M>,
    ) -> io::Result<Term> {
        let (near, far) = UnixStream::pair()?;
        let mut command = Command::new("/proc/self/exe");
        command
            .arg0("elector")
            .arg("guardian")
            .arg(format!("--channel={}", far.as_raw_fd()))
            .arg(format!("--grace-ms={}", plan.grace.as_millis()))
            .arg(format!("--slack-ms={}", plan.slack.as_millis()));
        if let (Some(lock), Some(database)) = (&plan.lock, plan.database) {
            command.arg(format!("--lock={}", lock.as_raw_fd())).arg("--database").arg(database);
        }
        command
            .arg("--")
            .args(plan.command)
            .envs(plan.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::inherit());
        child::has_mask(&mut command, plan.mask);
        child::inherits(&mut command, &far);
        if let Some(lock) = &plan.lock {
            child::inherits(&mut command, &**lock);
        }
        let keeper = command.spawn()?;
        drop(far);
        let mut incoming = Channel::new(near.try_clone()?);
        thread::Builder::new().name("guardian".into()).spawn(move || {
            while let Ok(Received::Message(report)) = incoming.receive() {
                if reports.send(Some(report).into()).is_err() {
                    return;
                }
            }
            let _ = reports.send(None.into());
        })?;
        // A stopped guardian reads nothing, and must not block this thread.
        near.set_write_timeout(Some(Duration::from_millis(10)))?;
        Ok(Term { keeper, channel: Channel::new(near) })
    }

    /// Lets the command run until `soft`; all its processes end by `hard`.
    pub fn extend(&self, soft: Instant, hard: Instant) {
        self.channel.send(Order::Extend { soft, hard });
    }

    /// Passes a signal on to the command.
    pub fn signal(&self, signal: Signal) {
        self.channel.send(Order::Signal(signal));
    }

    /// Continues the command in the terminal after Ctrl-Z and `fg` or `bg`.
    pub fn resume(&self) {
        self.channel.send(Order::Continue);
    }

    /// Ends the command: SIGTERM, the grace, SIGKILL.
    pub fn stop(&self) {
        self.channel.send(Order::Stop);
    }

    /// Kills the guardian, and the command with it: for a guardian that misses its deadline.
    pub fn kill(&self) {
        // A stopped keeper cannot act on a signal.
        self.signal_keeper(Signal::SIGCONT);
        self.signal_keeper(keeper::ALARM);
    }

    /// The keeper's process.
    pub fn keeper(&self) -> Pid {
        Pid::from_raw(self.keeper.id() as i32)
    }

    /// Whether the keeper has ended, and so no process of the command is left. Other children of this process
    /// are not reaped.
    pub fn is_gone(&mut self) -> bool {
        !matches!(self.keeper.try_wait(), Ok(None))
    }

    /// The keeper is our child, so no other process has its number until [`Term::is_gone`] has reaped it.
    fn signal_keeper(&self, signal: Signal) {
        let _ = kill(self.keeper(), signal);
    }
}
