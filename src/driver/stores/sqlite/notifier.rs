//! Hears without asking: a thread that listens on the database's files and rings the hub's notifier.
//!
//! * Somebody released a lease: it touched the lock file (`IN_ATTRIB`).
//! * A process ended: its descriptor of the lock file was closed (`IN_CLOSE_WRITE`). The kernel says so a
//!   moment before it frees the byte, so the notifier rings again a little later.
//! * A file was deleted, renamed or replaced, its directory moved, or another file system mounted over it:
//!   [`Hint::Gone`].
//! * The program closed our end of the socket that ends this thread, so others of the store's descriptors may
//!   be closed as well: [`Hint::Gone`] too.
//!
//! Renewals ring nothing. Where inotify(7) is not to be had, the thread looks at the clock instead, and where
//! a directory above may not be read, so that it cannot be watched, at the files.

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

/// When to ring again after a process has ended.
const REPEATS: [Duration; 2] = [Duration::from_millis(5), Duration::from_millis(25)];

/// The listening thread; it ends when this is dropped.
pub(super) struct Watcher {
    stop: Descriptor,
    opener: Opener,
    state: Arc<ThreadState>,
}

/// How the thread ends.
#[derive(Default)]
struct ThreadState {
    is_dropped: AtomicBool,
    has_failed: AtomicBool,
}

impl Watcher {
    /// Starts to listen. `None` if the thread cannot be started: the store then works without a notifier.
    ///
    /// # Errors
    /// When this process has no file descriptor left. inotify's own limits are no error: they are for all
    /// processes of a user, and reached by others.
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
                tracing::warn!(%database, %error, "releases are looked for instead of heard of: no inotify \
                    (see fs.inotify.max_user_instances)");
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

    /// Whether the thread no longer listens, or cannot be told to end, since others closed descriptors of it.
    pub(super) fn has_failed(&self) -> bool {
        self.state.has_failed.load(Ordering::Acquire) || !self.stop.is_ours()
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.state.is_dropped.store(true, Ordering::Release);
        // A forked child shares the socket with the parent's thread, which is to go on.
        if self.opener.is_this_process() && self.stop.is_ours() {
            // Not joined: the notifier may be what drops us.
            // SAFETY: a number that is ours, and a constant.
            unsafe { libc::shutdown(self.stop.as_raw_fd(), libc::SHUT_RDWR) };
        }
    }
}

struct WatchThread {
    source: Option<Source>,
    identity: Identity,
    notifier: Notifier,
    /// Becomes readable when the store is gone, or when the other end was closed by others.
    stopped: Descriptor,
    state: Arc<ThreadState>,
    /// When to ring again, latest first.
    repeats: Vec<Instant>,
}

impl WatchThread {
    fn run(&mut self) {
        let mut events = FileEvents::default();
        loop {
            // Something may also have happened before we listened.
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

    /// Not of a store that was dropped: a new one may be open at that path.
    fn notify_gone(&self) {
        if !self.state.is_dropped.load(Ordering::Acquire) {
            (self.notifier)(Hint::Gone);
        }
    }

    /// None of our numbers is closed: each may be the program's or the next store's by now.
    fn disown(&self) {
        self.stopped.disown();
        self.source.iter().for_each(Source::disown);
    }

    /// What is heard next; `None` when there is nothing more to hear.
    fn wait(&mut self) -> Option<FileEvents> {
        let timeout = match (self.repeats.last(), &self.source) {
            (Some(at), _) => timeout(at.saturating_since(clock::now())),
            (None, Some(source)) if source.sees_all() => PollTimeout::NONE,
            (None, _) => timeout(POLL_EVERY),
        };
        let mut fds = vec![PollFd::new(self.stopped.as_fd(), PollFlags::POLLIN)];
        fds.extend(self.source.iter().flat_map(Source::poll_fds));
        // An interruption counts as a timeout: it only makes us look.
        let _ = poll(&mut fds, timeout);
        let is_stopped = fds[0].any().unwrap_or(true);
        drop(fds);
        if self.state.is_dropped.load(Ordering::Acquire) {
            if !self.stopped.is_ours() {
                self.disown();
            }
            return None;
        }
        // Nothing is read from descriptors whose numbers the program may have reused.
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

/// A timeout of poll(2) that is not shorter than `wait`: it counts whole milliseconds.
fn timeout(wait: Duration) -> PollTimeout {
    let millis = wait.as_micros().div_ceil(1_000);
    PollTimeout::try_from(millis).unwrap_or(PollTimeout::MAX)
}
