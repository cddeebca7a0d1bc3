//! What each task prints and does, from `--help` to the demo.

use super::*;

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
    assert!(message.contains("holder ann") && message.contains(&leader.token()), "{message}");
    let unsure = home.output(&["break", "-e", "n", "--store", "sqlite:e.db"]);
    assert_eq!(unsure.status.code(), Some(2), "without a terminal it cannot ask");
    assert!(text(&unsure.stderr).contains("--yes"));
    let released = release(&leader.token());
    let message = text(&released.stderr);
    assert!(
        released.status.success() && message.contains("another candidate can be elected in "),
        "{message}"
    );
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
