//! [`StoreUrl`]: the URL of a store.

use std::env;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use crate::core::lease::Failure;
use crate::driver::stores::memory::MemoryStore;
#[cfg(feature = "postgres")]
use crate::driver::stores::postgres::{self, PostgresUrl};
use crate::driver::stores::{Fuse, IfMissing, Notifier, SqliteOptions, Store, StoreError};

/// The URL of a store. URLs that name the same store are equal. `Display` and `Debug` show no password.
///
/// | URL | store |
/// |---|---|
/// | `memory:NAME` | in this process, for tests |
/// | `sqlite:PATH`, `sqlite:///PATH` | a file on this machine |
/// | `postgres://USER@HOST/DATABASE` | a table in a PostgreSQL database, with libpq's keys and environment |
///
/// A relative path starts at the working directory. A path is taken literally, without percent-decoding, and
/// ends at the first `?`. `?filesystem=local` declares that a file system in user space (FUSE) is not shared
/// with other machines; see [`Fuse::TrustAsLocal`] for the danger.
///
/// ```
/// use elector::driver::stores::url::StoreUrl;
///
/// assert_eq!(StoreUrl::parse("sqlite:///tmp/leases.db").unwrap().to_string(), "sqlite:/tmp/leases.db");
/// let refusal = StoreUrl::parse("redis://me:secret@cache/0").unwrap_err().to_string();
/// assert!(refusal.contains("redis") && !refusal.contains("secret"));
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct StoreUrl(Location);

#[derive(Clone, PartialEq, Eq, Hash)]
enum Location {
    Memory(String),
    Sqlite {
        path: PathBuf,
        options: SqliteOptions,
    },
    #[cfg(feature = "postgres")]
    Postgres(Box<PostgresUrl>),
}

impl StoreUrl {
    /// Parses a URL. Reads the file system only to resolve a path, and creates nothing.
    ///
    /// # Errors
    /// When the text is no URL of a store that this build supports. The message contains no password.
    pub fn parse(url: &str) -> Result<StoreUrl, InvalidUrl> {
        match url.split_once(':') {
            Some(("memory", rest)) => parse_memory(url, rest),
            Some(("sqlite", rest)) => parse_sqlite(rest),
            Some(("postgres" | "postgresql", _)) => parse_postgres(url),
            _ => Err(InvalidUrl(unknown(url))),
        }
    }

    /// The default store: the URL in the environment variable `ELECTOR_STORE`, or else the SQLite file
    /// `elector/elector.db` in the user's state directory, which is `$XDG_STATE_HOME` or `~/.local/state`,
    /// and on macOS `~/Library/Application Support`.
    ///
    /// # Errors
    /// When `ELECTOR_STORE` is invalid, or it is not set and there is no home directory.
    pub fn default_store() -> Result<StoreUrl, InvalidUrl> {
        match env::var("ELECTOR_STORE") {
            Ok(url) if !url.is_empty() => {
                return StoreUrl::parse(&url).map_err(|error| InvalidUrl(format!("ELECTOR_STORE: {error}")));
            }
            Err(env::VarError::NotUnicode(_)) => {
                return Err(InvalidUrl("ELECTOR_STORE is not UTF-8; give a store URL".to_owned()));
            }
            _ => {}
        }
        let directory = state_directory().ok_or_else(|| {
            let found = "no store was named, and there is no home directory for the default one";
            InvalidUrl(format!("{found}; set ELECTOR_STORE or HOME"))
        })?;
        Ok(StoreUrl(Location::Sqlite {
            path: resolve(&directory.join("elector.db")),
            options: SqliteOptions::default(),
        }))
    }

    /// Sets what opening the store does if its SQLite database or PostgreSQL table is missing. Default:
    /// [`IfMissing::Create`].
    #[must_use]
    pub fn if_missing(mut self, action: IfMissing) -> StoreUrl {
        if let Location::Sqlite { options, .. } = &mut self.0 {
            options.if_missing = action;
        }
        self.if_table_missing(action)
    }

