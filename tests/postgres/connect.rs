//! Connecting to PostgreSQL as a user does, by a store's URL: who gets in, who does not, and what is said.

mod authority;

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use authority::Authority;
use elector::driver::stores::url::StoreUrl;
use elector_kit::cluster::{Cluster, Plan, Release};
use elector_kit::waiting::SOON;

/// A server of the system's release that lets these in by TCP.
fn plan(access: &str) -> Plan {
    Cluster::plan(Release::System).access(access)
}

fn server(access: &str) -> Cluster {
    plan(access).start()
}

/// A server that takes connections and never says a word, for as long as the listener is kept.
fn silent_server() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

/// Opens the store; an error is the line that a user sees. Opening takes five seconds at most: where a busy
/// machine needs more, it is tried again, as candidates do.
fn open(url: &str) -> Result<(), String> {
    let url = StoreUrl::parse(url).map_err(|error| error.to_string())?;
    let end = Instant::now() + SOON;
    loop {
        let began = Instant::now();
        let Err(error) = url.open(Arc::new(|_| {})) else { return Ok(()) };
        if error.is_permanent() {
            return Err(format!("refused: {error}"));
        }
        if began.elapsed() < Duration::from_secs(5) || Instant::now() > end {
            return Err(format!("may pass: {error}"));
        }
    }
}

#[track_caller]
fn opens(url: &str) {
    if let Err(error) = open(url) {
        panic!("{url}: {error}");
    }
}

/// The one line of a refusal has all these parts, and no password.
#[track_caller]
fn fails(url: &str, parts: &[&str]) {
    let error = open(url).expect_err(url);
    for part in parts {
        assert!(error.contains(part), "{part:?} is not in: {error}");
    }
    assert!(!error.contains('\n') && !error.contains("hunter2") && !error.contains("s3cret"), "{error}");
}

#[test]
fn a_password_opens_and_what_is_wrong_is_said_without_it() {
    let server = server(
        "host all scram,both 127.0.0.1/32 scram-sha-256\nhost all old 127.0.0.1/32 md5\n\
         host all plain 127.0.0.1/32 password\nhost all nobody 127.0.0.1/32 reject",
    );
    server.session().run(
        "CREATE ROLE scram LOGIN PASSWORD 's3cret'; CREATE ROLE plain LOGIN PASSWORD 's3cret';
         SET password_encryption = md5; CREATE ROLE old LOGIN PASSWORD 's3cret';
         CREATE ROLE nobody LOGIN; REVOKE CONNECT ON DATABASE template1 FROM PUBLIC;
         GRANT CREATE ON SCHEMA public TO PUBLIC",
    );
    for role in ["scram", "old", "plain"] {
        opens(&server.url_for(&format!("{role}:s3cret"), ""));
        let wrong = ["refused", "28P01", &format!("postgres://{role}@127.0.0.1"), "check the password"];
        fails(&server.url_for(&format!("{role}:hunter2"), ""), &wrong);
    }
    fails(&server.url_for("scram", "passfile=/dev/null"), &["refused", "asks for a password", "PGPASSWORD"]);
    fails(&server.url_for("nobody", ""), &["refused", "28000", "pg_hba.conf"]);
    fails(&server.url_for("stranger:hunter2", ""), &["refused", "28000", "pg_hba.conf"]);
    let at =
        |database: &str| server.url_for("scram:s3cret", "").replace("/postgres?", &format!("/{database}?"));
    fails(&at("absent"), &["refused", "3D000", "\"absent\"", "or name another"]);
    fails(&at("template1"), &["refused", "42501", "template1", "CONNECT"]);
    fails(&server.url_for("scram:s3cret", "channel_binding=require"), &["refused", "channel binding"]);
    fails(
        &server.url_for("scram:s3cret", "options=-c%20no.such%3D1%20-c%20nonsense%3D1"),
        &["refused", "nonsense", "`options`"],
    );
}

#[test]
fn a_password_comes_from_the_password_file_and_a_socket_needs_none() {
    let server = server("host all me 127.0.0.1/32 scram-sha-256\nlocal all me scram-sha-256");
    server.session().run("CREATE ROLE me LOGIN PASSWORD 's3cret'; GRANT CREATE ON SCHEMA public TO PUBLIC");
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("pgpass");
    let passfile = format!("passfile={}", file.display());
    let write = |mode: u32, line: &str| {
        fs::write(&file, line).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
    };
    write(0o600, &format!("127.0.0.1:{}:postgres:me:s3cret\n", server.port()));
    opens(&server.url_for("me", &passfile));
    write(0o644, "*:*:*:*:s3cret\n");
    fails(&server.url_for("me", &passfile), &["refused", "password file"]);
    write(0o600, "localhost:*:*:*:s3cret\n");
    let socket = format!("host={}&port={}", server.socket().display(), server.port());
    opens(&format!("postgres://me@/postgres?{socket}&{passfile}&sslmode=require"));
    opens(&format!("postgres://postgres@/postgres?{socket}"));
}

