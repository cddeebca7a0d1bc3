//! Temporary PostgreSQL clusters: started, stopped in every way, frozen, copied into a standby, promoted.

use std::collections::HashMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::ports::free_port;
pub use crate::programs::Release;
use crate::programs::{give, unprivileged};
use crate::session::Session;
use crate::site::Site;

/// How many ports are tried.
const TRIES: usize = 5;
/// How long a server may take to start or to stop before the test gives up.
const PATIENCE: Duration = Duration::from_secs(60);

/// The settings of a test server, which is fast, and so small that many can run at once. A killed server
/// loses nothing by `fsync = off`; only a crash of the machine would.
const SETTINGS: [(&str, &str); 14] = [
    ("listen_addresses", "127.0.0.1"),
    ("fsync", "off"),
    ("full_page_writes", "off"),
    ("max_connections", "60"),
    ("shared_buffers", "32MB"),
    ("dynamic_shared_memory_type", "posix"),
    ("wal_level", "replica"),
    ("wal_keep_size", "64MB"),
    ("max_wal_senders", "4"),
    ("jit", "off"),
    ("timezone", "UTC"),
    ("log_timezone", "UTC"),
    ("log_line_prefix", "%m [%p] %u@%d "),
    ("logging_collector", "off"),
];

/// How a server is ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// Open transactions are rolled back, clients told, data written.
    Fast,
    /// Like a crash, but its processes end in order; the next start recovers.
    Immediate,
    /// `kill -9` of the postmaster; its other processes notice.
    Kill,
}

/// A cluster and its server, ended and removed when it is dropped or the test's process ends.
pub struct Cluster {
    release: Release,
    port: u16,
    postmaster: Option<Child>,
    // Dropped last: it removes the files.
    site: Site,
}

/// What differs from an ordinary cluster.
pub struct Plan {
    release: Release,
    settings: Vec<(String, String)>,
    hba: Option<String>,
}

impl Plan {
    /// A line of postgresql.conf.
    pub fn set(mut self, name: &str, value: impl ToString) -> Plan {
        self.settings.push((name.to_owned(), value.to_string()));
        self
    }

    /// The whole pg_hba.conf instead of `trust` for everybody.
    pub fn hba(mut self, text: &str) -> Plan {
        self.hba = Some(text.to_owned());
        self
    }

    /// The lines of pg_hba.conf for connections by TCP; on its socket the server trusts `postgres`.
    pub fn access(self, lines: &str) -> Plan {
        self.hba(&format!("local all postgres trust\n{lines}\n"))
    }

    pub fn start(self) -> Cluster {
        let site = Site::fresh();
        copy(&template(self.release), &site.path().join("data"));
        let mut cluster = Cluster { release: self.release, port: free_port(), postmaster: None, site };
        if let Some(hba) = &self.hba {
            cluster.site.write("data/pg_hba.conf", hba);
        }
        let fixed = SETTINGS.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let settings: Vec<_> = fixed.into_iter().chain(self.settings).collect();
        for _ in 0..TRIES {
            cluster.configure(&settings);
            if cluster.try_start(Instant::now() + PATIENCE) {
                return cluster;
            }
            // Another server may have taken the port meanwhile.
            cluster.port = free_port();
        }
        panic!("the server does not start:\n{}", cluster.log());
    }
}

impl Cluster {
    /// An ordinary cluster: user `postgres`, no password, database `postgres`.
    pub fn start(release: Release) -> Cluster {
        Cluster::plan(release).start()
    }

