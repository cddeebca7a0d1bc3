//! The tree of tests: a step runs each target, tests/README.md names each step and target, and each mutant
//! says what it breaks and which tests notice it.

use std::collections::{BTreeMap, BTreeSet};

use crate::{File, Tree, holds};

const GUIDE: &str = "tests/README.md";

/// The test targets that cargo finds: `tests/NAME.rs` and `tests/NAME/main.rs`.
fn targets(tree: &Tree) -> BTreeSet<&str> {
    let names = tree.files.iter().filter_map(|file| {
        let inside = file.path.strip_prefix("tests/")?;
        inside.strip_suffix("/main.rs").or_else(|| inside.strip_suffix(".rs"))
    });
    names.filter(|name| !name.contains('/')).collect()
}

/// The steps of the check.
fn steps(tree: &Tree) -> impl Iterator<Item = &File> {
    tree.ending(".sh").filter(|file| file.path.starts_with("tests/steps/"))
}

/// What stands between backticks.
fn spans(text: &str) -> impl Iterator<Item = &str> {
    text.lines().flat_map(|line| line.split('`').skip(1).step_by(2))
}

/// The words that follow `--test` and the like, each with the number of its line.
fn named(file: &File) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    for (number, line) in file.lines() {
        let words: Vec<&str> = line.split([' ', '`']).collect();
        let pairs = words.windows(2).filter(|pair| matches!(pair[0], "--test" | "--bench" | "witnessed"));
        let names =
            pairs.map(|pair| pair[1]).filter(|name| name.starts_with(|c: char| c.is_ascii_lowercase()));
        found.extend(names.map(|name| (number, name)));
    }
    found
}

fn targets_have_their_place(tree: &Tree) -> Vec<String> {
    let targets = targets(tree);
    let run: BTreeSet<&str> = steps(tree).flat_map(named).map(|(_, name)| name).collect();
    let told: BTreeSet<&str> = spans(tree.text(GUIDE))
        .filter_map(|span| {
            let inside = span.strip_prefix("tests/")?;
            inside.split('/').next().map(|name| name.trim_end_matches(".rs"))
        })
        .collect();
    let mut found = Vec::new();
    for name in targets.difference(&run) {
        found.push(format!("tests/steps/rust.sh:1: no step runs `--test {name}`; let this one do it"));
    }
    for name in targets.difference(&told) {
        found.push(format!("{GUIDE}:1: no `tests/{name}`; say what that suite shows"));
    }
    let others = tree.documents().chain(steps(tree)).chain(tree.ending(".patch"));
    for (file, number, name) in
        others.flat_map(|file| named(file).into_iter().map(move |(n, name)| (file, n, name)))
    {
        if !targets.contains(name) && !is_bench(tree, name) {
            found.push(file.finding(number, format_args!("there is no test target `{name}`")));
        }
    }
    found
}

fn is_bench(tree: &Tree, name: &str) -> bool {
    tree.text("Cargo.toml").contains(&format!("[[bench]]\nname = \"{name}\"\n"))
}

fn steps_have_their_place(tree: &Tree) -> Vec<String> {
    let told: BTreeSet<&str> = spans(tree.text(GUIDE))
        .filter_map(|command| command.strip_prefix("tests/run.sh "))
        .flat_map(str::split_whitespace)
        .collect();
    let name =
        |file: &'_ File| file.path.trim_start_matches("tests/steps/").trim_end_matches(".sh").to_owned();
    let missing = steps(tree).map(name).filter(|name| !told.contains(&**name));
    missing
        .map(|name| format!("{GUIDE}:1: no command `tests/run.sh {name}`; say what that step shows"))
        .collect()
}

