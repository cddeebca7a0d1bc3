//! Hints without polling: a thread that watches the database's files and calls the hub's notifier.
//!
//! * A release of a lease: the process touched the lock file (`IN_ATTRIB`).
//! * The end of a process: its descriptor of the lock file was closed (`IN_CLOSE_WRITE`). The kernel reports
//!   that a moment before it unlocks the byte, so the thread calls the notifier again a little later.
//! * A file was deleted, renamed or replaced, its directory moved, or another file system mounted over it:
//!   the thread gives [`Hint::Gone`].
//! * The program closed our end of the socket that ends this thread, so other descriptors of the store may be
//!   closed as well: the thread gives [`Hint::Gone`] too.
//!
//! Renewals cause no event. Without inotify(7) the thread gives a hint at a fixed interval instead. If a
//! directory above may not be read, and so cannot be watched, it checks the files at that interval.

use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::above_standard::above_standard;
use super::files::{Identity, Paths};
use super::watch::{FileEvents, POLL_EVERY, Source};
use crate::core::Instant;
use crate::driver::host::descriptor::Descriptor;
use crate::driver::host::{clock, descriptor_limit, threads};
use crate::driver::stores::opener::Opener;
use crate::driver::stores::{Hint, Notifier};

/// When to call the notifier again after a process has ended.
const REPEATS: [Duration; 2] = [Duration::from_millis(5), Duration::from_millis(25)];

/// The handle of the watching thread, which ends when this is dropped.
pub(super) struct Watcher {
    stop: Descriptor,
    opener: Opener,
    state: Arc<ThreadState>,
}

/// The state that the handle and the thread share.
#[derive(Default)]
struct ThreadState {
    is_dropped: AtomicBool,
    has_failed: AtomicBool,
}

impl Watcher {
    /// Starts the thread. `None` if the system cannot start one: the store then works without hints.
    ///
    /// # Errors
    /// When this process has no file descriptor left. Reaching inotify's own limits is no error, since other
    /// processes of the user count too.
    pub(super) fn start(
        paths: &Paths,
        identity: Identity,
        notifier: Notifier,
    ) -> io::Result<Option<Watcher>> {
        let (stop, stopped) = UnixStream::pair()?;
        let (stop, stopped) = (above_standard(stop)?, above_standard(stopped)?);
        let source = match Source::open(paths) {
            Ok(source) => source,
            Err(error) if descriptor_limit::exhausted(1).is_some() => return Err(error),
            Err(error) => {
                let database = paths.database.display();
                tracing::warn!(%database, %error, "inotify cannot be used, so releases are found only by \
                    polling (see fs.inotify.max_user_instances)");
                None
            }
        };
        let (stopped, state) = (Descriptor::new(stopped), Arc::<ThreadState>::default());
        let mut thread = WatchThread {
            source,
            identity,
            notifier,
            stopped,
            state: Arc::clone(&state),
            repeats: Vec::new(),
        };
        let started = threads::spawn("elector-notify", move || thread.run());
        let (stop, opener) = (Descriptor::new(stop), Opener::this_process());
        Ok(started.ok().map(|_| Watcher { stop, opener, state }))
    }

    /// Whether the thread has ended, or cannot be ended, because the program closed descriptors of it.
    pub(super) fn has_failed(&self) -> bool {
        self.state.has_failed.load(Ordering::Acquire) || !self.stop.is_ours()
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.state.is_dropped.store(true, Ordering::Release);
        // A forked child shares the socket with the parent's thread, which must go on.
        if self.opener.is_this_process() && self.stop.is_ours() {
            // The thread is not joined, since this drop may run in the notifier, on that very thread.
            // SAFETY: the descriptor is ours, and the other argument is a constant.
            unsafe { libc::shutdown(self.stop.as_raw_fd(), libc::SHUT_RDWR) };
        }
    }
}

struct WatchThread {
    source: Option<Source>,
    identity: Identity,
    notifier: Notifier,
    /// Becomes readable when the handle is dropped, or when the program has closed the other end.
    stopped: Descriptor,
    state: Arc<ThreadState>,
    /// When to call the notifier again, latest first.
    repeats: Vec<Instant>,
}

impl WatchThread {
    fn run(&mut self) {
        let mut events = FileEvents::default();
        loop {
            // Checked first, since the files may have changed before the watch began.
            if self.identity.loss().is_some() {
                return self.notify_gone();
            }
            if events.process_ended {
                let now = clock::now();
                self.repeats = REPEATS.iter().rev().map(|after| now.saturating_add(*after)).collect();
            }
            if events.released || events.process_ended {
                (self.notifier)(Hint::Any);
            }
            let Some(next) = self.wait() else { return };
            events = next;
        }
    }

    /// Gives [`Hint::Gone`], unless the store was dropped: a new store may be open at that path.
    fn notify_gone(&self) {
        if !self.state.is_dropped.load(Ordering::Acquire) {
            (self.notifier)(Hint::Gone);
        }
    }

    /// Gives up all descriptors without closing them, since each number may belong to the program or to the
    /// next store by now.
    fn disown(&self) {
        self.stopped.disown();
        self.source.iter().for_each(Source::disown);
    }

    /// Waits for the next events; `None` when the thread must end.
    fn wait(&mut self) -> Option<FileEvents> {
        let timeout = match (self.repeats.last(), &self.source) {
            (Some(at), _) => timeout(at.saturating_since(clock::now())),
            (None, Some(source)) if source.sees_all() => PollTimeout::NONE,
            (None, _) => timeout(POLL_EVERY),
        };
        let mut fds = vec![PollFd::new(self.stopped.as_fd(), PollFlags::POLLIN)];
        fds.extend(self.source.iter().flat_map(Source::poll_fds));
        // An interruption counts as a timeout, which only causes one more check.
        let _ = poll(&mut fds, timeout);
        let is_stopped = fds[0].any().unwrap_or(true);
        drop(fds);
        if self.state.is_dropped.load(Ordering::Acquire) {
            if !self.stopped.is_ours() {
                self.disown();
            }
            return None;
        }
        // The thread must not read from descriptors whose numbers the program may have reused.
        if is_stopped || !self.stopped.is_ours() || !self.source.iter().all(Source::is_ours) {
            self.disown();
            self.state.has_failed.store(true, Ordering::Release);
            self.notify_gone();
            return None;
        }
        let mut events = match &self.source {
            Some(source) => source.read(),
            None => FileEvents { released: true, ..FileEvents::default() },
        };
        let now = clock::now();
        while self.repeats.last().is_some_and(|at| *at <= now) {
            self.repeats.pop();
            events.released = true;
        }
        Some(events)
    }
}

/// `wait` as a timeout of poll(2), rounded up to whole milliseconds.
fn timeout(wait: Duration) -> PollTimeout {
    let millis = wait.as_micros().div_ceil(1_000);
    PollTimeout::try_from(millis).unwrap_or(PollTimeout::MAX)
}
