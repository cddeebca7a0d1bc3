//! The proof that a process lives: a byte of the lock file that the kernel keeps locked until the process
//! ends.
//!
//! Each database has a lock file beside it. Each process that holds leases locks one byte of that file, drawn
//! at random, with an open-file-description lock (fcntl(2), `F_OFD_SETLK`), and its rows name the byte. The
//! kernel unlocks the byte when the last copy of the descriptor is closed, so not before the process *and*
//! all children that inherited it have ended. A stopped process keeps it locked. An unlocked byte therefore
//! proves that no process is left that could trust the lease.
//!
//! A row stores the byte as `tag << 32 | draw`. The tag is kept in the lock file. If that file is deleted and
//! created again, the bytes of older rows mean nothing in the new file, and those rows expire by time only.
//!
//! A program may close descriptors that it did not open. So a private mapping of the lock file keeps the file
//! open too, and the byte locked, while any term that was granted under that byte may be trusted. The store
//! checks at each batch whether its descriptors still lead to its files. If they do not, it ends all trust
//! (`mod.rs`) and keeps the mapping until the leases that it granted have expired, since their work may take
//! that long to stop. Then it opens the files again, with another byte.
//!
//! The directory is locked too, with a shared lock on a byte derived from the name of the lock file. It
//! outlasts the lock file: even after all files were deleted (`rm leases.db*`), a new process learns that
//! other processes may still trust leases from them. A directory cannot be mapped, so a program that closes
//! this descriptor loses this protection.
//!
//! Where the kernel has no such locks (outside Linux), rows name no byte and expire by time only.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use nix::sys::stat::futimens;
use nix::sys::time::TimeSpec;

use super::above_standard::above_standard;
use super::boot::fnv1a;
use super::files::file_id;
use super::mapping::Mapping;
use crate::core::Instant;
use crate::driver::host::clock;
use crate::driver::host::descriptor::{Descriptor, FileId};
use crate::driver::host::fork::PerProcess;
use crate::driver::host::random;
use crate::driver::stores::opener::Opener;

/// The text of a new lock file after its tag.
const NOTE: &str = "\nElector: running processes keep bytes of this file locked. Do not delete it.\n";
const TAG_DIGITS: usize = 8;
const TAG_LIMIT: u32 = 1 << 30;

/// A database's lock file, which a process opens only once.
pub(super) struct ProcessLock {
    fd: Arc<Descriptor>,
    _mapping: Mapping,
    directory: Descriptor,
    /// The byte of the directory for this lock file's name.
    name: i64,
    opener: Opener,
    tag: OnceLock<u32>,
    byte: OnceLock<i64>,
    /// Cloned by each connection to the database, so that the connections can be counted.
    users: Arc<()>,
    /// The program closed descriptors of the database, so no connection to it can be used any more.
    is_invalid: AtomicBool,
}

#[derive(Default)]
struct Registry {
    locks: HashMap<FileId, Weak<ProcessLock>>,
    /// Locks of closed stores, kept until the leases that were granted through them have expired.
    kept: Vec<(Instant, Arc<ProcessLock>)>,
}

static REGISTRY: PerProcess<Mutex<Registry>> = PerProcess::new();

