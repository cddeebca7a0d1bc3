//! The kernel's reports about a database's files: inotify(7) reports changes of the files and of the
//! directories above, and the mount table (proc_pid_mountinfo(5)) file systems that are mounted over them.

use std::time::Duration;

/// How often to check the files where the kernel does not report every change.
pub(super) const POLL_EVERY: Duration = Duration::from_millis(50);

/// The events since the last read.
#[derive(Clone, Copy, Default)]
pub(super) struct FileEvents {
    pub released: bool,
    pub process_ended: bool,
}

#[cfg(target_os = "linux")]
pub(super) use kernel::Source;
#[cfg(not(target_os = "linux"))]
pub(super) use unsupported::Source;

#[cfg(target_os = "linux")]
mod kernel {
    use std::fs::{self, File};
    use std::io;
    use std::mem::ManuallyDrop;
    use std::os::fd::{AsFd, AsRawFd, FromRawFd, IntoRawFd, RawFd};
    use std::sync::atomic::{AtomicBool, Ordering};

    use nix::poll::{PollFd, PollFlags};
    use nix::sys::inotify::{AddWatchFlags as On, InitFlags, Inotify, WatchDescriptor};

    use super::super::above_standard::above_standard;
    use super::super::files::{Paths, file_id};
    use super::FileEvents;
    use crate::driver::host::descriptor::{Descriptor, FileId, file_of};

    /// The kernel's reports about the lock file, the directories above it and the mounts.
    pub(in super::super) struct Source {
        inotify: ManuallyDrop<Inotify>,
        /// Every directory above and the mount table are watched, so no change of the paths is missed.
        sees_all: bool,
        /// The identity of `inotify`, which all inotify descriptors of the system share.
        file: Option<FileId>,
        lock: WatchDescriptor,
        /// The lock file's inode as it appears in the kernel's description of `inotify`; `None` if there is
        /// no description, or it names another inode (on a stacked file system such as overlayfs).
        mark: Option<String>,
        is_disowned: AtomicBool,
        /// The mount table. `None` without /proc: then only the check before each batch finds a file system
        /// that was mounted over the files.
        mounts: Option<Descriptor>,
    }

    /// Which file a descriptor is assumed to lead to if the kernel's description of it cannot be read.
    #[derive(Clone, Copy, PartialEq, Eq)]
    enum IfUnreadable {
        /// The one that was opened.
        Ours,
        /// Another one, of the program.
        Other,
    }

    impl Source {
        pub(in super::super) fn open(paths: &Paths) -> io::Result<Option<Source>> {
            let inotify = above_standard(Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)?)?;
            // SAFETY: the number is open, and nothing else owns it.
            let inotify = unsafe { Inotify::from_raw_fd(inotify.into_raw_fd()) };
            // A deleted file that is still open reports only IN_ATTRIB, so its directory is watched too.
            let lock = inotify.add_watch(&paths.lock, On::IN_ATTRIB | On::IN_CLOSE_WRITE)?;
            let itself = On::IN_DELETE_SELF | On::IN_MOVE_SELF | On::IN_ONLYDIR;
            let inside = On::IN_DELETE | On::IN_MOVE | On::IN_CREATE;
            inotify.add_watch(paths.directory(), inside | itself)?;
            let mut sees_all = true;
            for above in paths.directory().ancestors().skip(1) {
                // A directory without read permission cannot be watched.
                sees_all &= inotify.add_watch(above, itself).is_ok();
            }
            let Some((_, inode)) = file_id(&paths.lock) else { return Ok(None) };
            let number = inotify.as_fd().as_raw_fd();
            let mark = format!(" ino:{inode:x} ");
            let mark = described(number).is_some_and(|text| text.contains(&mark)).then_some(mark);
            let mounts =
                File::open("/proc/self/mountinfo").and_then(above_standard).ok().map(Descriptor::new);
            let sees_all = sees_all && mounts.is_some();
            let (file, is_disowned) = (file_of(number), AtomicBool::new(false));
            let inotify = ManuallyDrop::new(inotify);
            Ok(Some(Source { inotify, sees_all, file, lock, mark, is_disowned, mounts }))
        }

