//! The files of a database: their paths, and whether these still lead to the files that were opened.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::driver::host::descriptor::FileId;

/// The paths of a database and its lock file.
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

    /// The files that all processes must share for leases to exclude each other: SQLite's three (see "How To
    /// Corrupt An SQLite Database File", section 2, on deleting a hot log) and the lock file.
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

/// The identity of the file at a path; `None` if there is none.
pub(super) fn file_id(path: &Path) -> Option<FileId> {
    fs::metadata(path).ok().map(|found| (found.dev(), found.ino()))
}

/// The identities of the files when the database was opened, in the order of [`Paths::all`].
#[derive(Clone, Debug)]
pub(super) struct Identity([Known; 4]);

#[derive(Clone, Debug)]
struct Known {
    path: PathBuf,
    id: FileId,
    /// Minimum length in bytes: while it is in use, the file never becomes shorter.
    least: u64,
}

impl Identity {
    /// The files at these paths now. The error is the path of a missing file.
    pub(super) fn read(paths: &Paths) -> Result<Identity, PathBuf> {
        let [database, lock, log, memory] = paths.all();
        // SQLite maps the shared memory, and an access beyond the end of a truncated file ends the process
        // (SIGBUS).
        let least = fs::metadata(&memory).map_or(0, |found| found.len());
        let know = |path: PathBuf, least| match file_id(&path) {
            Some(id) => Ok(Known { path, id, least }),
            None => Err(path),
        };
        Ok(Identity([know(database, 0)?, know(lock, 0)?, know(log, 0)?, know(memory, least)?]))
    }

    /// The database, its log and its shared memory.
    pub(super) fn of_sqlite(&self) -> [FileId; 3] {
        let [database, _, log, memory] = &self.0;
        [database.id, log.id, memory.id]
    }

    /// The lock file.
    pub(super) fn lock(&self) -> FileId {
        self.0[1].id
    }

    /// What happened to the first file that is lost; `None` if none is. Four system calls, some microseconds.
    pub(super) fn loss(&self) -> Option<String> {
        self.0.iter().find_map(|known| {
            let found = fs::metadata(&known.path).ok();
            let found = found.filter(|found| (found.dev(), found.ino()) == known.id);
            let what = match found {
                Some(found) if found.len() >= known.least => return None,
                Some(_) => "was truncated",
                None => "was deleted, moved or replaced",
            };
            Some(format!("{} {what}", known.path.display()))
        })
    }
}
