//! The real PgBouncer in front of a cluster, pooling transactions: each may run on another server connection.

use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::ports::free_port;
use crate::programs::{find, unprivileged};
use crate::site::Site;

pub struct PgBouncer {
    port: u16,
    process: Child,
    site: Site,
}

impl PgBouncer {
    /// With so few server connections that clients must share them, and its settings as they come.
    pub fn before(server: u16) -> PgBouncer {
        let (site, port) = (Site::fresh(), free_port());
        let configuration = format!(
            "[databases]\n\
             * = host=127.0.0.1 port={server} user=postgres\n\
             [pgbouncer]\n\
             listen_addr = 127.0.0.1\n\
             listen_port = {port}\n\
             unix_socket_dir =\n\
             auth_type = any\n\
             pool_mode = transaction\n\
             default_pool_size = 2\n\
             max_client_conn = 200\n\
             pidfile = {0}/pid\n\
             logfile = {0}/log\n",
            site.path().display()
        );
        let file = site.write("pgbouncer.ini", &configuration);
        let mut command = unprivileged(find("pgbouncer"));
        let command = command.arg("-q").arg(file).current_dir(site.path());
        let command = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let process = command.spawn().expect("pgbouncer starts");
        let pgbouncer = PgBouncer { port, process, site };
        pgbouncer.wait();
        pgbouncer
    }

    fn wait(&self) {
        let deadline = Instant::now() + Duration::from_secs(60);
        while std::net::TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            assert!(Instant::now() < deadline, "pgbouncer is not ready:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    pub fn is_running(&mut self) -> bool {
        self.process.try_wait().expect("it is ours").is_none()
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.site.path().join("log")).unwrap_or_default()
    }
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        // SIGTERM ends this version at once.
        let _ = kill(Pid::from_raw(self.process.id() as i32), Signal::SIGTERM);
        std::thread::sleep(Duration::from_millis(50));
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
