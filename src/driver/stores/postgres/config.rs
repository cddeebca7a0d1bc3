//! The configuration of a PostgreSQL store: its URL, completed from the environment.

use std::env;
use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use super::uri::{self, KEYS, Parameters, UNSUPPORTED};
use crate::core::sql::postgres::is_schema;
use crate::driver::stores::IfMissing;

/// A PostgreSQL URL, completed from the environment and the defaults. URLs with the same settings are equal.
///
/// The form is libpq's: `postgres://USER:PASSWORD@HOST:PORT,HOST:PORT/DATABASE?KEY=VALUE&…`. These keys have
/// libpq's meaning:
///
/// | key | values | default |
/// |---|---|---|
/// | `host`, `port`, `hostaddr` | lists; a host that begins with `/` is a socket's directory | this machine |
/// | `user`, `password`, `dbname` | | the system's user; none; the user's name |
/// | `passfile` | a path | `~/.pgpass` |
/// | `sslmode` | `disable`, `allow` = `prefer`, `require`, `verify-ca`, `verify-full` | `prefer` |
/// | `sslrootcert` | a path, or `system` | `~/.postgresql/root.crt` if there, else the system's |
/// | `sslcert`, `sslkey` | paths | `~/.postgresql/postgresql.crt`, `.key` if there |
/// | `channel_binding` | `disable`, `prefer`, `require` | `prefer` |
/// | `connect_timeout` | seconds for one address; 0: no limit of its own | 5 |
/// | `application_name` | | `elector` |
/// | `target_session_attrs` | `any`, `read-write` = `primary` | `read-write`: a lease is written |
/// | `gssencmode` | `disable`, `prefer`: there is no GSSAPI encryption | `disable` |
/// | `sslnegotiation` | `postgres`: TLS is asked for first | `postgres` |
/// | `ssl_min_protocol_version` | `TLSv1`, `TLSv1.1`, `TLSv1.2`: never less than the last | `TLSv1.2` |
/// | `options` | options for the server's command line | none |
/// | `keepalives`, `keepalives_idle`, `_interval`, `_count` | 0 or 1; seconds; seconds; number | 1; 5; 2; 3 |
/// | `tcp_user_timeout` | milliseconds; 0: the system's | 10000 |
///
/// and these are Elector's own:
///
/// | key | values | default |
/// |---|---|---|
/// | `schema` | the schema of the table, 1 to 63 bytes; case matters | `public` |
/// | `create_table` | `true`, `false` | `true` |
/// | `prepare` | `true`, `false`: no named statements, for poolers | `false` behind a pooler, else `true` |
///
/// Keys that the URL does not have come from the environment (`PGHOST`, `PGHOSTADDR`, `PGPORT`, `PGUSER`,
/// `PGPASSWORD`, `PGPASSFILE`, `PGDATABASE`, `PGSSLMODE`, `PGSSLROOTCERT`, `PGSSLCERT`, `PGSSLKEY`,
/// `PGCHANNELBINDING`, `PGCONNECT_TIMEOUT`, `PGAPPNAME`, `PGTARGETSESSIONATTRS`, `PGOPTIONS`, `PGGSSENCMODE`,
/// `PGSSLNEGOTIATION`, `PGSSLMINPROTOCOLVERSION`), and a password that neither has comes from the password
/// file, which is read for each connection. `PGSERVICE`, `PGREQUIREAUTH`, `PGREQUIREPEER`, `PGSSLCRL` and
/// `PGSSLCRLDIR` are refused: their settings are not supported and must not be ignored silently.
///
/// `Display` and `Debug` show no password.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct PostgresUrl {
    pub(super) servers: Vec<Server>,
    pub(super) user: String,
    pub(super) password: Option<String>,
    pub(super) passfile: Option<PathBuf>,
    pub(super) database: String,
    pub(super) tls: TlsOptions,
    pub(super) channel_binding: ChannelBinding,
    /// Maximum time for one address; `None`: only the caller's deadline limits it.
    pub(super) connect_timeout: Option<Duration>,
    pub(super) application_name: String,
    pub(super) read_write: bool,
    pub(super) options: Option<String>,
    /// `None`: keepalives are off.
    pub(super) keepalives: Option<Keepalives>,
    /// How long sent data may remain unacknowledged; `None`: the system's default.
    pub(super) tcp_user_timeout: Option<Duration>,
    pub(super) schema: String,
    /// What happens if the table is missing or incomplete.
    pub(super) if_missing: IfMissing,
    /// `None`: named, unless a pooler is found.
    pub(super) statements: Option<Statements>,
}

