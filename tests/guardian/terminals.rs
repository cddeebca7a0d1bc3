//! A shell with job control in a terminal: Ctrl-Z, `bg` and `fg` of `elector run`.

use std::fs::{self, File};
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};

use nix::pty::openpty;
use nix::unistd::setsid;

use crate::place::{LONG, Place, elector, state_of, wait_for};

/// A shell, and what types into its terminal.
struct Shell {
    keys: File,
    shell: Child,
    /// Keeps the terminal open after all other processes have closed it.
    _other_end: OwnedFd,
}

impl Shell {
    fn start() -> Shell {
        let terminal = openpty(None, None).expect("a terminal");
        let end = || terminal.slave.try_clone().expect("its end");
        let mut shell = Command::new("bash");
        shell.args(["--norc", "--noprofile", "-i"]).stdin(end()).stdout(end()).stderr(end());
        // SAFETY: system calls only, between fork and exec.
        unsafe {
            shell.pre_exec(|| {
                setsid()?;
                match libc::ioctl(0, libc::TIOCSCTTY, 0) {
                    0 => Ok(()),
                    _ => Err(std::io::Error::last_os_error()),
                }
            });
        }
        let shell = shell.spawn().expect("bash");
        Shell { keys: File::from(terminal.master), shell, _other_end: terminal.slave }
    }

    fn types(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).expect("a key");
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        let _ = self.shell.kill();
        let _ = self.shell.wait();
    }
}

/// Ctrl-Z stops `elector run` with its command. Then the command reads in the background, where SIGTTIN stops
/// it, and goes on once the job has the terminal again, which no signal tells.
///
/// The command is a script for bash: a shell that starts its programs with vfork(2), as dash does, waits in
/// the kernel for one that is stopped before its exec, and does not stop itself. Ctrl-Z hangs then without
/// Elector too.
#[test]
fn a_command_that_reads_in_the_background_goes_on_in_the_foreground() {
    let place = Place::new(LONG);
    let (numbers, ready, got) = (place.file("numbers"), place.file("ready"), place.file("got"));
    let script = place.file("script");
    let text = format!(
        "echo $$ > {0}.tmp; mv {0}.tmp {0}; until [ -e {1} ]; do sleep 0.1; done; read word; \
         echo $word > {2}",
        numbers.display(),
        ready.display(),
        got.display()
    );
    fs::write(&script, text).expect("a script");
    let run = elector(&["run", "--quiet", "--election=e"]);
    let words: Vec<_> = run.get_args().map(|word| word.to_string_lossy()).collect();
    let mut shell = Shell::start();
    shell.types(&format!(
        "{} {} {} {} -- bash {}\n",
        run.get_program().to_string_lossy(),
        words.join(" "),
        place.store(),
        LONG.join(" "),
        script.display()
    ));
    let command: i32 = wait_for("the command", || fs::read_to_string(&numbers).ok()?.trim().parse().ok());
    shell.types("\x1a");
    wait_for("the command to be stopped by Ctrl-Z", || (state_of(command) == Some('T')).then_some(()));
    shell.types("bg\n");
    wait_for("the command to go on", || (state_of(command) == Some('S')).then_some(()));
    fs::write(&ready, "").expect("a file");
    wait_for("the command to be stopped as it reads", || (state_of(command) == Some('T')).then_some(()));
    shell.types("fg\n");
    shell.types("hello\n");
    let word = wait_for("the word", || fs::read_to_string(&got).ok().filter(|word| !word.is_empty()));
    assert_eq!(word, "hello\n");
}
