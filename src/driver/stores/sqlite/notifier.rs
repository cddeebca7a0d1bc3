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
use super::watch::{Heard, POLL_EVERY, Source};
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
    fate: Arc<Fate>,
}

/// How the thread ends.
#[derive(Default)]
struct Fate {
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
        let (stopped, fate) = (Descriptor::new(stopped), Arc::<Fate>::default());
        let mut listener =
            Listener { source, identity, notifier, stopped, fate: Arc::clone(&fate), repeats: Vec::new() };
        let started = threads::spawn("elector-notify", move || listener.listen());
        let (stop, opener) = (Descriptor::new(stop), Opener::this_process());
        Ok(started.ok().map(|_| Watcher { stop, opener, fate }))
    }

    /// Whether the thread no longer listens, or cannot be told to end, since others closed descriptors of it.
    pub(super) fn has_failed(&self) -> bool {
        self.fate.has_failed.load(Ordering::Acquire) || !self.stop.is_ours()
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.fate.is_dropped.store(true, Ordering::Release);
        // A forked child shares the socket with the parent's thread, which is to go on.
        if self.opener.is_this_process() && self.stop.is_ours() {
            // Not joined: the notifier may be what drops us.
            // SAFETY: a number that is ours, and a constant.
            unsafe { libc::shutdown(self.stop.as_raw_fd(), libc::SHUT_RDWR) };
        }
    }
}

struct Listener {
    source: Option<Source>,
    identity: Identity,
    notifier: Notifier,
    /// Becomes readable when the store is gone, or when the other end was closed by others.
    stopped: Descriptor,
    fate: Arc<Fate>,
    /// When to ring again, latest first.
    repeats: Vec<Instant>,
}

impl Listener {
    fn listen(&mut self) {
        let mut heard = Heard::default();
        loop {
            // Something may also have happened before we listened.
            if self.identity.loss().is_some() {
                return self.ring_gone();
            }
            if heard.process_ended {
                let now = clock::now();
                self.repeats = REPEATS.iter().rev().map(|after| now.saturating_add(*after)).collect();
            }
            if heard.released || heard.process_ended {
                (self.notifier)(Hint::Any);
            }
            let Some(next) = self.wait() else { return };
            heard = next;
        }
    }

    /// Not of a store that was dropped: a new one may be open at that path.
    fn ring_gone(&self) {
        if !self.fate.is_dropped.load(Ordering::Acquire) {
            (self.notifier)(Hint::Gone);
        }
    }

    /// None of our numbers is closed: each may be the program's or the next store's by now.
    fn leave(&self) {
        self.stopped.leave();
        self.source.iter().for_each(Source::leave);
    }

    /// What is heard next; `None` when there is nothing more to hear.
    fn wait(&mut self) -> Option<Heard> {
        let timeout = match (self.repeats.last(), &self.source) {
            (Some(at), _) => timeout(at.saturating_since(clock::now())),
            (None, Some(source)) if source.hears_all() => PollTimeout::NONE,
            (None, _) => timeout(POLL_EVERY),
        };
        let mut fds = vec![PollFd::new(self.stopped.as_fd(), PollFlags::POLLIN)];
        fds.extend(self.source.iter().flat_map(Source::to_poll));
        // An interruption counts as a timeout: it only makes us look.
        let _ = poll(&mut fds, timeout);
        let is_stopped = fds[0].any().unwrap_or(true);
        drop(fds);
        if self.fate.is_dropped.load(Ordering::Acquire) {
            if !self.stopped.is_ours() {
                self.leave();
            }
            return None;
        }
        // Nothing is read from descriptors whose numbers the program may have reused.
        if is_stopped || !self.stopped.is_ours() || !self.source.iter().all(Source::is_ours) {
            self.leave();
            self.fate.has_failed.store(true, Ordering::Release);
            self.ring_gone();
            return None;
        }
        let mut heard = match &self.source {
            Some(source) => source.read(),
            None => Heard { released: true, ..Heard::default() },
        };
        let now = clock::now();
        while self.repeats.last().is_some_and(|at| *at <= now) {
            self.repeats.pop();
            heard.released = true;
        }
        Some(heard)
    }
}

/// A timeout of poll(2) that is not shorter than `wait`: it counts whole milliseconds.
fn timeout(wait: Duration) -> PollTimeout {
    let millis = wait.as_micros().div_ceil(1_000);
    PollTimeout::try_from(millis).unwrap_or(PollTimeout::MAX)
}