impl ProcessLock {
    /// This process's lock file at `path`, which is created if there is none. Locks nothing yet.
    pub(super) fn open(path: &Path) -> io::Result<Arc<ProcessLock>> {
        let mut registry = registry();
        let now = clock::now();
        registry.kept.retain(|(until, _)| *until > now);
        registry.locks.retain(|_, lock| lock.strong_count() > 0);
        // Not opened a second time: closing the second descriptor would wake the watchers of every process.
        if let Some(lock) = registry.find(path).filter(|lock| !lock.is_invalid()) {
            return Ok(lock);
        }
        let file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o644).open(path)?;
        let key = file.metadata().map(|found| (found.dev(), found.ino()))?;
        let tag = read_tag(&file)?.map_or_else(OnceLock::new, OnceLock::from);
        let mapping = Mapping::of(&file)?;
        let directory = File::open(path.parent().unwrap_or(Path::new("/")))?;
        let name = path.file_name().unwrap_or_default();
        let lock = ProcessLock {
            fd: Arc::new(Descriptor::new(above_standard(file)?)),
            _mapping: mapping,
            directory: Descriptor::new(above_standard(directory)?),
            name: (fnv1a(name.as_bytes()) >> 2) as i64,
            opener: Opener::this_process(),
            tag,
            byte: OnceLock::new(),
            users: Arc::default(),
            is_invalid: AtomicBool::new(false),
        };
        let lock = Arc::new(lock);
        registry.locks.insert(key, Arc::downgrade(&lock));
        Ok(lock)
    }

    /// Whether this process still has connections with lost descriptors. They must be given up before a new
    /// connection is opened: SQLite would take locks for it through their descriptors.
    pub(super) fn has_stale_connections(path: &Path) -> bool {
        let lock = registry().find(path);
        lock.is_some_and(|lock| lock.is_invalid() && Arc::strong_count(&lock.users) > 1)
    }

    /// A token to be kept while a connection to the database is open.
    pub(super) fn user(&self) -> Arc<()> {
        Arc::clone(&self.users)
    }

    /// Whether the descriptors still lead to the lock file and to its directory.
    pub(super) fn is_intact(&self) -> bool {
        self.fd.is_ours() && self.directory.is_ours()
    }

    /// Marks that all connections of this process to the database must be given up, and disowns the
    /// descriptors of the lock.
    pub(super) fn invalidate(&self) {
        self.is_invalid.store(true, Ordering::Release);
        self.fd.disown();
        self.directory.disown();
    }

    pub(super) fn is_invalid(&self) -> bool {
        self.is_invalid.load(Ordering::Acquire)
    }

    /// Whether the lock file has no tag yet, so that [`ProcessLock::write_tag`] must be called.
    pub(super) fn needs_tag(&self) -> bool {
        self.tag.get().is_none()
    }

    /// Writes the tag of a new lock file, or reads the tag that another process has written meanwhile. The
    /// caller must hold the database's write lock, so that only one process writes a tag.
    pub(super) fn write_tag(&self) -> io::Result<()> {
        let file = File::from(self.fd.as_fd().try_clone_to_owned()?);
        let tag = match read_tag(&file)? {
            Some(tag) => tag,
            None => {
                let tag = random::number()? as u32 % TAG_LIMIT;
                file.write_all_at(format!("{tag:0TAG_DIGITS$x}{NOTE}").as_bytes(), 0)?;
                tag
            }
        };
        self.tag.get_or_init(|| tag);
        Ok(())
    }

    /// Locks a byte for this process, unless it has one, and returns its number for the rows; `None` where
    /// the kernel has no such locks.
    pub(super) fn take_byte(&self) -> io::Result<Option<i64>> {
        let Some(tag) = self.tag.get() else { return Ok(None) };
        // Errors are ignored: not every file system can lock directories, and the rows need only the lock
        // file.
        let _ = kernel::share(&self.directory, self.name);
        // Two threads may lock a byte each; one of the bytes is then unused but stays locked too.
        while kernel::HAS_LOCKS && self.byte.get().is_none() {
            let byte = i64::from(*tag) << 32 | i64::from(random::number()? as u32);
            if kernel::try_lock(&*self.fd, byte)? {
                self.byte.get_or_init(|| byte);
            }
        }
        Ok(self.byte.get().copied())
    }

    /// Whether the process that locked `byte` has certainly ended.
    pub(super) fn is_gone(&self, byte: i64) -> bool {
        let same_file = self.tag.get().is_some_and(|tag| byte >> 32 == i64::from(*tag));
        kernel::HAS_LOCKS
            && same_file
            && self.byte.get() != Some(&byte)
            && matches!(kernel::is_locked_by_others(&*self.fd, byte, 1), Ok(false))
    }

    /// Whether any process, this one included, uses the database, or used an earlier one of the same name and
    /// still runs.
    pub(super) fn is_in_use(&self) -> io::Result<bool> {
        Ok(self.byte.get().is_some()
            || kernel::is_locked_by_others(&*self.fd, 0, kernel::RANGE)?
            || kernel::is_locked_by_others(&self.directory, self.name, 1).unwrap_or(false))
    }

    /// Notifies every process that watches the lock file that a lease was released.
    pub(super) fn notify(&self) {
        // An error is harmless, since candidates also poll.
        let _ = futimens(&*self.fd, &TimeSpec::UTIME_NOW, &TimeSpec::UTIME_NOW);
    }

    /// The open lock file, for child processes to inherit.
    pub(super) fn fd(&self) -> Arc<Descriptor> {
        Arc::clone(&self.fd)
    }

    /// Keeps the lock until `until`, after its last store was closed.
    pub(super) fn keep_until(self: Arc<Self>, until: Instant) {
        registry().kept.push((until, self));
    }
}