/// One server of the list.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Server {
    /// A name, an address, or a socket's directory (which begins with `/`).
    pub host: String,
    /// The address to connect to, without a lookup of the host; the certificate must still be for the host.
    pub address: Option<IpAddr>,
    pub port: u16,
}

impl Server {
    pub(super) fn is_socket(&self) -> bool {
        self.host.starts_with('/') && self.address.is_none()
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

/// How statements reach the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Statements {
    /// Prepared once for each connection, under a name.
    Named,
    /// Sent in full each time, as poolers need that give each transaction another server connection.
    Unnamed,
}

/// The TLS settings: how the server and this client are authenticated.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct TlsOptions {
    pub mode: SslMode,
    pub roots: Option<RootCert>,
    pub certificate: Option<PathBuf>,
    pub key: Option<PathBuf>,
    /// `~/.postgresql`, where libpq looks for files that were not named.
    pub defaults: Option<PathBuf>,
}

/// See libpq's `sslmode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum SslMode {
    Disable,
    Prefer,
    Require,
    VerifyCa,
    VerifyFull,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum RootCert {
    System,
    File(PathBuf),
}

/// Whether SCRAM authentication is bound to the TLS session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum ChannelBinding {
    Disable,
    Prefer,
    Require,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Keepalives {
    pub idle: Duration,
    pub interval: Duration,
    pub count: u32,
}

/// The sources from which a URL is completed; tests replace them.
pub(super) struct Environment<'a> {
    pub variable: &'a dyn Fn(&str) -> Option<String>,
    pub user: &'a dyn Fn() -> Option<String>,
    pub exists: &'a dyn Fn(&Path) -> bool,
}

impl PostgresUrl {
    /// Parses a `postgres://` or `postgresql://` URL and completes it from the environment.
    ///
    /// # Errors
    /// When the text is no such URL, or a value in it or in the environment is invalid. The message is one
    /// line and quotes nothing that may be a password.
    pub fn parse(text: &str) -> Result<PostgresUrl, String> {
        let user = || nix::unistd::User::from_uid(nix::unistd::geteuid()).ok()?.map(|user| user.name);
        let variable = |name: &str| env::var(name).ok();
        PostgresUrl::complete(
            uri::parse(text).map_err(|problem| format!("the PostgreSQL URL {problem}"))?,
            &Environment { variable: &variable, user: &user, exists: &|path| path.exists() },
        )
    }

    /// The schema that holds the table.
    #[must_use]
    pub fn schema(&self) -> &str {
        &self.schema
    }

    /// Sets the schema that holds the table.
    pub(crate) fn set_schema(&mut self, schema: &str) -> Result<(), String> {
        if !is_schema(schema) {
            return Err(format!("schema {schema:?}: give {SCHEMA}"));
        }
        self.schema = schema.to_owned();
        Ok(())
    }

    /// Sets what happens if the table is missing.
    pub(crate) fn set_if_missing(&mut self, action: IfMissing) {
        self.if_missing = action;
    }

    pub(super) fn complete(given: Parameters, environment: &Environment<'_>) -> Result<PostgresUrl, String> {
        let reader = Reader { given, environment };
        let servers = reader.servers()?;
        // Read only to refuse unsupported values.
        reader.one_of("gssencmode", (), &[("disable", ()), ("prefer", ())])?;
        reader.one_of("sslnegotiation", (), &[("postgres", ())])?;
        let protocols = ["TLSv1", "TLSv1.1", "TLSv1.2"].map(|version| (version, ()));
        reader.one_of("ssl_min_protocol_version", (), &protocols)?;
        let is_set = |variable: &str| (environment.variable)(variable).is_some_and(|value| !value.is_empty());
        if let Some(variable) = UNSUPPORTED.into_iter().find(|variable| is_set(variable)) {
            return Err(format!(
                "the environment has {variable}, which PostgreSQL stores do not support; unset it for this \
                 program, and put the settings that you need in the URL"
            ));
        }
        let user = reader.text("user").or_else(|| (environment.user)());
        let user = user.ok_or("the PostgreSQL URL names no user, and the system's user has no name")?;
        let home = (environment.variable)("HOME").map(PathBuf::from).filter(|path| path.is_absolute());
        let seconds = |name, default| reader.number(name, default).map(Duration::from_secs);
        let keepalives = Keepalives {
            idle: seconds("keepalives_idle", 5)?,
            interval: seconds("keepalives_interval", 2)?,
            count: reader.number("keepalives_count", 3)?,
        };
        let timeout = |limit: Duration| (!limit.is_zero()).then_some(limit);
        Ok(PostgresUrl {
            servers,
            database: reader.text("dbname").unwrap_or_else(|| user.clone()),
            user,
            password: reader.text("password"),
            passfile: reader.path("passfile").or_else(|| home.as_ref().map(|home| home.join(".pgpass"))),
            tls: reader.tls(home.as_deref())?,
            channel_binding: reader.one_of(
                "channel_binding",
                ChannelBinding::Prefer,
                &[
                    ("disable", ChannelBinding::Disable),
                    ("prefer", ChannelBinding::Prefer),
                    ("require", ChannelBinding::Require),
                ],
            )?,
            connect_timeout: timeout(seconds("connect_timeout", 5)?),
            application_name: reader.text("application_name").unwrap_or_else(|| "elector".to_owned()),
            read_write: reader.one_of(
                "target_session_attrs",
                true,
                &[("any", false), ("read-write", true), ("primary", true)],
            )?,
            options: reader.text("options"),
            keepalives: reader.one_of(
                "keepalives",
                Some(keepalives.clone()),
                &[("0", None), ("1", Some(keepalives))],
            )?,
            tcp_user_timeout: timeout(Duration::from_millis(reader.number("tcp_user_timeout", 10_000)?)),
            schema: reader.schema()?,
            if_missing: reader.one_of(
                "create_table",
                IfMissing::Create,
                &[("true", IfMissing::Create), ("false", IfMissing::Leave)],
            )?,
            statements: reader.one_of(
                "prepare",
                None,
                &[("true", Some(Statements::Named)), ("false", Some(Statements::Unnamed))],
            )?,
        })
    }
}