    /// Sets what opening the store does if its PostgreSQL table is missing, like the key `create_table` of
    /// the URL. Without effect on other stores.
    #[must_use]
    #[cfg_attr(not(feature = "postgres"), allow(unused_variables, unused_mut))]
    pub fn if_table_missing(mut self, action: IfMissing) -> StoreUrl {
        #[cfg(feature = "postgres")]
        if let Location::Postgres(url) = &mut self.0 {
            url.set_if_missing(action);
        }
        self
    }

    /// Moves the table to another schema of the PostgreSQL database; its name has 1 to 63 bytes.
    ///
    /// # Errors
    /// When the store is not PostgreSQL, or the name is empty or longer, since the server would truncate it.
    #[cfg_attr(not(feature = "postgres"), allow(unused_mut))]
    pub fn in_schema(mut self, schema: &str) -> Result<StoreUrl, InvalidUrl> {
        #[cfg(feature = "postgres")]
        if let Location::Postgres(url) = &mut self.0 {
            return url.set_schema(schema).map(|()| self).map_err(InvalidUrl);
        }
        let found = format!("schema {schema:?}: only PostgreSQL has schemas, and the store is {self}");
        Err(InvalidUrl(found))
    }

    /// The path of the database, if the store is a SQLite file.
    #[must_use]
    pub fn sqlite_path(&self) -> Option<&Path> {
        match &self.0 {
            Location::Sqlite { path, .. } => Some(path),
            _ => None,
        }
    }

    /// Opens the store. It calls `notifier` with hints, from any thread.
    ///
    /// Creates no directory except that of the default store.
    ///
    /// # Errors
    /// When the store cannot be reached or used. The message says why and what to do.
    pub fn open(&self, notifier: Notifier) -> Result<Box<dyn Store>, StoreError> {
        match &self.0 {
            Location::Memory(name) => Ok(MemoryStore::named(name).open(notifier)),
            Location::Sqlite { path, options } => open_sqlite(path, *options, notifier),
            #[cfg(feature = "postgres")]
            Location::Postgres(url) => postgres::open(url, notifier),
        }
    }
}

#[cfg(feature = "postgres")]
const KNOWN: &str = "give postgres://USER@HOST/DATABASE, sqlite:PATH or memory:NAME";
#[cfg(not(feature = "postgres"))]
const KNOWN: &str = "give sqlite:PATH or memory:NAME";

#[cfg(feature = "postgres")]
fn parse_postgres(url: &str) -> Result<StoreUrl, InvalidUrl> {
    PostgresUrl::parse(url).map(|url| StoreUrl(Location::Postgres(Box::new(url)))).map_err(InvalidUrl)
}

#[cfg(not(feature = "postgres"))]
fn parse_postgres(_url: &str) -> Result<StoreUrl, InvalidUrl> {
    Err(InvalidUrl(format!("this build has no PostgreSQL store; {KNOWN}")))
}

/// The message for a URL with an unknown scheme. The text may contain a password in an unexpected position,
/// so only parts that cannot be one are quoted: a scheme before `://`, or a word like a file's name.
fn unknown(url: &str) -> String {
    if url.is_empty() {
        return format!("the store URL is empty; {KNOWN}");
    }
    let scheme = url.split_once("://").map(|(scheme, _)| scheme);
    let is_plain = |scheme: &str| scheme.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'+');
    if let Some(scheme) = scheme.filter(|scheme| !scheme.is_empty() && is_plain(scheme)) {
        return format!("store URL \"{scheme}://…\": there is no store of kind {scheme:?}; {KNOWN}");
    }
    if url.contains('=') {
        return format!("the store URL has no scheme and looks like a list of libpq's keys; {KNOWN}");
    }
    if url.contains([':', '@']) {
        return format!("the store URL has none of the known schemes; {KNOWN}");
    }
    format!("store URL {url:?} has no scheme; {KNOWN} (perhaps \"sqlite:{url}\")")
}

fn parse_memory(url: &str, name: &str) -> Result<StoreUrl, InvalidUrl> {
    if name.is_empty() {
        return Err(InvalidUrl(format!("store URL {url:?} has no name; give memory:NAME")));
    }
    Ok(StoreUrl(Location::Memory(name.to_owned())))
}

