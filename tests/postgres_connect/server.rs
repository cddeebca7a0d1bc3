//! A PostgreSQL server for one test.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// A running server. It trusts the role `admin` on its socket; all else is up to its pg_hba.conf.
pub struct Server {
    directory: TempDir,
    process: Child,
    pub port: u16,
}

impl Server {
    /// Starts a server with these lines in its configuration and in its pg_hba.conf.
    pub fn start(configuration: &str, access: &str) -> Server {
        let directory = tempfile::tempdir().unwrap();
        let data = directory.path().join("data");
        give_away(directory.path());
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let made = program("initdb")
            .args(["--username=admin", "--auth=trust", "--no-sync", "--encoding=UTF8", "--locale=C"])
            .arg("--pgdata")
            .arg(&data)
            .output()
            .unwrap();
        assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        fs::write(data.join("pg_hba.conf"), format!("local all admin trust\n{access}\n")).unwrap();
        let configuration = format!(
            "fsync = off\nlisten_addresses = '127.0.0.1'\nunix_socket_directories = '{}'\n{configuration}\n",
            directory.path().display()
        );
        fs::write(data.join("postgresql.auto.conf"), configuration).unwrap();
        for name in ["pg_hba.conf", "postgresql.auto.conf"] {
            give_away(&data.join(name));
        }
        let port = free_port();
        let process = serve(directory.path(), port);
        let mut server = Server { directory, process, port };
        // Another test may take the port before the server does.
        for _ in 0..5 {
            if server.comes_up() {
                return server;
            }
            server.port = free_port();
            server.process = serve(server.directory.path(), server.port);
        }
        panic!("not up: {}", server.log());
    }

    /// Waits until it is up; false if it ended instead.
    fn comes_up(&mut self) -> bool {
        let started = Instant::now();
        loop {
            let socket = self.socket().join(format!(".s.PGSQL.{}", self.port));
            if socket.exists() && self.try_sql("SELECT 1").is_ok() {
                return true;
            }
            if self.process.try_wait().unwrap().is_some() {
                return false;
            }
            assert!(started.elapsed() < Duration::from_secs(120), "not up: {}", self.log());
            sleep(Duration::from_millis(20));
        }
    }

    /// The process that is the server.
    #[allow(dead_code, reason = "only postgres_connect.rs needs it")]
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }

    /// The directory of its socket.
    pub fn socket(&self) -> &Path {
        self.directory.path()
    }

    /// Runs statements as the administrator; gives what they print.
    pub fn sql(&self, statements: &str) -> String {
        self.try_sql(statements).unwrap_or_else(|error| panic!("{statements}: {error}"))
    }

    fn try_sql(&self, statements: &str) -> Result<String, String> {
        let output = program("psql")
            .args(["-XAtq", "-v", "ON_ERROR_STOP=1", "-U", "admin", "-d", "postgres", "-c", statements])
            .arg("-h")
            .arg(self.socket())
            .args(["-p", &self.port.to_string()])
            .output()
            .unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
    }

    /// The URL for a role (`me` or `me:password`) on TCP, with further parameters. No limit for one address
    /// ends an attempt on a busy machine.
    pub fn url(&self, role: &str, parameters: &str) -> String {
        format!("postgres://{role}@127.0.0.1:{}/postgres?connect_timeout=0&{parameters}", self.port)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // SIGQUIT: at once, and its children with it.
        let pid = nix::unistd::Pid::from_raw(self.process.id() as i32);
        let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGQUIT);
        let _ = self.process.wait();
    }
}

fn serve(directory: &Path, port: u16) -> Child {
    let log = fs::File::create(directory.join("log")).unwrap();
    let mut command = program("postgres");
    command.arg("-D").arg(directory.join("data")).args(["-p", &port.to_string()]);
    command.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap()
}

/// A port that nobody listens on, outside the range from which the system draws those of clients.
pub fn free_port() -> u16 {
    loop {
        let port = rand::random_range(15_000..32_000);
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// A program of PostgreSQL's, from `PG_BIN` or else of the newest version that is installed, run as a user
/// that it accepts.
fn program(name: &str) -> Command {
    let mut command = Command::new(binaries().join(name));
    command.stdin(Stdio::null()).env_clear().env("LC_ALL", "C").current_dir("/");
    if let Some((user, group)) = other_user() {
        command.uid(user).gid(group);
    }
    command
}

fn binaries() -> PathBuf {
    if let Some(directory) = std::env::var_os("PG_BIN") {
        return directory.into();
    }
    let installed = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let version = |path: &Path| path.file_name()?.to_str()?.parse::<u32>().ok();
    let newest = installed.map(|entry| entry.path()).max_by_key(|path| version(path));
    newest.expect("these tests start PostgreSQL servers; install postgresql").join("bin")
}

/// PostgreSQL does not run as root.
fn other_user() -> Option<(u32, u32)> {
    let user = nix::unistd::User::from_name("postgres").ok().flatten();
    let user = user.map_or((65534, 65534), |user| (user.uid.as_raw(), user.gid.as_raw()));
    nix::unistd::geteuid().is_root().then_some(user)
}

/// Makes the server's user the owner of a file.
pub fn give_away(path: &Path) {
    if let Some((user, group)) = other_user() {
        chown(path, Some(user), Some(group)).unwrap();
    }
}