/// Reads values from the URL, or else from the environment.
struct Reader<'a> {
    given: Parameters,
    environment: &'a Environment<'a>,
}

impl Reader<'_> {
    /// A value, and its name in the source: the key of the URL or the environment variable.
    fn find(&self, name: &'static str) -> Option<(String, &'static str)> {
        if let Some(value) = self.given.get(name) {
            return Some((value.clone(), name));
        }
        // `PGHOSTADDR` belongs to `PGHOST`, so it does not apply to a host of the URL.
        if name == "hostaddr" && self.given.contains_key("host") {
            return None;
        }
        let (_, variable) = KEYS.iter().find(|(key, _)| *key == name)?;
        let variable = (*variable)?;
        (self.environment.variable)(variable).filter(|value| !value.is_empty()).map(|value| (value, variable))
    }

    fn text(&self, name: &'static str) -> Option<String> {
        self.find(name).map(|(value, _)| value)
    }

    fn path(&self, name: &'static str) -> Option<PathBuf> {
        self.text(name).map(PathBuf::from)
    }

    fn number<N: FromStr>(&self, name: &'static str, default: N) -> Result<N, String> {
        let Some((value, source)) = self.find(name) else { return Ok(default) };
        value.trim().parse().map_err(|_| invalid(source, &value, "a whole number that is not negative"))
    }

    fn one_of<T: Clone>(&self, name: &'static str, default: T, known: &[(&str, T)]) -> Result<T, String> {
        let Some((value, source)) = self.find(name) else { return Ok(default) };
        let found = known.iter().find(|(word, _)| *word == value).map(|(_, meaning)| meaning.clone());
        found.ok_or_else(|| {
            let words: Vec<&str> = known.iter().map(|(word, _)| *word).collect();
            invalid(source, &value, &words.join(", "))
        })
    }

    fn schema(&self) -> Result<String, String> {
        match self.find("schema") {
            None => Ok("public".to_owned()),
            Some((name, source)) => match is_schema(&name) {
                true => Ok(name),
                false => Err(invalid(source, &name, SCHEMA)),
            },
        }
    }

    fn tls(&self, home: Option<&Path>) -> Result<TlsOptions, String> {
        let roots = self.text("sslrootcert").map(|path| match path.as_str() {
            "system" => RootCert::System,
            _ => RootCert::File(path.into()),
        });
        // As in libpq: anyone can get a certificate that the system trusts, so its name must be checked.
        let system = roots == Some(RootCert::System);
        let default = if system { SslMode::VerifyFull } else { SslMode::Prefer };
        let known = [
            ("disable", SslMode::Disable),
            // libpq tries without TLS first, which makes no connection safer.
            ("allow", SslMode::Prefer),
            ("prefer", SslMode::Prefer),
            ("require", SslMode::Require),
            ("verify-ca", SslMode::VerifyCa),
            ("verify-full", SslMode::VerifyFull),
        ];
        let mode = self.one_of("sslmode", default, &known)?;
        if system && mode != SslMode::VerifyFull {
            return Err(
                "the PostgreSQL URL has sslrootcert=system, which accepts certificates of any server; \
                        give sslmode=verify-full with it"
                    .to_owned(),
            );
        }
        Ok(TlsOptions {
            mode,
            roots,
            certificate: self.path("sslcert"),
            key: self.path("sslkey"),
            defaults: home.map(|home| home.join(".postgresql")),
        })
    }

    fn servers(&self) -> Result<Vec<Server>, String> {
        let addresses = match self.find("hostaddr") {
            None => Vec::new(),
            Some((list, source)) => list
                .split(',')
                .map(|text| text.trim().parse::<IpAddr>().map(Some))
                .collect::<Result<Vec<_>, _>>()
                .map_err(|_| invalid(source, &list, "IP addresses"))?,
        };
        let ports = self.ports()?;
        let port = |at: usize| ports.get(at).or(ports.first().filter(|_| ports.len() == 1)).copied();
        let hosts: Vec<String> = match self.text("host") {
            Some(list) => list.split(',').map(str::to_owned).collect(),
            None if addresses.is_empty() => vec![String::new()],
            None => addresses.iter().flatten().map(IpAddr::to_string).collect(),
        };
        if !addresses.is_empty() && addresses.len() != hosts.len() {
            let counts = format!("{} hosts and {} hostaddrs", hosts.len(), addresses.len());
            return Err(format!("the PostgreSQL URL has {counts}; give one address for each host"));
        }
        if ports.len() > 1 && ports.len() != hosts.len() {
            let counts = format!("{} hosts and {} ports", hosts.len(), ports.len());
            return Err(format!("the PostgreSQL URL has {counts}; give one port, or one for each host"));
        }
        let server = |(at, host): (usize, String)| {
            let port = port(at).unwrap_or(5432);
            let host = if host.is_empty() { self.local_server(port) } else { host };
            Server { host, port, address: addresses.get(at).copied().flatten() }
        };
        Ok(hosts.into_iter().enumerate().map(server).collect())
    }

    fn ports(&self) -> Result<Vec<u16>, String> {
        let Some((list, source)) = self.find("port") else { return Ok(Vec::new()) };
        let port = |text: &str| match text.trim() {
            "" => Some(5432),
            text => text.parse().ok().filter(|port| *port != 0),
        };
        let ports = list.split(',').map(port).collect::<Option<Vec<u16>>>();
        if source == "PGPORT" {
            return ports.ok_or_else(|| format!("PGPORT is '{list}'; give a number from 1 to 65535"));
        }
        // The value is not quoted: in a URL without host it is a password.
        ports.ok_or_else(|| {
            "the PostgreSQL URL has a port that is no number from 1 to 65535; give USER:PASSWORD@HOST:PORT, \
             with '/' in a password written as %2F"
                .to_owned()
        })
    }

    /// The host of the local server: the directory of its socket if a usual one exists, or else `localhost`.
    fn local_server(&self, port: u16) -> String {
        let directories = ["/run/postgresql", "/var/run/postgresql", "/tmp"];
        let name = format!(".s.PGSQL.{port}");
        let found =
            directories.into_iter().find(|path| (self.environment.exists)(&Path::new(path).join(&name)));
        found.unwrap_or("localhost").to_owned()
    }
}

