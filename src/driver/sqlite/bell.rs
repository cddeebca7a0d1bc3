//! Hears without asking: a thread that listens on the database's files and rings the hub's bell.
//!
//! * Somebody released a lease: it touched the lock file (`IN_ATTRIB`).
//! * A process ended: its descriptor of the lock file was closed (`IN_CLOSE_WRITE`). The kernel says so a
//!   moment before it frees the byte, so the bell rings again a little later.
//! * A file was deleted, renamed or replaced: [`Hint::Gone`].
//!
//! Renewals ring nothing. Where inotify(7) is not to be had, the thread looks at the clock instead.

use std::io;
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::files::{Identity, Paths};
use crate::core::Instant;
use crate::driver::rules::Opener;
use crate::driver::store::{Bell, Hint};
use crate::driver::{clock, descriptors, threads};

/// When to ring again after a process has ended.
const ECHOES: [Duration; 2] = [Duration::from_millis(5), Duration::from_millis(25)];
/// How often to ring where the kernel tells nothing.
const POLL_EVERY: Duration = Duration::from_millis(50);

/// The listening thread; it ends when this is dropped.
pub(super) struct Watcher {
    stop: UnixStream,
    opener: Opener,
}

impl Watcher {
    /// Starts to listen. `None` if the thread cannot be started: the store then works without a bell.
    ///
    /// # Errors
    /// When this process has no file descriptor left. inotify's own limits are no error: they are for all
    /// processes of a user, and reached by others.
    pub(super) fn start(paths: &Paths, identity: Identity, bell: Bell) -> io::Result<Option<Watcher>> {
        let (stop, stopped) = UnixStream::pair()?;
        let source = match kernel::Source::open(paths) {
            Ok(source) => source,
            Err(error) if descriptors::exhausted(1).is_some() => return Err(error),
            Err(error) => {
                let database = paths.database.display();
                tracing::warn!(%database, %error, "releases are looked for instead of heard of: no inotify \
                    (see fs.inotify.max_user_instances)");
                None
            }
        };
        let mut ears = Ears { source, identity, bell, echoes: Vec::new() };
        let started = threads::spawn("elector-bell", move || ears.listen(&stopped));
        Ok(started.ok().map(|_| Watcher { stop, opener: Opener::this_process() }))
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        // A forked child shares the socket with the parent's thread, which is to go on.
        if self.opener.is_this_process() {
            // Not joined: the bell may be what drops us.
            let _ = self.stop.shutdown(Shutdown::Both);
        }
    }
}

struct Ears {
    source: Option<kernel::Source>,
    identity: Identity,
    bell: Bell,
    /// When to ring again, latest first.
    echoes: Vec<Instant>,
}

/// What was heard since the last time.
#[derive(Clone, Copy, Default)]
struct Heard {
    released: bool,
    process_ended: bool,
    files_changed: bool,
}

impl Ears {
    fn listen(&mut self, stopped: &UnixStream) {
        // What happened before we listened.
        let mut heard = Heard { files_changed: true, ..Heard::default() };
        loop {
            if heard.files_changed && self.identity.lost_file().is_some() {
                (self.bell)(Hint::Gone);
                return;
            }
            if heard.process_ended {
                let now = clock::now();
                self.echoes = ECHOES.iter().rev().map(|after| now.saturating_add(*after)).collect();
            }
            if heard.released || heard.process_ended {
                (self.bell)(Hint::Any);
            }
            let Some(next) = self.wait(stopped) else { return };
            heard = next;
        }
    }

    /// What is heard next; `None` when the store is gone.
    fn wait(&mut self, stopped: &UnixStream) -> Option<Heard> {
        let timeout = match (self.echoes.last(), &self.source) {
            (Some(at), _) => timeout(at.saturating_since(clock::now())),
            (None, Some(_)) => PollTimeout::NONE,
            (None, None) => timeout(POLL_EVERY),
        };
        let mut fds = vec![PollFd::new(stopped.as_fd(), PollFlags::POLLIN)];
        fds.extend(self.source.as_ref().map(|source| PollFd::new(source.as_fd(), PollFlags::POLLIN)));
        // An interruption counts as a timeout: it only makes us look.
        let _ = poll(&mut fds, timeout);
        if fds[0].any().unwrap_or(true) {
            return None;
        }
        let mut heard = match &self.source {
            Some(source) => source.read(&self.identity),
            None => Heard { released: true, files_changed: true, ..Heard::default() },
        };
        let now = clock::now();
        while self.echoes.last().is_some_and(|at| *at <= now) {
            self.echoes.pop();
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

#[cfg(target_os = "linux")]
mod kernel {
    use std::io;
    use std::os::fd::{AsFd, BorrowedFd};

    use nix::sys::inotify::{AddWatchFlags as On, InitFlags, Inotify, WatchDescriptor};

    use super::super::files::{Identity, Paths};
    use super::Heard;

    /// The kernel's reports about the lock file and about the directory.
    pub(super) struct Source {
        inotify: Inotify,
        lock: WatchDescriptor,
    }

    impl Source {
        pub(super) fn open(paths: &Paths) -> io::Result<Option<Source>> {
            let inotify = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)?;
            // A deleted file that is still open reports only IN_ATTRIB; its directory says more.
            let lock = inotify.add_watch(&paths.lock, On::IN_ATTRIB | On::IN_CLOSE_WRITE)?;
            let directory =
                On::IN_DELETE | On::IN_MOVE | On::IN_CREATE | On::IN_DELETE_SELF | On::IN_MOVE_SELF;
            inotify.add_watch(paths.directory(), directory | On::IN_ONLYDIR)?;
            Ok(Some(Source { inotify, lock }))
        }

        pub(super) fn read(&self, identity: &Identity) -> Heard {
            let mut heard = Heard::default();
            for event in self.inotify.read_events().unwrap_or_default() {
                if event.mask.contains(On::IN_Q_OVERFLOW) {
                    return Heard { released: true, process_ended: true, files_changed: true };
                }
                if event.wd == self.lock {
                    heard.process_ended |= event.mask.contains(On::IN_CLOSE_WRITE);
                    heard.released |= event.mask.contains(On::IN_ATTRIB);
                    heard.files_changed = true;
                } else {
                    heard.files_changed |= event.name.as_deref().is_none_or(|name| identity.names(name));
                }
            }
            heard
        }
    }

    impl AsFd for Source {
        fn as_fd(&self) -> BorrowedFd<'_> {
            self.inotify.as_fd()
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod kernel {
    use std::io;
    use std::os::fd::{AsFd, BorrowedFd};

    use super::super::files::{Identity, Paths};
    use super::Heard;

    /// There is none.
    pub(super) enum Source {}

    impl Source {
        pub(super) fn open(_paths: &Paths) -> io::Result<Option<Source>> {
            Ok(None)
        }

        pub(super) fn read(&self, _identity: &Identity) -> Heard {
            match *self {}
        }
    }

    impl AsFd for Source {
        fn as_fd(&self) -> BorrowedFd<'_> {
            match *self {}
        }
    }
}
