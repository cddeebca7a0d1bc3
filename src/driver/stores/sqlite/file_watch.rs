//! The place of a store, watched from another process.

use std::os::fd::RawFd;
use std::path::Path;
use std::time::Duration;

use nix::poll::PollFd;

use super::files::{Identity, Paths};
use super::watch::{POLL_EVERY, Source};
use crate::driver::host::descriptor::file_of;

/// Watches the files of a store for a process that has inherited its lock, such as the guardian of a command:
/// it notices that a lease protects nothing any more even while the process that opened the store is stopped.
pub struct FileWatch {
    identity: Identity,
    source: Option<Source>,
}

impl FileWatch {
    /// Watches from now on; `lock` is the inherited descriptor of the lock file. `None` if the path does not
    /// lead to that file and the others beside it.
    #[must_use]
    pub fn start(database: &Path, lock: RawFd) -> Option<FileWatch> {
        let paths = Paths::of(database);
        // Before the files are looked at, so that nothing happens unheard in between.
        let source = Source::open(&paths).ok().flatten();
        let identity = Identity::read(&paths).ok()?;
        (file_of(lock) == Some(identity.lock())).then_some(FileWatch { identity, source })
    }

    /// What poll(2) is to wait for; then call [`FileWatch::is_lost`].
    pub fn poll_fds(&self) -> impl Iterator<Item = PollFd<'_>> {
        self.source.iter().flat_map(Source::poll_fds)
    }

    /// How often to call [`FileWatch::is_lost`] besides, if the kernel does not tell of everything: the processes
    /// of a user may have used up their inotify(7) instances.
    #[must_use]
    pub fn poll_every(&self) -> Option<Duration> {
        let sees_all = self.source.as_ref().is_some_and(Source::sees_all);
        (!sees_all).then_some(POLL_EVERY)
    }

    /// Whether the path leads elsewhere by now: a file was deleted or replaced, the directory moved, another
    /// file system mounted over it.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        if let Some(source) = &self.source {
            source.read();
        }
        self.identity.loss().is_some()
    }
}
