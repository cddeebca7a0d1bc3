//! The commands of the README's part "Command line" do what it says.

use super::*;

const README: &str = include_str!("../../README.md");

/// The blocks of commands under the heading "Command line".
fn blocks() -> Vec<&'static str> {
    let (_, part) = README.split_once("### Command line\n").expect("the heading");
    let part = part.split("\n### ").next().unwrap_or_default();
    part.split("```sh\n").skip(1).filter_map(|rest| rest.split("```").next()).collect()
}

/// A shell that runs `block` with our program in its path, in `home`, where a `worker.sh` waits.
fn shell(home: &Home, block: &str) -> Command {
    let worker = home.path().join("worker.sh");
    if !worker.exists() {
        let program = "#!/bin/sh\necho \"$ELECTOR_ELECTION $ELECTOR_TOKEN\"\nexec sleep 1000\n";
        fs::write(&worker, program).expect("a script");
        fs::set_permissions(&worker, fs::Permissions::from_mode(0o755)).expect("its permissions");
    }
    let programs = Path::new(env!("CARGO_BIN_EXE_elector")).parent().expect("a folder");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths([programs.into()].into_iter().chain(std::env::split_paths(&path)));
    let mut command = Command::new("sh");
    command.args(["-ec", block]).current_dir(home.path()).stdin(Stdio::null());
    command.stdout(Stdio::piped()).stderr(Stdio::null());
    command.env("PATH", path.expect("a path")).env("HOME", home.path());
    command.env_remove("XDG_STATE_HOME").env_remove("ELECTOR_STORE");
    command
}

/// A process and the lines of its output. It is killed with its children.
struct Started(Child, Box<dyn Iterator<Item = String>>);

impl Started {
    fn new(mut command: Command) -> Started {
        let mut child = command.process_group(0).spawn().expect("a shell");
        let lines = BufReader::new(child.stdout.take().expect("its output")).lines();
        Started(child, Box::new(lines.map_while(Result::ok)))
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        let _ = kill(Pid::from_raw(-(self.0.id() as i32)), Signal::SIGKILL);
        let _ = self.0.wait();
    }
}

#[cfg(target_os = "linux")]
#[test]
fn the_commands_of_the_readme_run() {
    let home = Home::new();
    let [run, ask] = blocks()[..] else { panic!("two blocks: {:?}", blocks()) };
    let mut leader = Started::new(shell(&home, run));
    let said = leader.1.next().expect("what worker.sh prints");
    let token = said.strip_prefix("nightly ").expect("the election").to_owned();
    assert!(token.parse::<u64>().expect("a token") > 0);

    let [status, watch, break_term] = ask.lines().collect::<Vec<_>>()[..] else { panic!("{ask}") };
    let output = text(&shell(&home, status).output().expect("elector status").stdout);
    assert!(output.contains("nightly") && output.contains(&token), "{output}");
    let mut watch = Started::new(shell(&home, watch));
    let line = watch.1.next().expect("a line of elector watch");
    assert_eq!(serde_json::from_str::<Value>(&line).expect("JSON")["event"], "leader_changed");
    let output = text(&shell(&home, break_term).stderr(Stdio::piped()).output().expect("it").stderr);
    assert!(output.contains(&token), "{output}");
}
