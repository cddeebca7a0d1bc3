//! Watches the files of a store from another process.

use std::os::fd::RawFd;
use std::path::Path;
use std::time::Duration;

use nix::poll::PollFd;

use super::files::{Identity, Paths};
use super::watch::{POLL_EVERY, Source};
use crate::driver::host::descriptor::file_of;

/// A watch on the files of a store, for a process that has inherited the store's lock, such as the guardian
/// of a command. It detects that the files are lost, and so the leases void, even while the process that
/// opened the store is stopped.
pub struct FileWatch {
    identity: Identity,
    source: Option<Source>,
}

impl FileWatch {
    /// Starts to watch the files of the database at this path. `lock` is the inherited descriptor of the lock
    /// file. Returns `None` if that file, or another file of the database, is not at its path.
    #[must_use]
    pub fn start(database: &Path, lock: RawFd) -> Option<FileWatch> {
        let paths = Paths::of(database);
        // Opened before the files are read, so that no change in between is missed.
        let source = Source::open(&paths).ok().flatten();
        let identity = Identity::read(&paths).ok()?;
        (file_of(lock) == Some(identity.lock())).then_some(FileWatch { identity, source })
    }

    /// The descriptors for poll(2) to wait on. When one is ready, call [`FileWatch::is_lost`].
    pub fn poll_fds(&self) -> impl Iterator<Item = PollFd<'_>> {
        self.source.iter().flat_map(Source::poll_fds)
    }

    /// How often to call [`FileWatch::is_lost`] without an event; `None` if the kernel reports every change.
    /// It may not, for example because the processes of the user have used up their inotify(7) instances.
    #[must_use]
    pub fn poll_every(&self) -> Option<Duration> {
        let sees_all = self.source.as_ref().is_some_and(Source::sees_all);
        (!sees_all).then_some(POLL_EVERY)
    }

    /// Whether the paths no longer lead to the files: a file was deleted or replaced, the directory moved, or
    /// another file system mounted over it.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        if let Some(source) = &self.source {
            source.read();
        }
        self.identity.loss().is_some()
    }
}