const SCHEMA: &str = "a name of at most 63 bytes";

fn invalid(source: &str, value: &str, wanted: &str) -> String {
    match source.starts_with("PG") {
        true => format!("the environment has {source}={value:?}; set it to {wanted}, or unset it"),
        false => format!("the PostgreSQL URL has {source}={value:?}; give {wanted}"),
    }
}

impl fmt::Display for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "postgres://{}@", uri::encode(&self.user))?;
        for (at, server) in self.servers.iter().enumerate() {
            f.write_str(if at == 0 { "" } else { "," })?;
            match server.host.starts_with('/') {
                true => write!(f, "{}:{}", uri::encode(&server.host), server.port)?,
                false => write!(f, "{server}")?,
            }
        }
        write!(f, "/{}", uri::encode(&self.database))?;
        let mut mark = '?';
        let mut option = |key: &str, value: &str| {
            let written = write!(f, "{mark}{key}={value}");
            mark = '&';
            written
        };
        if self.tls.mode != SslMode::Prefer {
            option("sslmode", self.tls.mode.name())?;
        }
        if self.schema != "public" {
            option("schema", &uri::encode(&self.schema))?;
        }
        if !self.read_write {
            option("target_session_attrs", "any")?;
        }
        Ok(())
    }
}

impl fmt::Debug for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl SslMode {
    pub(super) fn name(self) -> &'static str {
        match self {
            SslMode::Disable => "disable",
            SslMode::Prefer => "prefer",
            SslMode::Require => "require",
            SslMode::VerifyCa => "verify-ca",
            SslMode::VerifyFull => "verify-full",
        }
    }
}

#[cfg(test)]
mod tests;
