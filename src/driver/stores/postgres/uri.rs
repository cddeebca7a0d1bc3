//! Parses a PostgreSQL URL into libpq's parameters.
//!
//! The grammar is libpq's (PostgreSQL manual, "Connection URIs"). No message here quotes a part of the text
//! that may contain a password.

use std::collections::BTreeMap;

/// The keys, each with the environment variable that sets it if the URL does not.
pub(super) const KEYS: [(&str, Option<&str>); 27] = [
    ("host", Some("PGHOST")),
    ("hostaddr", Some("PGHOSTADDR")),
    ("port", Some("PGPORT")),
    ("user", Some("PGUSER")),
    ("password", Some("PGPASSWORD")),
    ("passfile", Some("PGPASSFILE")),
    ("dbname", Some("PGDATABASE")),
    ("sslmode", Some("PGSSLMODE")),
    ("sslrootcert", Some("PGSSLROOTCERT")),
    ("sslcert", Some("PGSSLCERT")),
    ("sslkey", Some("PGSSLKEY")),
    ("channel_binding", Some("PGCHANNELBINDING")),
    ("connect_timeout", Some("PGCONNECT_TIMEOUT")),
    ("application_name", Some("PGAPPNAME")),
    ("target_session_attrs", Some("PGTARGETSESSIONATTRS")),
    ("options", Some("PGOPTIONS")),
    ("gssencmode", Some("PGGSSENCMODE")),
    ("sslnegotiation", Some("PGSSLNEGOTIATION")),
    ("ssl_min_protocol_version", Some("PGSSLMINPROTOCOLVERSION")),
    ("keepalives", None),
    ("keepalives_idle", None),
    ("keepalives_interval", None),
    ("keepalives_count", None),
    ("tcp_user_timeout", None),
    ("schema", None),
    ("create_table", None),
    ("prepare", None),
];

/// Variables of libpq that decide about trust or the database and are not supported. The store refuses them,
/// since ignoring them would be dangerous.
pub(super) const UNSUPPORTED: [&str; 5] =
    ["PGSERVICE", "PGREQUIREAUTH", "PGREQUIREPEER", "PGSSLCRL", "PGSSLCRLDIR"];

/// The parameters by name. No value is empty.
pub(super) type Parameters = BTreeMap<&'static str, String>;

/// Parses the URL.
pub(super) fn parse(text: &str) -> Result<Parameters, String> {
    let rest = ["postgres://", "postgresql://"].iter().find_map(|scheme| text.strip_prefix(scheme));
    let rest = rest.ok_or("does not begin with postgres://; give postgres://USER@HOST/DATABASE")?;
    let mut parameters = Parameters::new();
    let authority_end = rest.find('/').unwrap_or(rest.len());
    let rest = match rest[..authority_end].split_once('@') {
        None => rest,
        Some((user_info, _)) => {
            let (user, password) = user_info.split_once(':').unwrap_or((user_info, ""));
            set(&mut parameters, "user", decode("user name", user)?);
            set(&mut parameters, "password", decode("password", password)?);
            &rest[user_info.len() + 1..]
        }
    };
    let (address, query) = rest.split_once('?').unwrap_or((rest, ""));
    if address.contains('@') {
        // The '@' is part of a password that was split here, or of a database name; both can be escaped.
        return Err("has an '@' or a '/' in its password, or an '@' in its database name, that is not \
                    escaped; write '@' as %40 and '/' as %2F"
            .to_owned());
    }
    if query.contains('@') {
        return Err("has an '@' after its '?', so perhaps a '/' or a '?' in its password, that is not \
                    escaped; write '@' as %40, '/' as %2F and '?' as %3F"
            .to_owned());
    }
    let (hosts, database) = address.split_once('/').unwrap_or((address, ""));
    split_hosts(hosts, &mut parameters)?;
    set(&mut parameters, "dbname", decode("database name", database)?);
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').ok_or("has a parameter without '='; give key=value")?;
        let key = decode("parameter's name", key)?;
        // The form of JDBC, which libpq accepts too.
        let (key, value) = if (key.as_str(), value) == ("ssl", "true") {
            ("sslmode".to_owned(), "require")
        } else {
            (key, value)
        };
        let known = KEYS.iter().find(|(name, _)| *name == key);
        let name = known.map(|(name, _)| *name).ok_or_else(|| unknown(&key, query))?;
        set(&mut parameters, name, decode(name, value)?);
    }
    Ok(parameters)
}

fn unknown(key: &str, query: &str) -> String {
    let known: Vec<&str> = KEYS.iter().map(|(name, _)| *name).collect();
    let known = known.join(", ");
    if query.contains("password=") {
        // The key is not quoted: it may be the rest of a password that contains an '&'.
        return format!("has an unknown parameter; known are {known}; write '&' in a password as %26");
    }
    format!("has an unknown parameter {key:?}; known are {known}")
}

/// Sets a parameter. As in libpq, an empty value counts as not given.
fn set(parameters: &mut Parameters, name: &'static str, value: String) {
    if !value.is_empty() {
        parameters.insert(name, value);
    }
}

