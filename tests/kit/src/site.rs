//! A temporary directory that is gone with the test, together with the one server that runs in it, even if
//! the test's process is killed.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::programs;

/// Waits for the end of its input. Then it ends the server whose id the first line of the file `pid` says, if
/// that process really works in this directory, and removes the directory.
const WATCH: &str = r#"
trap '' INT TERM HUP
read -r _
end() { # signal
  pid=$(head -n 1 "$1" 2>/dev/null) || return 0
  case $(readlink "/proc/$pid/cwd") in "$2"|"$2"/*) kill "-$3" "$pid"; kill -CONT "$pid" ;; esac
}
for file in "$1/data/postmaster.pid" "$1/pid"; do end "$file" "$1" QUIT; done
for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
  [ -e "$1/data/postmaster.pid" ] || break
  sleep 0.1
done
for file in "$1/data/postmaster.pid" "$1/pid"; do end "$file" "$1" KILL; done
rm -rf "$1"
"#;

/// The directory.
pub struct Site {
    path: PathBuf,
    watch: Child,
}

impl Site {
    pub fn fresh() -> Site {
        let directory = tempfile::Builder::new().prefix("elector-pg-").tempdir().unwrap().keep();
        let path = directory.canonicalize().unwrap();
        programs::give(&path);
        let mut command = Command::new("/bin/sh");
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let command = command.args(["-c", WATCH, "watch"]).arg(&path);
        let command = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        Site { watch: command.spawn().expect("a shell"), path }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a file that only the server's user may read.
    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        use std::os::unix::fs::OpenOptionsExt;
        let path = self.path.join(name);
        let mut options = std::fs::OpenOptions::new();
        let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&path).unwrap();
        file.write_all(text.as_bytes()).unwrap();
        programs::give(&path);
        path
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        drop(self.watch.stdin.take());
        let _ = self.watch.wait();
    }
}
