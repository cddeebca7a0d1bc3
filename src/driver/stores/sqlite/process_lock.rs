//! The proof that a process lives: a byte of the lock file that the kernel keeps locked until it is gone.
//!
//! Beside each database lies a lock file. Every process that keeps leases there locks one byte of it, drawn
//! at random, with an open-file-description lock (fcntl(2), `F_OFD_SETLK`), and its rows name the byte. The
//! kernel frees the byte when the last copy of the descriptor is closed, so not before the process *and*
//! all children that inherited it are gone. A stopped process keeps it. An unlocked byte therefore proves
//! that nobody is left who could trust the lease.
//!
//! A row's number is `tag << 32 | draw`. The tag is kept in the lock file: if somebody deletes that file
//! and it is made anew, the old numbers mean nothing in the new file, and those rows end by time alone.
//!
//! A program may close descriptors that it did not open. So a private mapping of the lock file keeps it open
//! as well, and the byte locked, for as long as a term may be trusted that was granted under that byte. The
//! store checks at each batch whether its descriptors still lead to its files. When they do not, it ends all
//! trust (`mod.rs`), keeps the mapping until the leases that it granted have run out, as their work may take
//! that long to hear of it, and then begins anew with another byte.
//!
//! The directory is locked too, at a byte that stands for the database's name and that all its processes
//! share. It outlasts the lock file, so that even after somebody has deleted all files (`rm leases.db*`) a
//! new process learns that others may still trust what was in them. A directory cannot be mapped, so a
//! program that closes this descriptor gives up this protection.
//!
//! Where the kernel has no such locks (outside Linux), rows name no byte and end by time alone.

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

/// What a new lock file says after its tag.
const NOTE: &str = "\nElector: running processes keep bytes of this file locked. Do not delete it.\n";
const TAG_DIGITS: usize = 8;
const TAG_LIMIT: u32 = 1 << 30;

/// This process's one open lock file of one database.
pub(super) struct ProcessLock {
    fd: Arc<Descriptor>,
    _mapping: Mapping,
    directory: Descriptor,
    /// The byte of the directory that stands for this lock file's name.
    name: i64,
    opener: Opener,
    tag: OnceLock<u32>,
    byte: OnceLock<i64>,
    /// Held once by each connection to the database, beside ours.
    users: Arc<()>,
    /// Descriptors of the database were closed by others, so no connection to it can be trusted.
    is_invalid: AtomicBool,
}

#[derive(Default)]
struct Registry {
    locks: HashMap<FileId, Weak<ProcessLock>>,
    /// Locks whose store was closed while leases ran on: others must not take those before they end.
    kept: Vec<(Instant, Arc<ProcessLock>)>,
}

static REGISTRY: PerProcess<Mutex<Registry>> = PerProcess::new();

impl ProcessLock {
    /// This process's open lock file at `path`; made if there is none. Locks nothing yet.
    pub(super) fn open(path: &Path) -> io::Result<Arc<ProcessLock>> {
        let mut registry = registry();
        let now = clock::now();
        registry.kept.retain(|(until, _)| *until > now);
        registry.locks.retain(|_, lock| lock.strong_count() > 0);
        // Never open it a second time for nothing: closing it again would wake every process.
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

    /// Whether this process still has connections that must be left before there can be a new one: SQLite
    /// would take its locks through their descriptors.
    pub(super) fn has_stale_connections(path: &Path) -> bool {
        let lock = registry().find(path);
        lock.is_some_and(|lock| lock.is_invalid() && Arc::strong_count(&lock.users) > 1)
    }

    /// To be held for as long as a connection to the database is open.
    pub(super) fn user(&self) -> Arc<()> {
        Arc::clone(&self.users)
    }

    /// Whether both descriptors still lead to the lock file and its directory.
    pub(super) fn is_intact(&self) -> bool {
        self.fd.is_ours() && self.directory.is_ours()
    }

    /// All connections of this process to the database are to be left, and our own numbers with them.
    pub(super) fn invalidate(&self) {
        self.is_invalid.store(true, Ordering::Release);
        self.fd.disown();
        self.directory.disown();
    }

    pub(super) fn is_invalid(&self) -> bool {
        self.is_invalid.load(Ordering::Acquire)
    }

    /// Whether the lock file still lacks its tag; then call [`ProcessLock::write_tag`].
    pub(super) fn needs_tag(&self) -> bool {
        self.tag.get().is_none()
    }

    /// Gives a fresh lock file its tag, or reads the one that another process gave it meanwhile. The caller
    /// holds the database's write lock, so that only one process writes one.
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

    /// Locks this process's byte, unless it has one. Its number goes into the rows; `None` where the kernel
    /// has no such locks.
    pub(super) fn take_byte(&self) -> io::Result<Option<i64>> {
        let Some(tag) = self.tag.get() else { return Ok(None) };
        // Not every file system locks directories; the lock file is what the rows need.
        let _ = kernel::share(&self.directory, self.name);
        // One of several threads may take a byte for nothing; it is then kept like the other.
        while kernel::HAS_LOCKS && self.byte.get().is_none() {
            let byte = i64::from(*tag) << 32 | i64::from(random::number()? as u32);
            if kernel::try_lock(&*self.fd, byte)? {
                self.byte.get_or_init(|| byte);
            }
        }
        Ok(self.byte.get().copied())
    }

    /// Whether the process that a row names by `byte` is certainly gone.
    pub(super) fn is_gone(&self, byte: i64) -> bool {
        let same_file = self.tag.get().is_some_and(|tag| byte >> 32 == i64::from(*tag));
        kernel::HAS_LOCKS
            && same_file
            && self.byte.get() != Some(&byte)
            && matches!(kernel::is_locked_by_others(&*self.fd, byte, 1), Ok(false))
    }

    /// Whether any process, this one included, uses the database or one that had its name before.
    pub(super) fn is_in_use(&self) -> io::Result<bool> {
        Ok(self.byte.get().is_some()
            || kernel::is_locked_by_others(&*self.fd, 0, kernel::RANGE)?
            || kernel::is_locked_by_others(&self.directory, self.name, 1).unwrap_or(false))
    }

    /// Tells every process that listens on the lock file that something was released.
    pub(super) fn notify(&self) {
        // Nobody is hurt if it fails: they also look on their own.
        let _ = futimens(&*self.fd, &TimeSpec::UTIME_NOW, &TimeSpec::UTIME_NOW);
    }

    /// The open file, for children to inherit.
    pub(super) fn fd(&self) -> Arc<Descriptor> {
        Arc::clone(&self.fd)
    }

    /// Keeps the lock until `until`, although no store needs it any more.
    pub(super) fn keep_until(self: Arc<Self>, until: Instant) {
        registry().kept.push((until, self));
    }
}

impl Registry {
    /// This process's lock of the file at `path`.
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
    /// All bytes that a tag and a draw can name.
    pub(super) const RANGE: i64 = 1 << 62;

    /// Locks one byte for this open file; false if another open file has it.
    pub(super) fn try_lock(fd: impl AsFd, byte: i64) -> io::Result<bool> {
        match fcntl(fd, FcntlArg::F_OFD_SETLK(&lock(libc::F_WRLCK, byte, 1))) {
            Ok(_) => Ok(true),
            Err(Errno::EAGAIN | Errno::EACCES) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Locks one byte together with all others who do so.
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
        // Nobody can be proven gone, and nobody proven there.
        Ok(false)
    }
}