/// Splits `h1:5432,[::1]:5433` into the lists `host` and `port`.
fn split_hosts(text: &str, parameters: &mut Parameters) -> Result<(), String> {
    let (mut hosts, mut ports) = (Vec::new(), Vec::new());
    for part in text.split(',') {
        let (host, port) = match part.strip_prefix('[') {
            Some(bracketed) => {
                let (host, rest) = bracketed.split_once(']').ok_or("has an IPv6 address without its ']'")?;
                let port = rest.strip_prefix(':').or(rest.is_empty().then_some(""));
                (host, port.ok_or("has something after an IPv6 address that is no port")?)
            }
            None => part.split_once(':').unwrap_or((part, "")),
        };
        hosts.push(decode("host", host)?);
        ports.push(decode("port", port)?);
    }
    if hosts.iter().any(|host| !host.is_empty()) {
        set(parameters, "host", hosts.join(","));
    }
    if ports.iter().any(|port| !port.is_empty()) {
        set(parameters, "port", ports.join(","));
    }
    Ok(())
}

/// Percent-decoding. A `+` is not changed.
fn decode(what: &str, text: &str) -> Result<String, String> {
    let invalid = |problem: &str| format!("has {problem} in its {what}");
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digit = |byte: Option<u8>| char::from(byte.unwrap_or_default()).to_digit(16);
        match (digit(rest.next()), digit(rest.next())) {
            (Some(high), Some(low)) => bytes.push((high * 16 + low) as u8),
            _ => return Err(invalid("a '%' without two hexadecimal digits (write '%' as %25)")),
        }
    }
    if bytes.contains(&0) {
        return Err(invalid("a NUL"));
    }
    String::from_utf8(bytes).map_err(|_| invalid("bytes that are not UTF-8"))
}

/// Percent-encoding of all characters that have a meaning in a URL.
pub(super) fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Vec<(&'static str, String)> {
        parse(text).unwrap_or_else(|error| panic!("{text}: {error}")).into_iter().collect()
    }

    #[track_caller]
    fn is(text: &str, expected: &[(&str, &str)]) {
        let expected: Vec<_> =
            expected.iter().map(|(key, value)| (*key, (*value).to_owned())).collect::<Vec<_>>();
        assert_eq!(parsed(text), expected, "{text}");
    }

    #[test]
    fn every_part_is_found() {
        is(
            "postgres://me:secret@db:6543/app?sslmode=require",
            &[
                ("dbname", "app"),
                ("host", "db"),
                ("password", "secret"),
                ("port", "6543"),
                ("sslmode", "require"),
                ("user", "me"),
            ],
        );
        is("postgresql://", &[]);
        is("postgres:///app", &[("dbname", "app")]);
        is("postgres://db", &[("host", "db")]);
        is("postgres://:5433", &[("port", "5433")]);
        is("postgres://db?user=me", &[("host", "db"), ("user", "me")]);
        is("postgres://db/a/b", &[("dbname", "a/b"), ("host", "db")]);
        is("postgres://a:1,b,[::1]:3/x", &[("dbname", "x"), ("host", "a,b,::1"), ("port", "1,,3")]);
        is("postgres:///?host=/run/postgresql", &[("host", "/run/postgresql")]);
        is("postgres://%2Frun%2Fpostgresql/x", &[("dbname", "x"), ("host", "/run/postgresql")]);
        is("postgres://db?ssl=true&sslmode=", &[("host", "db"), ("sslmode", "require")]);
    }

    #[test]
    fn the_query_overrides_the_authority_and_the_path() {
        is("postgres://a/x?host=b&dbname=y&host=c", &[("dbname", "y"), ("host", "c")]);
    }

    #[test]
    fn escapes_are_decoded_once_and_a_plus_is_not_changed() {
        is("postgres://m%40e:p%3A%2F%25a+b@db", &[("host", "db"), ("password", "p:/%a+b"), ("user", "m@e")]);
        assert_eq!(encode("a/b c:@%é"), "a%2Fb%20c%3A%40%25%C3%A9");
        assert_eq!(decode("x", &encode("a/b c:@%é")).unwrap(), "a/b c:@%é");
    }

    #[test]
    fn every_refusal_names_the_fault_and_quotes_no_password() {
        let cases = [
            ("postgres:me:hunter2@db", "postgres://USER@HOST/DATABASE"),
            ("postgres://me:hunter2@hunter2@db/x", "%40"),
            ("postgres://me:12/hunter2@db/x", "%2F"),
            ("postgres://me:hunter2/x@db/x", "%2F"),
            ("postgres://me:a/hunter2?hunter2=x@db/x", "%3F"),
            ("postgres://me@db/x?password=a&hunter2=b", "%26"),
            ("postgres://me:hunter2%@db", "%25"),
            ("postgres://me:hunter2%0@db", "%25"),
            ("postgres://me:hunter2%zz@db", "%25"),
            ("postgres://me:hunter2%00@db", "a NUL in its password"),
            ("postgres://me:hunter2%ff@db", "UTF-8"),
            ("postgres://[::1/x", "']'"),
            ("postgres://[::1]x/x", "no port"),
            ("postgres://db?hunter2", "without '='"),
            ("postgres://db?colour=hunter2", "unknown parameter \"colour\"; known are host, hostaddr, port"),
        ];
        for (text, expected) in cases {
            let refusal = parse(text).unwrap_err();
            assert!(refusal.contains(expected) && !refusal.contains('\n'), "{text}: {refusal}");
            assert!(!refusal.contains("hunter2"), "{text}: {refusal}");
        }
    }
}