/// What the step `mutants` needs to know. Names are unique, for `ELECTOR_MUTANTS` chooses by them.
fn mutants(tree: &Tree) -> Vec<String> {
    let mut found = Vec::new();
    let mut names: BTreeMap<&str, &str> = BTreeMap::new();
    for file in tree.ending(".patch") {
        let Some(inside) = file.path.strip_prefix("tests/mutants/") else { continue };
        match inside.split_once('/') {
            Some((_, name)) if !name.contains('/') => {
                if let Some(other) = names.insert(name, &file.path) {
                    found.push(file.finding(1, format_args!("{other} has the same name; rename one")));
                }
            }
            _ => found.push(file.finding(1, "not tests/mutants/FOLDER/NAME.patch, where its step looks")),
        }
        for key in ["# rule: ", "# tests: "] {
            if !file.text.lines().any(|line| line.starts_with(key)) {
                found.push(file.finding(1, format_args!("no line `{key}…` above the patch")));
            }
        }
        let broken = ["+++ b/src/", "+++ b/bindings/js/src/"];
        if !file.text.lines().any(|line| broken.iter().any(|start| line.starts_with(start))) {
            found.push(file.finding(1, "breaks nothing of src; a patch changes a file there"));
        }
    }
    found
}

#[test]
fn every_target_is_run_by_a_step_and_named_in_the_guide() {
    let target = ("tests/api/main.rs", "");
    let (guide, step) = ((GUIDE, "`tests/api`\n"), ("tests/steps/rust.sh", "must --test api\n"));
    holds(
        targets_have_their_place,
        &[
            &[target, guide],
            &[target, step],
            &[target, guide, ("tests/steps/rust.sh", "must --test ap\n")],
            &[target, guide, step, ("a.md", "`cargo test --test gone`\n")],
            &[target, guide, step, ("tests/mutants/hub/a.patch", "# tests: --test gone a\n")],
        ],
    );
    assert!(targets_have_their_place(&Tree::planted(&[target, guide, step])).is_empty());
}

#[test]
fn every_step_is_named_in_the_guide() {
    let step = ("tests/steps/rust.sh", "");
    holds(steps_have_their_place, &[&[step], &[step, (GUIDE, "rust\n`tests/run.sh go`\n")]]);
    assert!(steps_have_their_place(&Tree::planted(&[step, (GUIDE, "`tests/run.sh go rust`\n")])).is_empty());
}

#[test]
fn every_mutant_says_what_it_breaks_and_what_notices_it() {
    let text = "# rule: a\n# tests: --lib\n+++ b/src/a.rs\n";
    holds(
        mutants,
        &[
            &[("tests/mutants/a.patch", text)],
            &[("tests/mutants/hub/a.patch", text), ("tests/mutants/run/a.patch", text)],
            &[("tests/mutants/hub/a.patch", "# tests: --lib\n+++ b/src/a.rs\n")],
            &[("tests/mutants/hub/a.patch", "# rule: a\n+++ b/src/a.rs\n")],
            &[("tests/mutants/hub/a.patch", "# rule: a\n# tests: --lib\n+++ b/tests/a.rs\n")],
        ],
    );
    let js = "# rule: b\n# tests: npm cluster\n+++ b/bindings/js/src/a.ts\n";
    let sound = [("tests/mutants/hub/a.patch", text), ("tests/mutants/raftq/b.patch", js)];
    assert!(mutants(&Tree::planted(&sound)).is_empty());
}

/// Starting a server needs a user who is not root, free ports, and a watch that cleans up: the kit does that
/// once, and `elector-kit` for other languages.
fn servers(tree: &Tree) -> Vec<String> {
    // In two parts, so that this file does not hold it.
    let program = concat!("init", "db");
    let mut found = Vec::new();
    for file in tree.files.iter().filter(|file| file.path != "tests/kit/src/cluster.rs") {
        for (number, _) in file.lines().filter(|(_, line)| line.contains(program)) {
            found.push(file.finding(number, format_args!("`{program}`: start servers by tests/kit")));
        }
    }
    found
}

#[test]
fn only_the_kit_makes_postgresql_servers() {
    let launcher = concat!("/usr/lib/postgresql/15/bin/init", "db -D data\n");
    holds(servers, &[&[("tests/x.sh", launcher)], &[("bindings/go/x_test.go", launcher)]]);
}
