//! What the kernel reports about a database's files: inotify(7) about them and the directories above, the
//! table of mounts (proc_pid_mountinfo(5)) about what is mounted over them.

/// What was heard since the last time.
#[derive(Clone, Copy, Default)]
pub(super) struct Heard {
    pub released: bool,
    pub process_ended: bool,
}

#[cfg(target_os = "linux")]
pub(super) use kernel::Source;
#[cfg(not(target_os = "linux"))]
pub(super) use nothing::Source;

#[cfg(target_os = "linux")]
mod kernel {
    use std::fs::{self, File};
    use std::io;
    use std::mem::ManuallyDrop;
    use std::os::fd::{AsFd, AsRawFd};

    use nix::poll::{PollFd, PollFlags};
    use nix::sys::inotify::{AddWatchFlags as On, InitFlags, Inotify, WatchDescriptor};

    use super::super::files::{Paths, file_id};
    use super::Heard;
    use crate::driver::descriptor::Descriptor;

    /// The kernel's reports about the lock file, the directories above it and the mounts.
    pub(in super::super) struct Source {
        inotify: ManuallyDrop<Inotify>,
        lock: WatchDescriptor,
        /// How the kernel writes the lock file's inode where it describes `inotify`.
        mark: String,
        /// Where there is no /proc, the look before each batch finds a file system that was mounted over us.
        mounts: Option<Descriptor>,
    }

    impl Source {
        pub(in super::super) fn open(paths: &Paths) -> io::Result<Option<Source>> {
            let inotify = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)?;
            // A deleted file that is still open reports only IN_ATTRIB; its directory says more.
            let lock = inotify.add_watch(&paths.lock, On::IN_ATTRIB | On::IN_CLOSE_WRITE)?;
            let itself = On::IN_DELETE_SELF | On::IN_MOVE_SELF | On::IN_ONLYDIR;
            let inside = On::IN_DELETE | On::IN_MOVE | On::IN_CREATE;
            inotify.add_watch(paths.directory(), inside | itself)?;
            for above in paths.directory().ancestors().skip(1) {
                // One that may not be read is not watched.
                let _ = inotify.add_watch(above, itself);
            }
            let Some((_, inode)) = file_id(&paths.lock) else { return Ok(None) };
            let mark = format!(" ino:{inode:x} ");
            let mounts = File::open("/proc/self/mountinfo").ok().map(Descriptor::new);
            Ok(Some(Source { inotify: ManuallyDrop::new(inotify), lock, mark, mounts }))
        }

        /// What poll(2) is to wait for.
        pub(in super::super) fn to_poll(&self) -> impl Iterator<Item = PollFd<'_>> {
            let mounts = self.mounts.as_ref().map(|mounts| PollFd::new(mounts.as_fd(), PollFlags::POLLPRI));
            [PollFd::new(self.inotify.as_fd(), PollFlags::POLLIN)].into_iter().chain(mounts)
        }

        /// Whether the descriptors still lead to what was opened. All inotify descriptors have one inode, so
        /// the kernel's description of ours is looked at; where that cannot be read it is taken for ours.
        pub(in super::super) fn is_ours(&self) -> bool {
            let described = format!("/proc/self/fdinfo/{}", self.inotify.as_fd().as_raw_fd());
            let described = match fs::read_to_string(described) {
                Ok(text) => text.contains(&self.mark),
                Err(error) => {
                    error.kind() != io::ErrorKind::NotFound || fs::metadata("/proc/self/fdinfo").is_err()
                }
            };
            described && self.mounts.as_ref().is_none_or(Descriptor::is_ours)
        }

        /// What has happened to the lock file. Who is woken looks at the paths in any case, which costs some
        /// microseconds.
        pub(in super::super) fn read(&self) -> Heard {
            let mut heard = Heard::default();
            for event in self.inotify.read_events().unwrap_or_default() {
                let is_lost = event.mask.contains(On::IN_Q_OVERFLOW);
                let of_lock = |kind| event.wd == self.lock && event.mask.contains(kind);
                heard.process_ended |= is_lost || of_lock(On::IN_CLOSE_WRITE);
                heard.released |= is_lost || of_lock(On::IN_ATTRIB);
            }
            heard
        }
    }

    impl Drop for Source {
        fn drop(&mut self) {
            if self.is_ours() {
                // SAFETY: it is not used again.
                unsafe { ManuallyDrop::drop(&mut self.inotify) };
            }
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod nothing {
    use std::io;

    use nix::poll::PollFd;

    use super::super::files::Paths;
    use super::Heard;

    /// There is none.
    pub(in super::super) enum Source {}

    impl Source {
        pub(in super::super) fn open(_paths: &Paths) -> io::Result<Option<Source>> {
            Ok(None)
        }

        pub(in super::super) fn to_poll(&self) -> impl Iterator<Item = PollFd<'_>> {
            std::iter::empty()
        }

        pub(in super::super) fn is_ours(&self) -> bool {
            match *self {}
        }

        pub(in super::super) fn read(&self) -> Heard {
            match *self {}
        }
    }
}