        /// The descriptors for poll(2) to wait on.
        pub(in super::super) fn poll_fds(&self) -> impl Iterator<Item = PollFd<'_>> {
            let mounts = self.mounts.as_ref().map(|mounts| PollFd::new(mounts.as_fd(), PollFlags::POLLPRI));
            [PollFd::new(self.inotify.as_fd(), PollFlags::POLLIN)].into_iter().chain(mounts)
        }

        /// Whether every change of the paths is reported.
        pub(in super::super) fn sees_all(&self) -> bool {
            self.sees_all
        }

        /// Gives up the descriptors without closing them, like [`Descriptor::disown`].
        pub(in super::super) fn disown(&self) {
            self.is_disowned.store(true, Ordering::Release);
            self.mounts.iter().for_each(Descriptor::disown);
        }

        /// Whether the descriptors still lead to the opened files.
        pub(in super::super) fn is_ours(&self) -> bool {
            self.is_our_inotify(IfUnreadable::Ours) && self.mounts.as_ref().is_none_or(Descriptor::is_ours)
        }

        /// Whether `inotify` is still ours. All inotify descriptors have the same inode, so the kernel's
        /// description must also name the lock file, if it did at first. If the description cannot be read
        /// now, `assumed` decides.
        fn is_our_inotify(&self, assumed: IfUnreadable) -> bool {
            let number = self.inotify.as_fd().as_raw_fd();
            let unread = assumed == IfUnreadable::Ours;
            let names_lock = |mark: &String| described(number).map_or(unread, |text| text.contains(mark));
            !self.is_disowned.load(Ordering::Acquire)
                && self.file.is_some()
                && self.file == file_of(number)
                && self.mark.as_ref().is_none_or(names_lock)
        }

        /// Reads the events of the lock file. Events of other files are not returned, since the caller checks
        /// all paths after each wake-up, which takes some microseconds.
        pub(in super::super) fn read(&self) -> FileEvents {
            let mut events = FileEvents::default();
            for event in self.inotify.read_events().unwrap_or_default() {
                let is_lost = event.mask.contains(On::IN_Q_OVERFLOW);
                let of_lock = |kind| event.wd == self.lock && event.mask.contains(kind);
                events.process_ended |= is_lost || of_lock(On::IN_CLOSE_WRITE);
                events.released |= is_lost || of_lock(On::IN_ATTRIB);
            }
            events
        }
    }

    /// The kernel's description of an open file; `None` if it cannot be read.
    fn described(number: RawFd) -> Option<String> {
        fs::read_to_string(format!("/proc/self/fdinfo/{number}")).ok()
    }

    impl Drop for Source {
        fn drop(&mut self) {
            // If that is not certain, the descriptor is leaked, which is less harmful than closing one of the
            // program's.
            if self.is_our_inotify(IfUnreadable::Other) {
                // SAFETY: the descriptor is not used again.
                unsafe { ManuallyDrop::drop(&mut self.inotify) };
            }
        }
    }

    #[cfg(test)]
    mod tests {
        use std::os::fd::OwnedFd;
        use std::os::unix::net::UnixStream;
        use std::path::Path;

        use super::*;

        fn source(directory: &Path) -> Source {
            let paths = Paths::of(&directory.join("a.db"));
            File::create(&paths.lock).unwrap();
            Source::open(&paths).unwrap().unwrap()
        }

        /// Makes the source's number lead to another file. The returned value must be the only owner of the
        /// number.
        fn take(source: &Source, other: impl AsRawFd) -> OwnedFd {
            let number = source.inotify.as_fd().as_raw_fd();
            // SAFETY: both numbers are open; the source closes its own only if it is not this file's.
            unsafe {
                assert_eq!(libc::dup2(other.as_raw_fd(), number), number);
                OwnedFd::from_raw_fd(number)
            }
        }

        #[test]
        fn a_disowned_source_does_not_close_the_descriptor_of_the_next_one() {
            let directory = tempfile::tempdir().unwrap();
            let (old, next) = (source(directory.path()), source(directory.path()));
            let kept = take(&old, next.inotify.as_fd());
            assert!(old.is_ours(), "the mark is the same");
            old.disown();
            assert!(!old.is_ours());
            drop(old);
            assert_eq!(file_of(kept.as_raw_fd()), next.file);
        }

        #[test]
        fn without_a_mark_only_an_inotify_descriptor_counts_as_ours() {
            let directory = tempfile::tempdir().unwrap();
            let source = {
                let mut source = source(directory.path());
                source.mark = None;
                source
            };
            assert!(source.is_ours());
            let (near, _far) = UnixStream::pair().unwrap();
            let kept = take(&source, near.as_fd());
            assert!(!source.is_ours());
            drop(source);
            assert_eq!(file_of(kept.as_raw_fd()), file_of(near.as_raw_fd()));
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod unsupported {
    use std::io;

    use nix::poll::PollFd;

    use super::super::files::Paths;
    use super::FileEvents;

    /// There are no reports on this platform.
    pub(in super::super) enum Source {}

    impl Source {
        pub(in super::super) fn open(_paths: &Paths) -> io::Result<Option<Source>> {
            Ok(None)
        }

        pub(in super::super) fn poll_fds(&self) -> impl Iterator<Item = PollFd<'_>> {
            std::iter::empty()
        }

        pub(in super::super) fn sees_all(&self) -> bool {
            match *self {}
        }

        pub(in super::super) fn disown(&self) {
            match *self {}
        }

        pub(in super::super) fn is_ours(&self) -> bool {
            match *self {}
        }

        pub(in super::super) fn read(&self) -> FileEvents {
            match *self {}
        }
    }
}
