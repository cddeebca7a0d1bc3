//! What the command line says and writes while its store is away.

use nix::sys::resource::{Resource, setrlimit};

use super::*;

#[test]
fn a_term_that_could_not_be_extended_is_reported_as_expired_with_the_reason() {
    let end = Instant::now() + DEADLINE;
    loop {
        let (said, events) = run_with_a_locked_file();
        let position = |name: &str| events.iter().position(|line| line.contains(name));
        let deposed = &events[position("\"deposed\"").expect("an event")];
        assert!(deposed.contains("\"expired\""), "{deposed}");
        // A renewal failed before the term was over, and the guardian said so. Else the machine stood still
        // for longer than that took: the file was locked, or the guardian woke, too late.
        let is_in_order = position("\"at_risk\"").is_some_and(|at| Some(at) < position("\"stop_new_work\""));
        let stopping = said.lines().find(|line| line.contains("could not be renewed in time"));
        if let (true, Some(stopping)) = (is_in_order, stopping) {
            assert!(stopping.ends_with("; stopping CMD"), "{stopping}");
            if stopping.contains("locked") {
                return;
            }
        }
        assert!(Instant::now() < end, "{said}{events:?}");
    }
}

/// One term in a file that is locked for writers from its start. Returns what was said and the events.
fn run_with_a_locked_file() -> (String, Vec<String>) {
    let home = Home::new();
    let words = ["run", "-e", "n", "--store", "sqlite:e.db", "--once", "--lease-ms", "1500", "--events", "-"];
    let mut run = home.elector(&[&words[..], &["--", "sleep", "1000"]].concat());
    let mut run = run.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("elector run");
    let mut events = BufReader::new(run.stdout.take().expect("its events")).lines().map_while(Result::ok);
    assert!(events.next().is_some_and(|line| line.contains("\"elected\"")));
    let foreign = rusqlite::Connection::open(home.path().join("e.db")).expect("the file");
    foreign.busy_timeout(DEADLINE).expect("a pragma");
    foreign.execute_batch("BEGIN IMMEDIATE").expect("the write lock");
    let output = run.wait_with_output().expect("our child");
    foreign.execute_batch("ROLLBACK").expect("the end of the transaction");
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(75), "{said}");
    (said, events.collect())
}

#[test]
fn a_store_that_is_out_of_reach_is_told_of_even_by_who_says_nothing_but_errors() {
    let home = Home::new();
    let nobody = "postgres://me:hunter2@127.0.0.1:1/db";
    let mut run = home
        .elector(&["run", "--quiet", "-e", "n", "--store", nobody, "--", "true"])
        .stderr(Stdio::piped())
        .spawn()
        .expect("elector run");
    let mut line = String::new();
    BufReader::new(run.stderr.take().expect("a pipe")).read_line(&mut line).expect("a line");
    assert!(line.contains("waiting for the store") && line.contains("127.0.0.1:1"), "{line}");
    assert!(!line.contains("hunter2"), "{line}");
    assert!(run.try_wait().expect("its state").is_none(), "it waits");
    run.kill().expect("it runs");
    run.wait().expect("its end");
}

#[test]
fn a_server_that_says_nothing_is_told_of_by_run_and_by_watch() {
    let server = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let store = format!("postgres://me:hunter2@{}/db?sslmode=disable", server.local_addr().expect("it"));
    let home = Home::new();
    for words in
        [&["run", "-e", "n", "--store", &store, "--", "true"][..], &["watch", "-e", "n", "--store", &store]]
    {
        let mut asking = home.elector(words).stderr(Stdio::piped()).spawn().expect("elector");
        let mut line = String::new();
        BufReader::new(asking.stderr.take().expect("a pipe")).read_line(&mut line).expect("a line");
        assert!(line.contains("has not answered yet") && !line.contains("hunter2"), "{line}");
        assert!(asking.try_wait().expect("its state").is_none(), "it waits");
        asking.kill().expect("it runs");
        asking.wait().expect("its end");
    }
}

/// A process that is stopped in the middle of a write keeps the lock. A row can be looked at all the same.
#[test]
fn a_file_that_is_locked_for_writers_is_told_of_by_who_waits_to_be_elected() {
    let home = Home::new();
    let run = ["run", "-e", "n", "--store", "sqlite:e.db", "--lease-ms", "10000", "--", "true"];
    assert!(home.output(&run).status.success());
    let foreign = rusqlite::Connection::open(home.path().join("e.db")).expect("the file");
    foreign.busy_timeout(DEADLINE).expect("a pragma");
    foreign.execute_batch("BEGIN IMMEDIATE").expect("the write lock");
    let mut waiting = home.elector(&run).stderr(Stdio::piped()).spawn().expect("elector run");
    let mut line = String::new();
    let mut said = BufReader::new(waiting.stderr.take().expect("a pipe"));
    said.read_line(&mut line).expect("a line");
    assert!(line.contains("waiting for the store") && line.contains("locked"), "{line}");
    foreign.execute_batch("ROLLBACK").expect("the end of the transaction");
    assert!(ended(&mut waiting).success());
    line.clear();
    said.read_line(&mut line).expect("a line");
    assert!(line.contains("elected"), "it is said once, then not any more: {line}");
}

#[test]
fn the_default_store_is_made_anew_together_with_its_directory() {
    let home = Home::new();
    let words =
        ["run", "--quiet", "-e", "n", "--lease-ms", "1500", "--events", "events", "--", "sleep", "1000"];
    let child = home.elector(&words).spawn().expect("elector run");
    let mut run = Running { child, elected: Value::Null, lines: Box::new(std::iter::empty()) };
    let elections = || {
        let events = fs::read_to_string(home.path().join("events")).unwrap_or_default();
        events.matches("\"elected\"").count()
    };
    let begin = Instant::now();
    let wait_for = |wanted| {
        while elections() < wanted {
            assert!(begin.elapsed() < 2 * DEADLINE, "not elected: {wanted}");
            thread::sleep(Duration::from_millis(5));
        }
    };
    wait_for(1);
    let directory = home.path().join("elector");
    // All at once, so that nothing is made in it meanwhile.
    fs::rename(&directory, home.path().join("deleted")).expect("the state directory");
    let seen = elections();
    wait_for(seen + 1);
    assert!(directory.join("elector.db").is_file());
    run.end();
}

/// Each number of descriptors is one too few for something else, until there are enough.
#[test]
fn a_run_without_file_descriptors_says_so_whatever_it_needs_one_for() {
    let home = Home::new();
    let words = ["run", "-e", "n", "--store", "sqlite:e.db", "--lease-ms", "300000", "--", "true"];
    let mut was_elected = false;
    for limit in 8..64 {
        let mut run = home.elector(&words);
        // SAFETY: one system call between fork and exec.
        unsafe { run.pre_exec(move || Ok(setrlimit(Resource::RLIMIT_NOFILE, limit, limit)?)) };
        let mut run = run.stderr(Stdio::piped()).spawn().expect("elector run");
        let mut lines = BufReader::new(run.stderr.take().expect("a pipe")).lines().map_while(Result::ok);
        let mut is_elected = false;
        let is_told = lines.any(|line| {
            is_elected |= line.contains("elected");
            line.contains("no file descriptor left")
        });
        if !is_told {
            assert!(ended(&mut run).success(), "{limit} descriptors");
            return assert!(was_elected, "there was one for the guardian each time");
        }
        if is_elected {
            was_elected = true;
            assert_eq!(ended(&mut run).code(), Some(70));
        }
        // It waits for the store otherwise.
        let _ = run.kill();
        run.wait().expect("our child");
    }
    panic!("it was never enough");
}
