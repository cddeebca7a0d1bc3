//! The command line as its users meet it: help, refusals, output for programs, and nothing left behind.
#![cfg(all(unix, feature = "cli"))]

mod outages;
mod secrets;
mod watching;

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{SigHandler, Signal, kill, signal};
use nix::unistd::Pid;
use serde_json::Value;

const TASKS: [&str; 10] =
    ["run", "watch", "status", "release", "break", "schema", "migrate", "demo", "completions", "man"];
/// How long a test waits for what must come.
const DEADLINE: Duration = Duration::from_secs(60);

/// A folder that is home, state directory, temporary folder and working directory, so that it sees all
/// leftovers.
struct Home(tempfile::TempDir);

impl Home {
    fn new() -> Home {
        Home(tempfile::tempdir().expect("a folder"))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn elector(&self, words: &[impl AsRef<OsStr>]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_elector"));
        command.args(words).current_dir(self.path()).stdin(Stdio::null());
        for name in ["HOME", "XDG_STATE_HOME", "TMPDIR"] {
            command.env(name, self.path());
        }
        command.env_remove("ELECTOR_STORE").env_remove("ELECTOR_LOG");
        command
    }

    fn output(&self, words: &[impl AsRef<OsStr>]) -> Output {
        self.elector(words).output().expect("elector")
    }

    fn files(&self) -> Vec<OsString> {
        fs::read_dir(self.path()).expect("the folder").flatten().map(|entry| entry.file_name()).collect()
    }

    /// Starts a leader of `election` whose command waits; returns once it leads. Its lease lasts, and it asks
    /// the store often.
    fn leader(&self, election: &str) -> Running {
        self.leader_with(election, &["--lease-ms", "300000", "--renew-ms", "300", "--retry-ms", "300"])
    }

    fn leader_with(&self, election: &str, timings: &[&str]) -> Running {
        let words =
            ["run", "--quiet", "--election", election, "--store", "sqlite:e.db", "--candidate", "ann"];
        let more = ["--meta", "on a\tship", "--events", "-", "--", "sleep", "1000"];
        let mut child = self.elector(&[&words[..], timings, &more[..]].concat());
        let mut child = child.stdout(Stdio::piped()).spawn().expect("elector run");
        let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines();
        let elected = lines.next().expect("an event").expect("UTF-8");
        Running { child, elected: serde_json::from_str(&elected).expect("JSON"), lines: Box::new(lines) }
    }
}

struct Running {
    child: Child,
    elected: Value,
    lines: Box<dyn Iterator<Item = std::io::Result<String>>>,
}

impl Running {
    fn token(&self) -> String {
        self.elected["token"].to_string()
    }

    fn end(&mut self) {
        let pid = Pid::from_raw(self.child.id() as i32);
        kill(pid, Signal::SIGTERM).expect("our child");
        assert_eq!(self.child.wait().expect("our child").code(), Some(128 + 15));
    }