fn parse_sqlite(rest: &str) -> Result<StoreUrl, InvalidUrl> {
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    // Anything but a path may be a password, for instance that of a server.
    let shown = match (path.starts_with("//") && !path.starts_with("///"), query) {
        (true, _) => "sqlite://…".to_owned(),
        (false, "") => format!("sqlite:{path}"),
        (false, _) => format!("sqlite:{path}?…"),
    };
    let invalid = |problem: &str| Err(InvalidUrl(format!("store URL {shown:?} {problem}")));
    let path = match path.strip_prefix("//") {
        Some(absolute) if absolute.starts_with('/') => absolute,
        Some(_) => return invalid("names a host; give sqlite:///PATH, or sqlite:PATH for a relative path"),
        None => path,
    };
    if path.is_empty() {
        return invalid("has no path; give sqlite:PATH");
    }
    if path == ":memory:" {
        return invalid(
            "names SQLite's in-memory database, which connections cannot share; give memory:NAME",
        );
    }
    if path.contains('\0') {
        return invalid("has a NUL in its path; remove it");
    }
    if path.ends_with('/') {
        return invalid("names a directory; give the path of a file in it");
    }
    let fuse = match query {
        "" => Fuse::Refuse,
        "filesystem=local" => Fuse::TrustAsLocal,
        _ => return invalid("has an unknown option; the only one is ?filesystem=local"),
    };
    match std::path::absolute(path) {
        Ok(path) => {
            let options = SqliteOptions { fuse, ..SqliteOptions::default() };
            Ok(StoreUrl(Location::Sqlite { path: resolve(&path), options }))
        }
        Err(error) => {
            invalid(&format!("is relative to the working directory, which cannot be read ({error})"))
        }
    }
}

/// The path with symbolic links resolved as far as it exists, so that each file has one name.
fn resolve(path: &Path) -> PathBuf {
    if let Ok(found) = fs::canonicalize(path) {
        return found;
    }
    match (path.parent().map(fs::canonicalize), path.file_name()) {
        (Some(Ok(directory)), Some(name)) => directory.join(name),
        _ => path.to_owned(),
    }
}

/// The directory of the default store.
fn state_directory() -> Option<PathBuf> {
    let absolute = |name: &str| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let state = if cfg!(target_vendor = "apple") {
        absolute("HOME")?.join("Library/Application Support")
    } else {
        absolute("XDG_STATE_HOME").or_else(|| Some(absolute("HOME")?.join(".local/state")))?
    };
    Some(state.join("elector"))
}

#[cfg(feature = "sqlite")]
fn open_sqlite(
    path: &Path,
    options: SqliteOptions,
    notifier: Notifier,
) -> Result<Box<dyn Store>, StoreError> {
    use super::sqlite::SqliteStore;

    if options.if_missing == IfMissing::Leave {
        return Ok(Box::new(SqliteStore::open(&resolve(path), options, notifier)?));
    }
    let default = state_directory().filter(|default| path.parent() == Some(&**default));
    if let Some(directory) = &default {
        fs::create_dir_all(directory).map_err(|error| {
            let found = format!("cannot create the state directory {} ({error})", directory.display());
            StoreError::new(Failure::Refused, format!("{found}; set ELECTOR_STORE to another store"))
        })?;
    }
    // Resolved again: the directory may exist only now, and a link in it decides which file this is.
    let store = SqliteStore::open(&resolve(path), options, notifier)?;
    Ok(Box::new(if default.is_some() { store.making_its_directory() } else { store }))
}

#[cfg(not(feature = "sqlite"))]
fn open_sqlite(path: &Path, _: SqliteOptions, _: Notifier) -> Result<Box<dyn Store>, StoreError> {
    let found = format!("cannot open {}: this build has no SQLite store", path.display());
    Err(StoreError::new(Failure::Refused, format!("{found}; build it with the feature \"sqlite\"")))
}

impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Location::Memory(name) => write!(f, "memory:{name}"),
            Location::Sqlite { path, options } => {
                let option = match options.fuse {
                    Fuse::Refuse => "",
                    Fuse::TrustAsLocal => "?filesystem=local",
                };
                write!(f, "sqlite:{}{option}", path.display())
            }
            #[cfg(feature = "postgres")]
            Location::Postgres(url) => write!(f, "{url}"),
        }
    }
}

