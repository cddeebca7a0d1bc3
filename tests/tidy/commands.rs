//! Commands that documents name exist, and the other way round.

use std::collections::BTreeSet;
use std::process::Command;

use crate::{File, Tree, holds};

/// The lines of a document's code blocks that are commands, and its code spans: with the line's number.
fn commands(file: &File) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut block = None;
    for (number, line) in file.lines() {
        if let Some(language) = line.trim_start().strip_prefix("```") {
            block =
                if block.is_none() { Some(matches!(language, "" | "sh" | "bash" | "console")) } else { None };
        } else if block == Some(true) {
            let line = line.trim_start().trim_start_matches("$ ");
            found.push((number, line.split(" # ").next().unwrap_or(line).to_owned()));
        } else if block.is_none() {
            found.extend(line.split('`').skip(1).step_by(2).map(|span| (number, span.to_owned())));
        }
    }
    found
}

/// What comes after `program` up to ` -- `, in words; `None` if the command is another.
fn arguments<'a>(command: &'a str, program: &[&str]) -> Option<Vec<&'a str>> {
    let own = command.split(" -- ").next().unwrap_or(command);
    let rest = program.iter().find_map(|name| own.strip_prefix(name))?;
    (rest.is_empty() || rest.starts_with(' ')).then(|| rest.split_whitespace().collect())
}

/// The names in `quick=(…)` and `deep=(…)` of tests/run.sh.
fn listed(tree: &Tree) -> BTreeSet<&str> {
    let names = |level| {
        let (_, after) = tree.text("tests/run.sh").split_once(level)?;
        after.split_once(')').map(|(names, _)| names)
    };
    ["quick=(", "deep=("].into_iter().filter_map(names).flat_map(str::split_whitespace).collect()
}

fn steps(tree: &Tree) -> Vec<String> {
    let mut found = Vec::new();
    let steps = listed(tree);
    let files =
        tree.ending(".sh").filter_map(|file| file.path.strip_prefix("tests/steps/")?.strip_suffix(".sh"));
    for name in files.collect::<BTreeSet<_>>().symmetric_difference(&steps) {
        found.push(format!(
            "tests/run.sh:1: `{name}` must be in `quick` or `deep` and a file of tests/steps, or neither"
        ));
    }
    if !tree.text(".ci/run").contains("tests/run.sh") {
        found.push(".ci/run:1: does not run tests/run.sh".into());
    }
    if !tree.text("README.md").contains("tests/run.sh") {
        found.push("README.md:1: does not name tests/run.sh, the whole check".into());
    }
    for file in tree.documents() {
        for (number, command) in commands(file) {
            let Some(words) = arguments(&command, &["tests/run.sh", "bash tests/run.sh"]) else { continue };
            for word in words.iter().filter(|word| word.starts_with(|c: char| c.is_ascii_lowercase())) {
                if *word != "all" && !steps.contains(word) {
                    found.push(file.finding(number, format_args!("tests/run.sh has no step `{word}`")));
                }
            }
        }
    }
    found
}

/// What `elector ARGUMENTS` prints.
fn elector(arguments: &[&str]) -> String {
    let output =
        Command::new(env!("CARGO_BIN_EXE_elector")).args(arguments).output().expect("elector starts");
    assert!(output.status.success(), "elector {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("elector speaks UTF-8")
}

/// The subcommands that `elector --help` lists.
fn subcommands() -> BTreeSet<String> {
    let help = elector(&["--help"]);
    let listed =
        help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let names = listed.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    names.filter_map(|line| Some(line.split_whitespace().next()?.to_owned())).collect()
}

fn command_line(tree: &Tree) -> Vec<String> {
    let mut found = Vec::new();
    let known = subcommands();
    if known.is_empty() {
        return vec!["src/bin/elector/main.rs:1: `elector --help` lists no commands".into()];
    }
    let mut named = BTreeSet::from(["help".to_owned()]);
    for file in tree.documents() {
        for (number, command) in commands(file) {
            let programs = ["elector", "cargo run --release --"];
            let line = command.replacen("cargo run --release -- ", "elector ", 1);
            let Some(words) = arguments(&line, &programs) else { continue };
            let Some(name) = words.first().filter(|word| word.starts_with(|c: char| c.is_ascii_lowercase()))
            else {
                continue;
            };
            if !known.contains(*name) {
                found.push(file.finding(number, format_args!("elector has no command `{name}`")));
                continue;
            }
            named.insert((*name).to_owned());
            let help = elector(&[name, "--help"]);
            for option in words.iter().filter_map(|word| word.trim_matches(['[', ']']).split('=').next()) {
                for option in option.split('|').filter(|option| option.starts_with("--")) {
                    if !crate::has_word(&help, option) {
                        found.push(
                            file.finding(number, format_args!("`elector {name}` has no option `{option}`")),
                        );
                    }
                }
            }
        }
    }
    let all = known.difference(&named);
    found.extend(all.map(|name| format!("README.md:1: no document names the command `elector {name}`")));
    found
}

/// Numbers in the first column of the document tables under a heading about exit codes.
fn documented_codes(file: &File) -> BTreeSet<u8> {
    let mut codes = BTreeSet::new();
    let mut inside = false;
    for (_, line) in file.lines() {
        if line.starts_with('#') {
            inside = line.to_lowercase().contains("exit code");
        } else if inside && line.starts_with('|') {
            let cell = line.split('|').nth(1).unwrap_or_default();
            codes.extend(cell.trim().trim_matches('`').parse::<u8>());
        }
    }
    codes
}

fn exit_codes(tree: &Tree) -> Vec<String> {
    let help = elector(&["--help"]);
    let listed = help.lines().skip_while(|line| *line != "Exit codes:").skip(1);
    let number = |line: &str| line.split_whitespace().next().and_then(|word| word.parse::<u8>().ok());
    let known: BTreeSet<u8> = listed.filter_map(number).collect();
    let tables = tree.documents().map(|file| (file, documented_codes(file)));
    let tables: Vec<_> = tables.filter(|(_, codes)| !codes.is_empty()).collect();
    if tables.is_empty() || known.is_empty() {
        return vec![
            "src/docs/running-commands.md:1: its table of exit codes must repeat `elector --help`".into(),
        ];
    }
    let wrong = tables.iter().filter(|(_, codes)| *codes != known);
    wrong
        .map(|(file, codes)| {
            file.finding(1, format_args!("exit codes {codes:?}, but the program has {known:?}"))
        })
        .collect()
}

#[test]
fn the_parts_of_the_check_are_those_that_exist() {
    let run = ("tests/run.sh", "quick=(rust)\ndeep=()\n");
    let readme = ("README.md", "`tests/run.sh`\n");
    let (ci, step) = ((".ci/run", "tests/run.sh"), ("tests/steps/rust.sh", ""));
    holds(
        steps,
        &[
            &[run, readme, ci],
            &[run, readme, step],
            &[run, ci, step],
            &[run, ci, step, ("README.md", "```sh\ntests/run.sh rust go\n```\n")],
        ],
    );
    assert!(steps(&Tree::planted(&[run, readme, ci, step])).is_empty());
}

#[test]
fn the_commands_of_the_documents_exist() {
    holds(
        command_line,
        &[
            &[("README.md", "```sh\nelector fly --now\n```\n")],
            &[("README.md", "Use `elector run --wings` for it.\n")],
        ],
    );
}

#[test]
fn the_exit_codes_are_documented() {
    holds(exit_codes, &[&[("a.md", "## Exit codes\n\n| code | |\n|---|---|\n| 0 | done |\n")]]);
}
