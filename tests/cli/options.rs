//! What the words, options and variables of a command mean. What cannot be used is refused in one line,
//! before anything is made.

use super::*;

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