impl fmt::Debug for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::str::FromStr for StoreUrl {
    type Err = InvalidUrl;

    fn from_str(url: &str) -> Result<StoreUrl, InvalidUrl> {
        StoreUrl::parse(url)
    }
}

/// The reason why a text is no [`StoreUrl`]: one line, without a password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidUrl(String);

impl fmt::Display for InvalidUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for InvalidUrl {}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(url: &str) -> String {
        StoreUrl::parse(url).unwrap_err().to_string()
    }

    #[test]
    fn urls_of_the_same_store_are_equal() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().canonicalize().unwrap();
        let url = |text: String| StoreUrl::parse(&text).unwrap();
        let plain = url(format!("sqlite:{}/a.db", path.display()));
        assert_eq!(plain, url(format!("sqlite://{}/a.db", path.display())));
        assert_eq!(plain, url(format!("sqlite:{}/./a.db", path.display())));
        std::os::unix::fs::symlink(&path, path.join("link")).unwrap();
        assert_eq!(plain, url(format!("sqlite:{}/link/a.db", path.display())));
        assert_ne!(plain, url(format!("sqlite:{}/b.db", path.display())));
        assert_eq!(StoreUrl::parse(&plain.to_string()).unwrap(), plain);
        assert_eq!(StoreUrl::parse("memory:a").unwrap().to_string(), "memory:a");
    }

    #[test]
    fn every_refusal_names_the_fault_and_the_cure() {
        let cases = [
            ("", "is empty"),
            ("leases.db", "sqlite:leases.db"),
            ("sqlite:", "has no path"),
            ("sqlite://host/path", "names a host"),
            ("sqlite::memory:", "memory:NAME"),
            ("sqlite:a.db?mode=ro", "?filesystem=local"),
            ("sqlite:a\0b", "NUL"),
            ("sqlite:dir/", "names a directory"),
            ("memory:", "has no name"),
            ("mysql://h/d", "no store of kind \"mysql\""),
            ("host=db dbname=app", "list of libpq's keys; give "),
            ("db:5432", "none of the known schemes"),
        ];
        for (url, expected) in cases {
            let refusal = refusal(url);
            assert!(refusal.contains(expected) && !refusal.contains('\n'), "{url:?}: {refusal}");
        }
    }

    #[test]
    fn a_password_is_never_printed() {
        for url in [
            "postgres://me:hun%20ter2@db/x?password=hunter2&sslmode=require",
            "postgresql://me:p@hunter2@db/x#hunter2",
            "postgres:me:hunter2@db",
            "redis://:hunter2@cache",
            "redis://cache/?auth=p@hunter2",
            "mysql://me:hun?ter2@db/x",
            "mysql://me:hun#ter2@db/x",
            "host=db user=me password=hunter2",
            "host=db:5432 password=hunter2",
            "password=hunter2 host=http://db",
            "me:hunter2",
            "me@hunter2",
            "POSTGRES://me:hunter2@db/x",
            "sqlite://me:hunter2@db/x",
            "sqlite:leases.db?key=hunter2",
        ] {
            let shown = match StoreUrl::parse(url) {
                Ok(url) => format!("{url} {url:?}"),
                Err(error) => format!("{error} {error:?}"),
            };
            assert!(!["hun", "ter2"].iter().any(|part| shown.contains(part)), "{shown}");
        }
    }

    #[cfg(feature = "postgres")]
    #[test]
    fn a_postgres_url_names_its_database() {
        let url = StoreUrl::parse("postgresql://me:secret@db:5433/app?schema=jobs&sslmode=require").unwrap();
        assert_eq!(url.to_string(), "postgres://me@db:5433/app?sslmode=require&schema=jobs");
        assert!(refusal("postgres://db/x?colour=red").contains("unknown parameter \"colour\""));
    }

    #[cfg(not(feature = "postgres"))]
    #[test]
    fn a_build_without_postgres_refuses_its_urls() {
        assert!(refusal("postgres://db/x").contains("no PostgreSQL store"));
    }
}
