//! libpq's password file, by default `~/.pgpass`.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// The account whose password is searched for.
pub(super) struct Account<'a> {
    /// The names of the host: a socket's directory is also found as `localhost`.
    pub hosts: &'a [&'a str],
    pub port: u16,
    pub database: &'a str,
    pub user: &'a str,
}

/// The password in the first line that matches the account. A file that other users may read, or that cannot
/// be read, is ignored with a warning.
pub(super) fn find(path: &Path, account: &Account<'_>) -> Option<String> {
    let ignored = |found: &str| {
        tracing::warn!(path = %path.display(), "the password file is ignored: {found}");
        None
    };
    let metadata = match fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
        Err(error) => return ignored(&error.to_string()),
    };
    if !metadata.is_file() {
        return ignored("it is not a plain file");
    }
    if metadata.permissions().mode() & 0o077 != 0 {
        return ignored("others may read or write it; run `chmod 0600` on it");
    }
    match fs::read_to_string(path) {
        Ok(text) => text.lines().find_map(|line| matching(line, account)),
        Err(error) => ignored(&error.to_string()),
    }
}

/// The password of a line `host:port:database:user:password` whose first four fields match.
fn matching(line: &str, account: &Account<'_>) -> Option<String> {
    if line.starts_with('#') {
        return None;
    }
    let port = account.port.to_string();
    let database = [account.database];
    let (port, user) = ([port.as_str()], [account.user]);
    let mut rest = line;
    for wanted in [account.hosts, &port, &database, &user] {
        let (field, after) = split(rest);
        if field != "*" && !wanted.contains(&unescaped(field).as_str()) {
            return None;
        }
        rest = after?;
    }
    let password = unescaped(split(rest).0);
    (!password.is_empty()).then_some(password)
}

/// The text before the next unescaped colon, and the text after it if there is such a colon.
fn split(text: &str) -> (&str, Option<&str>) {
    let mut escaped = false;
    for (at, char) in text.char_indices() {
        match char {
            ':' if !escaped => return (&text[..at], Some(&text[at + 1..])),
            '\\' => escaped = !escaped,
            _ => escaped = false,
        }
    }
    (text, None)
}

/// Replaces `\:` by a colon and `\\` by a backslash.
fn unescaped(text: &str) -> String {
    let mut chars = text.chars();
    let mut plain = String::with_capacity(text.len());
    while let Some(char) = chars.next() {
        plain.push(if char == '\\' { chars.next().unwrap_or('\\') } else { char });
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACCOUNT: Account<'static> =
        Account { hosts: &["/run/postgresql", "localhost"], port: 5432, database: "app", user: "me" };

    fn found(line: &str) -> Option<String> {
        matching(line, &ACCOUNT)
    }

    #[test]
    fn the_first_line_that_fits_gives_the_password() {
        assert_eq!(found("localhost:5432:app:me:secret").as_deref(), Some("secret"));
        assert_eq!(found("/run/postgresql:5432:app:me:secret").as_deref(), Some("secret"));
        assert_eq!(found("*:*:*:*:secret").as_deref(), Some("secret"));
        for other in
            ["other:*:*:*:s", "*:5433:*:*:s", "*:*:other:*:s", "*:*:*:you:s", "#*:*:*:*:s", "*:*:*", ""]
        {
            assert_eq!(found(other), None, "{other}");
        }
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pgpass");
        fs::write(&path, "# ours\nother:*:*:*:first\n*:*:*:*:second\n*:*:*:*:third\n").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(find(&path, &ACCOUNT).as_deref(), Some("second"));
    }

    #[test]
    fn colons_and_backslashes_are_escaped() {
        assert_eq!(found(r"*:*:*:m\e:a\:b\\c").as_deref(), Some(r"a:b\c"));
        let account = Account { database: "a:b", user: r"m\e", ..ACCOUNT };
        assert_eq!(matching(r"*:*:a\:b:m\\e:x", &account).as_deref(), Some("x"));
        assert_eq!(found("*:*:*:*:a:b").as_deref(), Some("a"), "libpq ends a password at a colon");
    }

    #[test]
    fn a_file_that_others_may_read_is_ignored() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pgpass");
        assert_eq!(find(&path, &ACCOUNT), None);
        fs::write(&path, "*:*:*:*:secret\n").unwrap();
        for (mode, expected) in [(0o644, None), (0o640, None), (0o600, Some("secret"))] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(find(&path, &ACCOUNT).as_deref(), expected, "{mode:o}");
        }
    }
}