/// A server with a certificate, and the authority that issued it.
struct Encrypted {
    server: Cluster,
    authority: Authority,
}

impl Encrypted {
    fn start(certificate: &str, alternative: &str, days: i32) -> Encrypted {
        let authority = Authority::new();
        authority.issue(certificate, alternative, days);
        let path = |name: &str| authority.path(name).display().to_string();
        let access = plan(
            "hostssl all me 127.0.0.1/32 scram-sha-256\nhostnossl all bare 127.0.0.1/32 trust\n\
             hostssl all certain 127.0.0.1/32 cert",
        );
        let server = access
            .set("ssl", "on")
            .set("ssl_cert_file", path(&format!("{certificate}.crt")))
            .set("ssl_key_file", path(&format!("{certificate}.key")))
            .set("ssl_ca_file", path("ca.crt"))
            .start();
        server.session().run(
            "CREATE ROLE me LOGIN PASSWORD 's3cret'; CREATE ROLE bare LOGIN; CREATE ROLE certain LOGIN;
             GRANT CREATE ON SCHEMA public TO PUBLIC",
        );
        Encrypted { server, authority }
    }

    fn url(&self, host: &str, parameters: &str) -> String {
        format!("postgres://me:s3cret@{host}:{}/postgres?{parameters}", self.server.port())
    }

    fn trusting(&self, host: &str, mode: &str) -> String {
        let roots = self.authority.path("ca.crt");
        self.url(host, &format!("hostaddr=127.0.0.1&sslmode={mode}&sslrootcert={}", roots.display()))
    }
}

#[test]
fn every_sslmode_has_libpqs_meaning() {
    let tls = Encrypted::start("server", "DNS:db.test", 1);
    let other = Authority::new();
    let with_roots = |mode: &str, path: &Path| {
        let parameters = format!("hostaddr=127.0.0.1&sslmode={mode}&sslrootcert={}", path.display());
        tls.url("db.test", &parameters)
    };
    let foreign = other.path("ca.crt");
    fails(&tls.url("127.0.0.1", "sslmode=disable"), &["refused", "28000", "no encryption"]);
    for mode in ["prefer", "require"] {
        opens(&tls.url("127.0.0.1", &format!("sslmode={mode}")));
    }
    opens(&with_roots("prefer", &foreign));
    for mode in ["require", "verify-ca", "verify-full"] {
        opens(&tls.trusting("db.test", mode));
        let unknown = ["refused", "not issued by any of", &foreign.display().to_string(), "sslrootcert"];
        fails(&with_roots(mode, &foreign), &unknown);
    }
    for mode in ["require", "verify-ca"] {
        opens(&tls.trusting("elsewhere.test", mode));
    }
    let name = ["refused", "not for \"elsewhere.test\" but for db.test;", "sslmode=verify-ca"];
    fails(&tls.trusting("elsewhere.test", "verify-full"), &name);
    fails(&tls.trusting("127.0.0.1", "verify-full"), &["refused", "not for \"127.0.0.1\" but for"]);
    opens(&format!("{}&channel_binding=require", tls.trusting("db.test", "verify-full")));
    fails(&tls.url("127.0.0.1", "sslmode=verify-full&sslrootcert=system"), &["refused", "system trusts"]);
}

#[test]
fn an_address_in_the_certificate_is_verified_too() {
    let tls = Encrypted::start("server", "IP:127.0.0.1", 1);
    opens(&tls.trusting("127.0.0.1", "verify-full"));
}

#[test]
fn a_certificate_that_has_expired_is_refused_where_it_counts() {
    let tls = Encrypted::start("server", "DNS:db.test", -1);
    for mode in ["verify-ca", "verify-full"] {
        fails(&tls.trusting("db.test", mode), &["refused", "certificate has expired", "renewed"]);
    }
    opens(&tls.url("127.0.0.1", "sslmode=require"));
}

#[test]
fn prefer_goes_without_tls_where_that_is_needed_and_require_does_not() {
    let tls = Encrypted::start("server", "DNS:db.test", 1);
    let bare = |mode: &str| tls.server.url_for("bare", &format!("sslmode={mode}"));
    opens(&bare("prefer"));
    opens(&bare("disable"));
    fails(&bare("require"), &["refused", "28000"]);
    let plain = server("host all postgres 127.0.0.1/32 trust");
    opens(&plain.url_for("postgres", "sslmode=prefer"));
    fails(&plain.url_for("postgres", "sslmode=require"), &["refused", "offers no TLS", "ssl = on"]);
}