    pub fn plan(release: Release) -> Plan {
        Plan { release, settings: Vec::new(), hba: None }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn url(&self) -> String {
        self.url_at(self.port)
    }

    /// The same through another port, a proxy's.
    pub fn url_at(&self, port: u16) -> String {
        format!("postgres://postgres@127.0.0.1:{port}/postgres")
    }

    /// Makes another database; its URL.
    pub fn database(&self, name: &str) -> String {
        self.session().run(&format!("CREATE DATABASE {name}"));
        format!("postgres://postgres@127.0.0.1:{}/{name}", self.port)
    }

    /// The URL for a role (`me` or `me:password`) with further parameters. No limit for one address ends an
    /// attempt on a busy machine.
    pub fn url_for(&self, role: &str, parameters: &str) -> String {
        format!("postgres://{role}@127.0.0.1:{}/postgres?connect_timeout=0&{parameters}", self.port)
    }

    /// The directory of its socket.
    pub fn socket(&self) -> &Path {
        self.site.path()
    }

    /// A session of `postgres`.
    pub fn session(&self) -> Session {
        let socket = self.socket().display();
        Session::open(&format!("postgres://postgres@/postgres?host={socket}&port={}", self.port))
    }

    /// What the server wrote to its log so far.
    pub fn log(&self) -> String {
        let bytes = std::fs::read(self.site.path().join("log")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    fn data(&self) -> PathBuf {
        self.site.path().join("data")
    }

    /// The postmaster's id. The server's other processes are its children.
    pub fn pid(&self) -> u32 {
        self.postmaster.as_ref().expect("the server runs").id()
    }

    fn configure(&self, settings: &[(String, String)]) {
        let own = [
            ("port".to_owned(), self.port.to_string()),
            ("unix_socket_directories".to_owned(), self.site.path().display().to_string()),
        ];
        let lines: String = own
            .iter()
            .chain(settings)
            .map(|(name, value)| format!("{name} = '{}'\n", value.replace('\'', "''")))
            .collect();
        self.site.write("data/postgresql.conf", &lines);
    }

    /// Starts the server that was stopped, on the same port, and waits until it accepts connections.
    pub fn start_again(&mut self) {
        assert!(self.postmaster.is_none(), "it runs");
        let deadline = Instant::now() + PATIENCE;
        while !self.try_start(deadline) {
            // After `kill -9` the old server's processes may still hold its shared memory.
            assert!(Instant::now() < deadline, "the server does not start:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Starts the server, and waits until it accepts connections; false if it ends instead.
    fn try_start(&mut self, deadline: Instant) -> bool {
        let log = File::options().create(true).append(true).open(self.site.path().join("log")).unwrap();
        let mut command = unprivileged(self.release.directory().join("postgres"));
        let command = command.arg("-D").arg(self.data()).stdin(Stdio::null());
        let command = command.stdout(log.try_clone().unwrap()).stderr(log);
        let mut postmaster = command.spawn().expect("postgres starts");
        while postmaster.try_wait().unwrap().is_none() {
            if self.is_ready(postmaster.id()) {
                self.postmaster = Some(postmaster);
                return true;
            }
            assert!(Instant::now() < deadline, "the server is not ready:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(2));
        }
        false
    }

    /// The eighth line of the lock file says so.
    fn is_ready(&self, pid: u32) -> bool {
        let text = std::fs::read_to_string(self.data().join("postmaster.pid")).unwrap_or_default();
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        lines.first() == Some(&&*pid.to_string()) && matches!(lines.get(7), Some(&("ready" | "standby")))
    }

    /// Stops the server, and waits until none of its processes is left that could still do some work.
    pub fn stop(&mut self, how: Stop) {
        let children = self.children();
        let mut postmaster = self.postmaster.take().expect("the server runs");
        let signal = match how {
            Stop::Fast => Signal::SIGINT,
            Stop::Immediate => Signal::SIGQUIT,
            Stop::Kill => Signal::SIGKILL,
        };
        kill(Pid::from_raw(postmaster.id() as i32), signal).unwrap();
        let deadline = Instant::now() + PATIENCE;
        let works = |&child: &u32| !matches!(state(child), None | Some('Z' | 'X'));
        while postmaster.try_wait().unwrap().is_none() || children.iter().any(works) {
            assert!(Instant::now() < deadline, "{how:?} does not end the server:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    pub fn restart(&mut self, how: Stop) {
        self.stop(how);
        self.start_again();
    }

    /// Freezes every process of the server, and waits until none runs: it hangs, and the kernel keeps its
    /// sockets open.
    pub fn freeze(&self) {
        self.signal_all(Signal::SIGSTOP);
        let deadline = Instant::now() + PATIENCE;
        let runs = |child: &u32| !matches!(state(*child), None | Some('T' | 'Z' | 'X'));
        while std::iter::once(self.pid()).chain(self.children()).any(|child| runs(&child)) {
            assert!(Instant::now() < deadline, "the server does not freeze");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Lets a frozen server go on.
    pub fn thaw(&self) {
        self.signal_all(Signal::SIGCONT);
    }

    fn signal_all(&self, signal: Signal) {
        // The postmaster first, so that it starts no other process meanwhile.
        kill(Pid::from_raw(self.pid() as i32), signal).expect("the server runs");
        for child in self.children() {
            // One of them may have ended meanwhile.
            let _ = kill(Pid::from_raw(child as i32), signal);
        }
    }

    fn children(&self) -> Vec<u32> {
        let pid = self.pid();
        let list = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
        list.expect("the server runs").split_whitespace().map(|child| child.parse().unwrap()).collect()
    }

    /// A streaming standby of this server. Restarts this server, so that its files can be copied at rest.
    pub fn standby(&mut self) -> Cluster {
        self.standby_through(self.port)
    }

    /// The same, which reaches this server through another port, a proxy's.
    pub fn standby_through(&mut self, source: u16) -> Cluster {
        self.stop(Stop::Fast);
        let site = Site::fresh();
        copy(&self.data(), &site.path().join("data"));
        let port = free_port();
        let mut standby = Cluster { release: self.release, port, postmaster: None, site };
        let conf = std::fs::read_to_string(self.data().join("postgresql.conf")).unwrap();
        let own = |line: &&str| !line.starts_with("port ") && !line.starts_with("unix_socket_directories ");
        let kept: String = conf.lines().filter(own).map(|line| format!("{line}\n")).collect();
        let socket = standby.site.path().display();
        let source = format!("host=127.0.0.1 port={source} user=postgres");
        let text = format!(
            "{kept}port = {port}\nunix_socket_directories = '{socket}'\nprimary_conninfo = '{source}'\n"
        );
        standby.site.write("data/postgresql.conf", &text);
        standby.site.write("data/standby.signal", "");
        self.start_again();
        standby.start_again();
        standby
    }

    /// Starts this stopped server as a standby of another, of which it was the primary.
    pub fn follow(&mut self, port: u16) {
        let conf = std::fs::read_to_string(self.data().join("postgresql.conf")).unwrap();
        let source = format!("primary_conninfo = 'host=127.0.0.1 port={port} user=postgres'\n");
        self.site.write("data/postgresql.conf", &format!("{conf}{source}"));
        self.site.write("data/standby.signal", "");
        self.start_again();
    }

    /// Makes a standby a primary, and waits until it is one.
    pub fn promote(&self) {
        assert_eq!(self.session().one("SELECT pg_promote(true, 60)"), "t");
    }

    /// Changes a setting of the running server.
    pub fn alter(&self, name: &str, value: &str) {
        let session = self.session();
        session.run(&format!("ALTER SYSTEM SET {name} = '{value}'"));
        session.run("SELECT pg_reload_conf()");
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if let Some(mut postmaster) = self.postmaster.take() {
            self.postmaster = None;
            let pid = Pid::from_raw(postmaster.id() as i32);
            let _ = kill(pid, Signal::SIGQUIT);
            let _ = kill(pid, Signal::SIGCONT);
            let deadline = Instant::now() + Duration::from_secs(10);
            while matches!(postmaster.try_wait(), Ok(None)) {
                if Instant::now() > deadline {
                    let _ = postmaster.kill();
                }
                std::thread::sleep(Duration::from_millis(2));
            }
        }
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            let last = lines[lines.len().saturating_sub(30)..].join("\n");
            eprintln!("the end of the server's log:\n{last}");
        }
    }
}

/// The state of a process as the kernel writes it; none if there is no such process.
fn state(pid: u32) -> Option<char> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // Behind its name, which stands in brackets and may hold any.
    stat.rsplit_once(") ")?.1.chars().next()
}

/// `initdb` takes a second; copying what it made, some milliseconds. Made once per test binary.
fn template(release: Release) -> PathBuf {
    static MADE: OnceLock<Mutex<HashMap<Release, Site>>> = OnceLock::new();
    let mut made = MADE.get_or_init(Mutex::default).lock().unwrap_or_else(|poison| poison.into_inner());
    let site = made.entry(release).or_insert_with(|| {
        let site = Site::fresh();
        let mut initdb = unprivileged(release.directory().join("initdb"));
        initdb.arg("-D").arg(site.path().join("data"));
        initdb.args(["-U", "postgres", "-A", "trust", "-N", "-E", "UTF8", "--locale=C"]);
        let output = initdb.output().expect("initdb starts");
        assert!(output.status.success(), "initdb failed:\n{}", String::from_utf8_lossy(&output.stderr));
        site
    });
    site.path().join("data")
}

/// Copies a data directory, as the user who owns it.
fn copy(from: &Path, to: &Path) {
    let status = Command::new("cp").arg("-a").arg(from).arg(to).status().expect("cp starts");
    assert!(status.success(), "copying {} failed", from.display());
    give(to);
}

/// One server per release for all tests of this binary that need no control over it; with
/// `ELECTOR_TEST_POSTGRES`, the URL of a superuser, that server instead. Gives such a URL.
pub fn shared(release: Release) -> String {
    if let Ok(url) = std::env::var("ELECTOR_TEST_POSTGRES") {
        return url;
    }
    with_shared(release, Cluster::url)
}

/// The postmaster of that server, unless it is another's.
pub fn shared_pid(release: Release) -> Option<u32> {
    std::env::var_os("ELECTOR_TEST_POSTGRES").is_none().then(|| with_shared(release, Cluster::pid))
}

fn with_shared<T>(release: Release, ask: impl FnOnce(&Cluster) -> T) -> T {
    static SHARED: OnceLock<Mutex<HashMap<Release, Cluster>>> = OnceLock::new();
    let mut shared = SHARED.get_or_init(Mutex::default).lock().unwrap_or_else(|poison| poison.into_inner());
    ask(shared.entry(release).or_insert_with(|| Cluster::start(release)))
}

/// The same server's URL of a fresh database. On a server that stays, the next run drops it.
pub fn fresh_database(release: Release) -> String {
    static TIDIED: std::sync::Once = std::sync::Once::new();
    let url = shared(release);
    let session = Session::open(&url);
    if std::env::var_os("ELECTOR_TEST_POSTGRES").is_some() {
        TIDIED.call_once(|| drop_old_databases(&session));
    }
    let name = format!("elector_test_{}_{:016x}", std::process::id(), rand::random::<u64>());
    session.run(&format!("CREATE DATABASE {name}"));
    let (before, query) = url.split_once('?').map_or((&*url, None), |(before, query)| (before, Some(query)));
    let server = before.rsplit_once('/').expect("the URL names a database").0;
    query.map_or(format!("{server}/{name}"), |query| format!("{server}/{name}?{query}"))
}

/// Those of test processes that have ended.
fn drop_old_databases(session: &Session) {
    for row in session.run("SELECT datname FROM pg_database WHERE datname LIKE 'elector\\_test\\_%'") {
        let name = row[0].as_deref().unwrap_or_default();
        let pid = name.split('_').nth(2).unwrap_or_default();
        if !Path::new("/proc").join(pid).exists() {
            // Another run may be doing the same.
            let _ = session.query(&format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"));
        }
    }
}
