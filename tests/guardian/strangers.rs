//! Children that `elector run` did not start do not stay as zombies, neither while it waits nor in its term.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command};

use nix::sys::prctl;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::place::{LONG, Place, child_called, elector, wait_for};

/// Starts `elector run` as what a shell becomes that has a child, whose orphans come to it too, as they do to
/// the first process of a container. They write their numbers into `file`.
fn run_with_strangers(place: &Place, candidate: &str, file: &Path) -> Run {
    let script = format!(
        "(for n in 1 2 3; do sh -c 'echo $$ >> {0}; exec sleep 0.2' & done; \
          sh -c 'echo $PPID >> {0}'; exec sleep 0.1) & exec \"$@\"",
        file.display()
    );
    let run = elector(&["run", "--quiet", "--election=e"]);
    let mut shell = Command::new("sh");
    shell.args(["-c", &script, "sh"]).arg(run.get_program()).args(run.get_args());
    shell.arg(place.store()).arg(format!("--candidate={candidate}")).args(LONG).args(["--", "sleep", "300"]);
    // SAFETY: one system call between fork and exec.
    unsafe { shell.pre_exec(|| Ok(prctl::set_child_subreaper(true)?)) };
    Run(shell.spawn().expect("a shell"))
}

/// Killed when the test ends.
struct Run(Child);

impl Run {
    fn pid(&self) -> Pid {
        Pid::from_raw(self.0.id() as i32)
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A number stays in /proc until its process is reaped.
fn wait_until_reaped(file: &Path) {
    wait_for("every stranger to be reaped", || {
        let numbers = fs::read_to_string(file).ok()?;
        let gone = |pid: &str| !Path::new("/proc").join(pid).exists();
        (numbers.lines().count() == 4 && numbers.lines().all(gone)).then_some(())
    });
}

#[test]
fn strangers_are_reaped_in_a_term_and_while_another_leads() {
    let place = Place::new(LONG);
    let leader = run_with_strangers(&place, "a", &place.file("a"));
    let keeper = wait_for("a leader", || child_called(leader.pid(), "elector-keeper"));
    wait_until_reaped(&place.file("a"));
    let mut waiting = run_with_strangers(&place, "b", &place.file("b"));
    wait_until_reaped(&place.file("b"));
    assert_eq!(place.leader().as_deref(), Some("a"));
    assert_eq!(child_called(leader.pid(), "elector-keeper"), Some(keeper), "the same term");
    assert!(waiting.0.try_wait().expect("our child").is_none());
}

#[test]
fn the_end_of_the_command_is_not_lost_among_strangers() {
    let place = Place::new(LONG);
    let mut run = run_with_strangers(&place, "a", &place.file("strangers"));
    let sleep = wait_for("the command", || {
        let keeper = child_called(run.pid(), "elector-keeper")?;
        child_called(child_called(keeper, "elector-guard")?, "sleep")
    });
    kill(sleep, Signal::SIGUSR2).expect("the command");
    let status = wait_for("elector run to end", || run.0.try_wait().expect("our child"));
    assert_eq!(status.code(), Some(128 + 12));
}