impl Registry {
    /// This process's lock for the file at `path`.
    fn find(&self, path: &Path) -> Option<Arc<ProcessLock>> {
        let lock = self.locks.get(&file_id(path)?).and_then(Weak::upgrade);
        lock.filter(|lock| lock.opener.is_this_process())
    }
}

fn registry() -> MutexGuard<'static, Registry> {
    REGISTRY.get().lock().unwrap_or_else(PoisonError::into_inner)
}

fn read_tag(file: &File) -> io::Result<Option<u32>> {
    let mut text = [0; TAG_DIGITS];
    match file.read_exact_at(&mut text, 0) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    }
    let tag = std::str::from_utf8(&text).ok().and_then(|text| u32::from_str_radix(text, 16).ok());
    match tag.filter(|tag| *tag < TAG_LIMIT) {
        Some(tag) => Ok(Some(tag)),
        None => Err(io::Error::other("it is no lock file of Elector; move it away")),
    }
}

#[cfg(target_os = "linux")]
mod kernel {
    use std::io;
    use std::os::fd::AsFd;

    use nix::errno::Errno;
    use nix::fcntl::{FcntlArg, fcntl};
    use nix::libc;

    pub(super) const HAS_LOCKS: bool = true;
    /// The range of all bytes that a tag and a draw can name.
    pub(super) const RANGE: i64 = 1 << 62;

    /// Locks a byte exclusively for this open file; false if another open file has locked it.
    pub(super) fn try_lock(fd: impl AsFd, byte: i64) -> io::Result<bool> {
        match fcntl(fd, FcntlArg::F_OFD_SETLK(&lock(libc::F_WRLCK, byte, 1))) {
            Ok(_) => Ok(true),
            Err(Errno::EAGAIN | Errno::EACCES) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Locks a byte with a shared lock.
    pub(super) fn share(fd: impl AsFd, byte: i64) -> io::Result<()> {
        fcntl(fd, FcntlArg::F_OFD_SETLK(&lock(libc::F_RDLCK, byte, 1)))?;
        Ok(())
    }

    /// Whether another open file has locked any of these bytes.
    pub(super) fn is_locked_by_others(fd: impl AsFd, start: i64, len: i64) -> io::Result<bool> {
        let mut found = lock(libc::F_WRLCK, start, len);
        fcntl(fd, FcntlArg::F_OFD_GETLK(&mut found))?;
        Ok(i32::from(found.l_type) != libc::F_UNLCK)
    }

    fn lock(kind: libc::c_int, start: i64, len: i64) -> libc::flock {
        libc::flock {
            l_type: kind as libc::c_short,
            l_whence: libc::SEEK_SET as libc::c_short,
            l_start: start,
            l_len: len,
            l_pid: 0, // the kernel demands it
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod kernel {
    use std::io;
    use std::os::fd::AsFd;

    pub(super) const HAS_LOCKS: bool = false;
    pub(super) const RANGE: i64 = 0;

    pub(super) fn try_lock(_fd: impl AsFd, _byte: i64) -> io::Result<bool> {
        Ok(false)
    }

    pub(super) fn share(_fd: impl AsFd, _byte: i64) -> io::Result<()> {
        Ok(())
    }

    pub(super) fn is_locked_by_others(_fd: impl AsFd, _start: i64, _len: i64) -> io::Result<bool> {
        // Without such locks no process can be proven to run, and `is_gone` does not ask.
        Ok(false)
    }
}