#[test]
fn a_client_certificate_opens_and_a_wrong_one_does_not() {
    let tls = Encrypted::start("server", "DNS:db.test", 1);
    tls.authority.issue("certain", "DNS:client", 1);
    let other = Authority::new();
    other.issue("certain", "DNS:client", 1);
    let url = |files: &Authority, certificate: &str, key: &str| {
        let (certificate, key) = (files.path(certificate), files.path(key));
        let parameters =
            format!("sslmode=require&sslcert={}&sslkey={}", certificate.display(), key.display());
        tls.server.url_for("certain", &parameters)
    };
    opens(&url(&tls.authority, "certain.crt", "certain.key"));
    fails(&tls.server.url_for("certain", "sslmode=require"), &["refused", "28000", "certificate"]);
    fails(&url(&other, "certain.crt", "certain.key"), &["refused", "does not accept our client certificate"]);
    fails(&url(&tls.authority, "certain.crt", "ca.key"), &["refused", "client certificate", "sslkey"]);
    fails(&url(&tls.authority, "absent.crt", "certain.key"), &["refused", "absent.crt", "cannot be read"]);
    fails(&url(&tls.authority, "certain.key", "certain.key"), &["refused", "holds no certificate", "PEM"]);
    fails(&url(&tls.authority, "certain.crt", "ca.crt"), &["refused", "holds no private key"]);
    let missing = tls.server.url_for("me", "sslmode=verify-ca&sslrootcert=/no/such.pem");
    fails(&missing, &["refused", "sslrootcert /no/such.pem cannot be read"]);
}

#[test]
fn the_first_server_that_takes_writes_is_used() {
    let first =
        plan("host all postgres 127.0.0.1/32 trust").set("default_transaction_read_only", "on").start();
    let second = server("host all postgres 127.0.0.1/32 trust");
    let (_kept, silent) = silent_server();
    let url = |ports: &[u16], more: &str| {
        let hosts: Vec<String> = ports.iter().map(|port| format!("127.0.0.1:{port}")).collect();
        format!("postgres://postgres@{}/postgres?{more}", hosts.join(","))
    };
    let down = elector_kit::ports::free_port();
    opens(&url(&[down, second.port()], ""));
    opens(&url(&[first.port(), second.port()], ""));
    opens(&url(&[silent, second.port()], ""));
    fails(
        &url(&[down, first.port()], ""),
        &[
            "may pass",
            &format!("127.0.0.1:{down}: Connection refused"),
            &format!("127.0.0.1:{}: it is read-only", first.port()),
            "is the server running",
            "give the primary",
        ],
    );
    fails(&url(&[silent], "connect_timeout=1"), &["may pass", "no answer within 1000 ms", "firewall"]);
    let wrong = url(&[second.port(), down], "").replace("postgres@", "stranger@");
    let error = open(&wrong).unwrap_err();
    assert!(
        error.contains("28000") && !error.contains("Connection refused"),
        "the next is not asked: {error}"
    );
}

#[test]
fn what_is_no_server_is_said_to_be_none() {
    // Not every resolver says at once that there is no such name.
    let error = open("postgres://me@no-such-host.invalid/x").unwrap_err();
    assert!(error.starts_with("may pass") && error.contains("no-such-host.invalid"), "{error}");
    assert!(error.contains("has no address") || error.contains("no answer within"), "{error}");
    fails("postgres://me@/x?host=/no/such/directory", &["may pass", "its socket's directory"]);
    let (listener, port) = silent_server();
    // As often as it is asked, until this process ends.
    std::thread::spawn(move || {
        use std::io::{Read, Write};
        for client in listener.incoming() {
            let mut client = client.unwrap();
            let _ = client.read(&mut [0; 1024]);
            let _ = client.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        }
    });
    let url = format!("postgres://me@127.0.0.1:{port}/x?sslmode=disable&connect_timeout=0");
    fails(&url, &["may pass", "is it a PostgreSQL server?"]);
}

/// Bounds on real time.
mod timed {
    use super::*;
    use elector_kit::witness::Witness;

    #[test]
    fn a_silent_server_costs_its_connect_timeout_and_no_more() {
        let server = server("host all postgres 127.0.0.1/32 trust");
        let (_kept, silent) = silent_server();
        let hosts = format!("127.0.0.1:{silent},127.0.0.1:{}", server.port());
        let witness = Witness::start(&[server.pid()]);
        let started = Instant::now();
        opens(&format!("postgres://postgres@{hosts}/postgres?connect_timeout=1"));
        witness.at_most(started.elapsed(), Duration::from_secs(3), "to connect to the second server");
    }
}

#[test]
fn too_many_connections_may_pass() {
    let server = plan("host all me 127.0.0.1/32 trust").set("max_connections", 10).start();
    server.session().run("CREATE ROLE me LOGIN CONNECTION LIMIT 0");
    fails(&server.url_for("me", ""), &["may pass", "53300", "too many connections"]);
}