    /// Ends it, and says whether its release was confirmed in the time that it waits for one.
    fn releases(&mut self, home: &Home) -> bool {
        let told = Instant::now();
        self.end();
        let took = told.elapsed();
        let database = rusqlite::Connection::open(home.path().join("e.db")).expect("the file");
        let held = "SELECT count(*) FROM leader_lease WHERE leader_id <> ''";
        let held: i64 = database.query_row(held, [], |row| row.get(0)).expect("a count");
        assert!(held == 0 || took >= Duration::from_secs(2), "it ended after {took:?}, and did not release");
        held == 0
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits until a process has ended by itself.
#[track_caller]
fn ended(child: &mut Child) -> ExitStatus {
    let begin = Instant::now();
    loop {
        match child.try_wait().expect("our child") {
            Some(status) => return status,
            None => assert!(begin.elapsed() < DEADLINE, "it goes on"),
        }
        thread::sleep(Duration::from_millis(5));
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

/// Asserts that these words are refused with this code, in one line that says these things, and nothing is
/// made.
fn assert_refused(words: &[impl AsRef<OsStr>], code: i32, says: &[&str]) {
    let home = Home::new();
    let output = home.output(words);
    let error = text(&output.stderr);
    let shown: Vec<_> = words.iter().map(AsRef::as_ref).collect();
    assert_eq!(output.status.code(), Some(code), "{shown:?}: {error}");
    assert_eq!(error.lines().count(), 1, "{shown:?}: one line, not {error}");
    for part in says {
        assert!(error.contains(part), "{shown:?}: {part:?} is missing in {error}");
    }
    assert!(output.stdout.is_empty(), "{shown:?}: {}", text(&output.stdout));
    assert!(home.files().is_empty(), "{shown:?}: left behind {:?}", home.files());
}

#[test]
fn wrong_words_are_refused_in_one_line() {
    assert_refused(&["frobnicate"], 2, &["frobnicate", "elector --help"]);
    assert_refused(&["run", "-e", "n", "--onc", "--", "true"], 2, &["'--onc'", "'--once'", "run --help"]);
    assert_refused(&["run", "-e", "n"], 2, &["<CMD>"]);
    assert_refused(&["run", "--", "true"], 2, &["--election <NAME>"]);
    assert_refused(&["run", "-e", "n", "--once", "--forever", "--", "true"], 2, &["--once", "--forever"]);
    assert_refused(&["schema", "--dialect", "oracle"], 2, &["oracle", "postgres, sqlite", "schema --help"]);
    assert_refused(&["release", "-e", "n", "--token", "0"], 2, &["'0'", "1 to 9007199254740991"]);
    assert_refused(&["release", "-e", "n", "--token", "ten"], 2, &["'ten'", "whole number"]);
    assert_refused(&["demo", "--kills", "0"], 2, &["0", "1..=50"]);
    assert_refused(&["completions", "cobol"], 2, &["cobol", "bash"]);
    assert_refused(&["run", "-e", "n", "true"], 2, &["'true'", "`--` before CMD"]);
    assert_refused(&["watch", "n"], 2, &["'n'", "--election NAME"]);
}

#[test]
fn wrong_names_are_refused_in_one_line() {
    let long = "x".repeat(256);
    for task in ["run", "watch", "break"] {
        let words = |name: &str| match task {
            "run" => vec![task.to_owned(), "-e".into(), name.into(), "--".into(), "true".into()],
            _ => vec![task.to_owned(), "-e".into(), name.into()],
        };
        assert_refused(&words(""), 2, &["the election name is empty", "1 to 255 bytes"]);
        assert_refused(&words(&long), 2, &["256 bytes", "255"]);
    }
    assert_refused(&["run", "-e", "n", "--candidate", "", "--", "true"], 2, &["the candidate name is empty"]);
    let bytes = OsString::from_vec(vec![b'n', 0xff]);
    let words: [OsString; 5] = ["run".into(), "-e".into(), bytes, "--".into(), "true".into()];
    assert_refused(&words, 2, &["'n\u{fffd}' is not UTF-8"]);
    let hostile = "\u{1b}[2J\n";
    let long_and_hostile = hostile.repeat(100);
    let words = ["status", "-e", &long_and_hostile];
    let home = Home::new();
    assert!(
        !text(&home.output(&words).stderr).contains('\u{1b}'),
        "what is repeated cannot drive a terminal"
    );
}

#[test]
fn wrong_timings_are_refused_in_one_line() {
    let refused = |option: &str, value: &str, says: &[&str]| {
        assert_refused(&["run", "-e", "n", option, value, "--", "true"], 2, says);
    };
    refused("--lease-ms", "soon", &["'soon'", "whole number of milliseconds"]);
    for option in ["--lease-ms", "--renew-ms", "--jitter-ms", "--grace-ms", "--margin-ms", "--retry-ms"] {
        refused(option, "-5", &["'-5'", option, "whole number of milliseconds"]);
    }
    refused("--lease-ms", "99", &["a lease of 99 ms", "choose 100 "]);
    refused("--lease-ms", "99999999999999999999", &["whole number"]);
    refused("--renew-ms", "9000", &["9000 ms", "do not fit"]);
    refused("--renew-ms", "0", &["a renewal every 0 ms", "at least 10 ms"]);
    refused("--jitter-ms", "3000", &["3000 ms", "2990 ms"]);
    refused("--margin-ms", "0", &["a margin of 0 ms", "at least 1 ms"]);
    refused("--retry-ms", "9", &["a retry pause of 9 ms", "at least 10 ms"]);
    refused("--grace-ms", "18446744073709551615", &["do not fit"]);
}

#[test]
fn a_meta_text_that_is_too_long_is_refused() {
    let text = "x".repeat(65_537);
    let words = ["run", "-e", "n", "--store", "sqlite:leases.db", "--meta", &text, "--", "true"];
    assert_refused(&words, 2, &["meta text has 65537 bytes", "at most 65536"]);
}

#[test]
fn wrong_stores_are_refused_in_one_line_without_passwords() {
    for task in [&["status"][..], &["watch", "-e", "n"], &["break", "-e", "n"], &["run", "-e", "n"]] {
        let words = |url: &'static str| {
            let tail: &[&str] = if task[0] == "run" { &["--", "true"] } else { &[] };
            [task, &["--store", url], tail].concat()
        };
        assert_refused(&words(""), 2, &["empty", "sqlite:PATH"]);
        assert_refused(&words("leases.db"), 2, &["no scheme", "sqlite:leases.db"]);
        assert_refused(&words("sqlite:"), 2, &["no path"]);
        let home = Home::new();
        let output = home.output(&words("redis://me:secret@cache/0"));
        assert_eq!(output.status.code(), Some(2));
        assert!(!text(&output.stderr).contains("secret"), "{}", text(&output.stderr));
    }
}

#[test]
fn a_store_that_cannot_be_used_exits_with_69_and_leaves_no_events_file() {
    let refused = |home: &Home, url: &str, says: &str| {
        let words = ["run", "-e", "n", "--store", url, "--events", "events.json", "--", "touch", "ran"];
        let output = home.output(&words);
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(69), "{error}");
        assert_eq!(error.lines().count(), 1, "{error}");
        assert!(error.contains(says), "{error}");
        assert!(!home.path().join("events.json").exists() && !home.path().join("ran").exists());
    };
    let home = Home::new();
    refused(&home, "sqlite:no/such/folder/e.db", "no/such/folder");
    refused(&home, "sqlite:/proc/e.db", "give a path in a directory where");
    assert!(home.files().is_empty(), "{:?}", home.files());
    let notes = "not a database, but long enough to be looked at ".repeat(30);
    fs::write(home.path().join("notes.txt"), &notes).expect("the file");
    refused(&home, "sqlite:notes.txt", "notes.txt");
    assert_eq!(fs::read_to_string(home.path().join("notes.txt")).expect("the file"), notes, "left as it is");
    fs::remove_file(home.path().join("notes.txt")).expect("the file");
    std::os::unix::fs::symlink("nowhere", home.path().join("link.db")).expect("a link");
    refused(&home, "sqlite:link.db", "a link to a file that does not exist");
    assert_eq!(home.files(), ["link.db"], "nothing beside it");
}

#[test]
fn a_store_that_cannot_be_looked_at_is_an_error_of_questions_too() {
    let home = Home::new();
    let long = format!("sqlite:{}", "x".repeat(300));
    for words in [&["status"][..], &["watch", "-e", "n"], &["break", "-y", "-e", "n"]] {
        for (store, says) in [(&*long, "too long"), ("sqlite:file/e.db", "is no directory")] {
            fs::write(home.path().join("file"), "").expect("a file");
            let output = home.output(&[words, &["--store", store]].concat());
            let error = text(&output.stderr);
            assert!(output.status.code() == Some(69) && error.contains(says), "{words:?}: {error}");
        }
    }
}

#[test]
fn the_environment_names_the_store_unless_it_is_empty_or_an_option_does() {
    let home = Home::new();
    let with = |value: &OsStr, words: &[&str]| {
        home.elector(words).env("ELECTOR_STORE", value).output().expect("elector")
    };
    let run = ["run", "-q", "-e", "n", "--", "true"];
    assert_eq!(with(OsStr::new(""), &run).status.code(), Some(0), "empty is unset");
    assert!(home.path().join("elector/elector.db").exists());
    assert_eq!(with(OsStr::new("sqlite:e.db"), &run).status.code(), Some(0));
    assert!(home.path().join("e.db").exists());
    let named = with(OsStr::new("gopher://x"), &["status", "--store", "sqlite:e.db"]);
    assert!(named.status.success() && text(&named.stdout).contains("ELECTION"));
    for (value, says) in [(&b"gopher://x"[..], "gopher"), (b"sqlite:\xff", "UTF-8")] {
        let refused = with(&OsString::from_vec(value.to_vec()), &["status"]);
        let error = text(&refused.stderr);
        assert!(refused.status.code() == Some(2) && error.contains("ELECTOR_STORE"), "{error}");
        assert!(error.contains(says) && error.lines().count() == 1, "{error}");
    }
}

#[test]
fn a_log_level_that_is_none_is_refused_in_one_line() {
    let home = Home::new();
    let with = |level: &str| home.elector(&["status"]).env("ELECTOR_LOG", level).output().expect("elector");
    for level in ["nonsense", "elector=loud", "a=b=c", "info,dbug"] {
        let refused = with(level);
        let error = text(&refused.stderr);
        assert_eq!(refused.status.code(), Some(2), "{level}: {error}");
        assert!(
            error.contains("ELECTOR_LOG") && error.contains(level) && error.lines().count() == 1,
            "{error}"
        );
    }
    for level in ["", "debug", "WARN", "elector=trace,warn"] {
        assert!(with(level).status.success(), "{level}");
    }
}

#[test]
fn a_strict_candidate_waits_a_full_lease_before_it_leads() {
    let home = Home::new();
    let began = Instant::now();
    let words = ["run", "-q", "-e", "n", "--store", "sqlite:e.db", "--lease-ms", "10000", "--strict"];
    assert!(home.output(&[&words[..], &["--", "true"]].concat()).status.success());
    assert!(began.elapsed() >= Duration::from_secs(10), "{:?}", began.elapsed());
}

#[test]
fn commands_and_events_files_that_cannot_be_used_are_refused_before_the_election() {
    assert_refused(&["run", "-e", "n", "--", "no-such-command"], 127, &["no-such-command", "PATH"]);
    assert_refused(&["run", "-e", "n", "--", "./missing"], 127, &["./missing"]);
    assert_refused(&["run", "-e", "n", "--", "/"], 126, &["'/'", "not executable"]);
    assert_refused(&["run", "-e", "n", "--", ""], 127, &["''"]);
    let events = ["run", "-e", "n", "--events", "no/such/folder/e", "--", "true"];
    assert_refused(&events, 2, &["no/such/folder/e", "No such file"]);
}

#[test]
fn a_pipe_for_events_that_nobody_reads_and_a_script_without_its_interpreter_are_refused() {
    let home = Home::new();
    assert!(Command::new("mkfifo").arg(home.path().join("pipe")).status().expect("mkfifo").success());
    let output = home.output(&["run", "-e", "n", "--store", "sqlite:e.db", "--events", "pipe", "--", "true"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("the pipe has no reader"), "{}", text(&output.stderr));
    let script = home.path().join("script");
    fs::write(&script, "#!/no/such/interpreter\n").expect("a script");
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).expect("its mode");
    let output = home.output(&["run", "-e", "n", "--store", "sqlite:e.db", "--quiet", "--", "./script"]);
    assert_eq!(output.status.code(), Some(127));
    assert!(text(&output.stderr).contains("interpreter in its first line"), "{}", text(&output.stderr));
}

#[test]
fn every_task_explains_itself_with_an_example_and_the_exit_codes_are_listed() {
    let home = Home::new();
    for task in TASKS {
        let output = home.output(&[task, "--help"]);
        assert!(output.status.success());
        let help = text(&output.stdout);
        assert!(help.contains("Example") && help.contains(&format!("elector {task}")), "{help}");
        assert!(help.lines().all(|line| line.chars().count() <= 100), "{help}");
        let narrow = text(&home.elector(&[task, "--help"]).env("COLUMNS", "80").output().expect("it").stdout);
        let lists =
            narrow.split("\n\n").filter(|part| part.starts_with("Example") || part.starts_with("Exit"));
        let broken = |line: &&str| !line.starts_with("  ") || line.chars().count() > 80;
        for list in lists {
            assert_eq!(list.lines().skip(1).find(broken), None, "broken at 80 columns: {list}");
        }
    }
    for words in [&["--help"][..], &["run", "--help"]] {
        let help = text(&home.output(words).stdout);
        for code in ["  0  ", "  1  ", "  2  ", " 69  ", " 70  ", " 75  ", "126  ", "127  ", "128  "] {
            assert!(help.contains(code), "{code} is missing in {help}");
        }
    }
    assert_eq!(home.output(&[""; 0]).status.code(), Some(2), "no task is a usage error");
    assert!(text(&home.output(&["--version"]).stdout).starts_with("elector "));
    assert!(home.files().is_empty());
}

#[test]
fn completions_man_page_and_schema_are_printed() {
    let home = Home::new();
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        assert!(text(&home.output(&["completions", shell]).stdout).contains("elector"), "{shell}");
    }
    assert!(text(&home.output(&["man"]).stdout).contains(".TH elector 1"));
    for task in TASKS {
        let page = text(&home.output(&["man", task]).stdout);
        let title = format!(".TH elector-{task} 1  \"elector {}\"", env!("CARGO_PKG_VERSION"));
        assert!(page.contains(&title), "{title} is missing in {page}");
    }
    for dialect in ["postgres", "sqlite"] {
        let schema = text(&home.output(&["schema", "--dialect", dialect]).stdout);
        assert!(schema.contains("CREATE TABLE") && schema.contains("leader_lease"), "{schema}");
    }
    assert_refused(&["schema", "--dialect", "sqlite", "--schema", "jobs"], 2, &["--schema", "leave it out"]);
    for schema in ["", &"x".repeat(64)] {
        let words = ["schema", "--dialect", "postgres", "--schema", schema];
        assert_refused(&words, 2, &["--schema", "1 to 63 bytes"]);
    }
}

#[test]
fn questions_about_nothing_make_no_file() {
    let home = Home::new();
    assert_eq!(home.output(&["status"]).status.code(), Some(0));
    let json = home.output(&["status", "--json", "--store", "sqlite:e.db"]);
    assert!(json.status.success() && json.stdout.is_empty());
    let unknown = home.output(&["break", "--yes", "-e", "n", "--store", "sqlite:e.db"]);
    assert_eq!(unknown.status.code(), Some(1));
    assert!(text(&unknown.stderr).contains("no election 'n' in sqlite:"), "{}", text(&unknown.stderr));
    let nowhere = home.output(&["status", "--store", "sqlite:no/such/folder/e.db"]);
    assert!(text(&nowhere.stderr).contains("no/such/folder/e.db yet"), "{}", text(&nowhere.stderr));
    let memory = home.output(&["status", "--store", "memory:x"]);
    assert!(memory.status.success() && text(&memory.stderr).contains("in this process alone"));
    assert!(home.files().is_empty(), "{:?}", home.files());
    fs::write(home.path().join("empty.db"), "").expect("a file");
    assert!(home.output(&["status", "--store", "sqlite:empty.db"]).status.success());
    assert_eq!(home.files(), ["empty.db"], "an empty file stays alone");
    assert_eq!(fs::metadata(home.path().join("empty.db")).expect("the file").len(), 0);
}

#[test]
fn status_says_who_leads_to_people_and_to_programs() {
    let home = Home::new();
    let mut leader = home.leader("nightly");
    let json = home.output(&["status", "--json", "--store", "sqlite:e.db"]);
    let line: Value = serde_json::from_slice(&json.stdout).expect("one line of JSON");
    assert_eq!(line["election"], "nightly");
    assert_eq!(line["candidate"], "ann");
    assert!(line["leader"].as_str().is_some_and(|id| id.starts_with("ann#")));
    assert_eq!(line["token"], leader.elected["token"]);
    assert_eq!(line["meta"], "on a\tship");
    assert!(line["remaining_ms"].as_u64().is_some_and(|left| left > 0 && left <= 300_000));
    assert!(line["since_ms"].as_i64().is_some_and(|since| since > 1_700_000_000_000));
    let table = text(&home.output(&["status", "--store", "sqlite:e.db"]).stdout);
    let rows: Vec<&str> = table.lines().collect();
    assert!(rows[0].starts_with("ELECTION  LEADER") && rows.len() == 2, "{table}");
    assert!(rows[1].contains("ann") && rows[1].contains(&leader.token()), "{table}");
    assert!(rows[1].ends_with("on a\\tship"), "control characters are shown, not sent: {table}");
    assert!(!table.contains('\u{1b}'), "no colours in a pipe");
    leader.end();
    let json = home.output(&["status", "--json", "--store", "sqlite:e.db", "-e", "nightly"]);
    let line: Value = serde_json::from_slice(&json.stdout).expect("one line of JSON");
    assert_eq!((&line["candidate"], &line["token"]), (&Value::Null, &leader.elected["token"]));
    let none = home.output(&["status", "--store", "sqlite:e.db", "-e", "nosuch"]);
    assert!(none.status.success() && text(&none.stderr).contains("no election 'nosuch'"), "others exist");
}

#[test]
fn events_are_json_lines_from_elected_to_deposed() {
    let home = Home::new();
    let words = ["run", "-q", "-e", "n", "--candidate", "ann", "--events", "events.json"];
    let output = home.output(&[&words[..], &["--store", "sqlite:e.db", "--", "true"]].concat());
    assert!(output.status.success(), "{}", text(&output.stderr));
    let file = fs::read_to_string(home.path().join("events.json")).expect("the file");
    let lines: Vec<Value> = file.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    for line in &lines {
        assert_eq!((&line["election"], &line["candidate"]), (&"n".into(), &"ann".into()));
        assert!(line["at_ms"].as_u64().is_some_and(|at| at > 1_700_000_000_000));
    }
    let (first, last) = (&lines[0], &lines[lines.len() - 1]);
    assert_eq!(first["event"], "elected");
    assert_eq!((&last["event"], &last["reason"]), (&"deposed".into(), &"released".into()));
    assert_eq!(first["token"], last["token"]);
}

#[test]
fn the_command_learns_its_term_from_the_environment() {
    let home = Home::new();
    let script = "echo $ELECTOR_ELECTION $ELECTOR_CANDIDATE $ELECTOR_TOKEN";
    let words =
        ["run", "-q", "-e", "n", "--store", "sqlite:e.db", "--candidate", "ann", "--", "sh", "-c", script];
    let output = text(&home.output(&words).stdout);
    let token = output.trim().strip_prefix("n ann ").expect("election and candidate");
    assert!(token.parse::<u64>().is_ok_and(|token| token > 0), "{output}");
}

#[test]
fn release_ends_only_the_term_that_is_named() {
    let home = Home::new();
    let mut leader = home.leader("n");
    let release =
        |token: &str| home.output(&["release", "-e", "n", "--store", "sqlite:e.db", "--token", token]);
    let wrong = release("1");
    assert_eq!(wrong.status.code(), Some(1));
    let message = text(&wrong.stderr);
    assert!(message.contains("ann holds") && message.contains(&leader.token()), "{message}");
    let unsure = home.output(&["break", "-e", "n", "--store", "sqlite:e.db"]);
    assert_eq!(unsure.status.code(), Some(2), "without a terminal it cannot ask");
    assert!(text(&unsure.stderr).contains("--yes"));
    let released = release(&leader.token());
    let message = text(&released.stderr);
    assert!(released.status.success() && message.contains("whoever stands can be elected in "), "{message}");
    let deposed = leader.lines.find(|line| line.as_ref().is_ok_and(|line| line.contains("\"deposed\"")));
    let deposed: Value = serde_json::from_str(&deposed.expect("an event").expect("UTF-8")).expect("JSON");
    assert_eq!((&deposed["reason"], &deposed["token"]), (&"lost".into(), &leader.elected["token"]));
    leader.end();
}

#[test]
fn a_poisoned_row_is_told_of_and_break_clears_it() {
    let home = Home::new();
    let run = ["run", "-e", "n", "--store", "sqlite:e.db", "--lease-ms", "10000", "--", "true"];
    assert!(home.output(&run).status.success());
    let database = rusqlite::Connection::open(home.path().join("e.db")).expect("the file");
    let poison = "UPDATE leader_lease SET leader_id = 'ghost#1', token = token + 1, \
                  expires_at = expires_at + 3600000000, expires_wall = expires_wall + 3600000000";
    assert_eq!(database.execute(poison, []), Ok(1));
    drop(database);
    let mut waiting = home.elector(&run).stderr(Stdio::piped()).spawn().expect("elector run");
    let mut said = BufReader::new(waiting.stderr.take().expect("its words")).lines().map_while(Result::ok);
    assert!(said.any(|line| line.contains("longer than its holder's lease") && line.contains("break")));
    assert!(waiting.try_wait().expect("our child").is_none(), "held for an hour");
    let output = home.output(&["break", "--yes", "-e", "n", "--store", "sqlite:e.db"]);
    assert!(output.status.success() && text(&output.stderr).contains("ghost"), "{}", text(&output.stderr));
    assert!(ended(&mut waiting).success(), "it waits for one lease of 10 s, not for an hour");
    assert!(said.any(|line| line.contains("elected")));
}

#[test]
fn the_demo_in_a_pipe_is_plain_text_and_leaves_nothing_behind() {
    let home = Home::new();
    let output = home.output(&["demo", "--kills", "1"]);
    let (out, error) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{out}{error}");
    assert!(!out.contains('\u{1b}') && !out.contains('\r'), "{out}");
    for part in ["election", "hand-over", "kill -9", "SIGSTOP", "TOKEN", "Two leaders at once: never"] {
        assert!(out.contains(part), "{part} is missing in {out}");
    }
    assert!(home.files().is_empty(), "{:?}", home.files());
}

#[test]
fn the_demo_cleans_up_when_it_is_interrupted() {
    let home = Home::new();
    let mut command = home.elector(&["demo"]);
    // In a background job of a shell, as which this may run, it would be ignored.
    // SAFETY: `signal` may be called between fork and exec.
    unsafe { command.pre_exec(|| Ok(signal(Signal::SIGINT, SigHandler::SigDfl).map(|_| ())?)) };
    let mut demo = command.stdout(Stdio::piped()).spawn().expect("elector demo");
    let mut out = BufReader::new(demo.stdout.take().expect("its output"));
    let mut line = String::new();
    while !line.contains("leads") {
        line.clear();
        assert!(out.read_line(&mut line).expect("a line") > 0);
    }
    kill(Pid::from_raw(demo.id() as i32), Signal::SIGINT).expect("our child");
    assert_eq!(ended(&mut demo).code(), Some(128 + 2));
    assert!(home.files().is_empty(), "{:?}", home.files());
}
