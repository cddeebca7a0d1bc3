//! The files of one database, and whether they are still the ones that were opened.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Where a database's files lie.
#[derive(Clone, Debug)]
pub(super) struct Paths {
    pub database: PathBuf,
    pub lock: PathBuf,
}

impl Paths {
    pub(super) fn of(database: &Path) -> Paths {
        Paths { database: database.to_owned(), lock: beside(database, "-lock") }
    }

    pub(super) fn directory(&self) -> &Path {
        self.database.parent().unwrap_or(Path::new("/"))
    }

    /// The files that other processes must share with us for a lease to mean anything: SQLite's three (see
    /// "How To Corrupt An SQLite Database File", section 2, on deleting a hot log) and the lock file.
    fn all(&self) -> [PathBuf; 4] {
        let database = &self.database;
        [database.clone(), self.lock.clone(), beside(database, "-wal"), beside(database, "-shm")]
    }
}

fn beside(database: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(database);
    name.push(suffix);
    name.into()
}

/// Device and inode of a file, if it is there.
pub(super) fn file_id(path: &Path) -> Option<(u64, u64)> {
    fs::metadata(path).ok().map(|found| (found.dev(), found.ino()))
}

/// The files as they were when the database was opened.
#[derive(Clone, Debug)]
pub(super) struct Identity(Vec<(PathBuf, (u64, u64))>);

impl Identity {
    /// The files at these paths now; one that is missing is an error that names it.
    pub(super) fn read(paths: &Paths) -> Result<Identity, PathBuf> {
        let id = |path: PathBuf| file_id(&path).map(|id| (path.clone(), id)).ok_or(path);
        paths.all().into_iter().map(id).collect::<Result<_, _>>().map(Identity)
    }

    /// The first file that was deleted or replaced since. Four system calls, some microseconds.
    pub(super) fn lost_file(&self) -> Option<&Path> {
        self.0.iter().find(|(path, id)| file_id(path) != Some(*id)).map(|(path, _)| path.as_path())
    }

    /// Whether a file of this name is one of them.
    pub(super) fn names(&self, name: &std::ffi::OsStr) -> bool {
        self.0.iter().any(|(path, _)| path.file_name() == Some(name))
    }
}
