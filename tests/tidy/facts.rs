//! Facts that are stated in more than one place.

use std::collections::{BTreeMap, BTreeSet};

use crate::{Tree, holds};

const DOCS: [&str; 4] =
    ["src/docs/guarantees.md", "src/docs/design.md", "src/docs/contributing.md", "src/docs/changelog.md"];
const STORES: &str = "src/docs/stores.md";
const VARIABLES: &str = "src/driver/stores/postgres/uri.rs";

/// A key of Cargo.toml's `[package]`.
fn manifest<'a>(tree: &'a Tree, key: &str) -> &'a str {
    quoted(tree.text("Cargo.toml"), &format!("{key} = \"")).unwrap_or_default()
}

/// What stands between `before`, at the start of a line, and the next quote.
fn quoted<'a>(text: &'a str, before: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.strip_prefix(before)?.split('"').next())
}

fn required(tree: &Tree) -> Vec<String> {
    let files = ["README.md", "LICENSE", "Cargo.lock", "tests/README.md", "tests/run.sh", ".ci/run"];
    let missing = files.iter().chain(&DOCS).filter(|path| tree.text(path).trim().is_empty());
    missing.map(|path| format!("{path}:1: missing or empty; write it")).collect()
}

fn top_level(tree: &Tree) -> Vec<String> {
    let allowed =
        ["Cargo.toml", "Cargo.lock", "cbindgen.toml", "README.md", "src", "include", "bindings", "tests"];
    let first = |path: &str| path.split('/').next().unwrap_or_default().to_owned();
    let stray = |name: &String| {
        !allowed.contains(&name.as_str()) && !name.starts_with('.') && !name.starts_with("LICENSE")
    };
    let names = tree.files.iter().map(|file| first(&file.path));
    names
        .filter(stray)
        .map(|name| format!("{name}:1: not allowed at the top level; move it inward"))
        .collect()
}

fn version(tree: &Tree) -> Vec<String> {
    let version = manifest(tree, "version");
    let mut found = Vec::new();
    if !tree.text("Cargo.lock").contains(&format!("name = \"elector\"\nversion = \"{version}\"\n")) {
        found.push(format!("Cargo.lock:1: does not have elector {version}; run `cargo update --workspace`"));
    }
    let latest = tree.text("src/docs/changelog.md").lines().find_map(|line| line.strip_prefix("## "));
    if !latest.is_some_and(|title| title.split([' ', '[', ']', ',']).any(|word| word == version)) {
        found.push(format!("src/docs/changelog.md:1: its first `## ` heading must be about {version}"));
    }
    let documents = tree.documents().chain(tree.get("src/lib.rs"));
    for (file, number, line) in documents.flat_map(|file| file.lines().map(move |(n, line)| (file, n, line)))
    {
        let Some((_, given)) = line.split_once("elector = ") else { continue };
        let given = given.split('"').nth(1).unwrap_or_default();
        let is_number = given.starts_with(|c: char| c.is_ascii_digit());
        if is_number && version != given && !version.starts_with(&format!("{given}.")) {
            found.push(file.finding(number, format_args!("version {given}, but Cargo.toml has {version}")));
        }
    }
    found
}

fn oldest_rust(tree: &Tree) -> Vec<String> {
    let promised = manifest(tree, "rust-version");
    // Tools of the tests need a newer one, which the documents may name, too.
    let for_tests = quoted(tree.text("bindings/js/scripts/bindgen/Cargo.toml"), "rust-version = \"");
    let for_tests = for_tests.unwrap_or_default();
    let mut found = Vec::new();
    if !["Rust ", "Rust ("]
        .iter()
        .any(|before| tree.text("README.md").contains(&format!("{before}{promised}")))
    {
        found.push(format!("README.md:1: does not say that it needs Rust {promised}"));
    }
    let files = tree.documents().chain(tree.get("src/lib.rs"));
    for (file, number, line) in files.flat_map(|file| file.lines().map(move |(n, line)| (file, n, line))) {
        for (at, word) in line.match_indices("Rust 1.").chain(line.match_indices("Rust (1.")) {
            let digits =
                line[at + word.len()..].split(|c: char| !c.is_ascii_digit()).next().unwrap_or_default();
            let given = format!("1.{digits}");
            if given != promised && given != for_tests {
                let what =
                    format!("Rust {given}, but Cargo.toml has {promised}, and the tests need {for_tests}");
                found.push(file.finding(number, what));
            }
        }
    }
    for file in tree.files.iter().filter(|file| file.path.ends_with("clippy.toml")) {
        let given = quoted(&file.text, "msrv = \"");
        if given.is_some_and(|given| given != promised) {
            found.push(file.finding(1, format_args!("another msrv than Cargo.toml's {promised}")));
        }
    }
    found
}

fn licences(tree: &Tree) -> Vec<String> {
    let mut found = Vec::new();
    for text in ["MIT License", "Apache License", "Version 2.0, January 2004", "The Elector authors"] {
        if !tree.text("LICENSE").contains(text) {
            found.push(format!("LICENSE:1: lacks \"{text}\"; it holds the texts of both licences"));
        }
    }
    let name = manifest(tree, "license");
    for path in ["LICENSE", "README.md"] {
        if name.is_empty() || !tree.text(path).to_lowercase().contains(&name.to_lowercase()) {
            found.push(format!("{path}:1: does not name the licence as Cargo.toml does, \"{name}\""));
        }
    }
    found
}

/// Few dependencies, each with its reason.
fn dependencies(tree: &Tree) -> Vec<String> {
    let mut found = Vec::new();
    let Some(file) = tree.get("Cargo.toml") else { return vec!["Cargo.toml:1: missing".into()] };
    let design = tree.text("src/docs/design.md");
    let mut inside = false;
    for (number, line) in file.lines() {
        if line.starts_with('[') {
            inside = line.trim_end_matches(']').ends_with("dependencies");
            continue;
        }
        let name = line.split(" = ").next().unwrap_or_default();
        let is_entry = inside && line.contains(" = ") && !line.starts_with([' ', '#']);
        if is_entry && !design.contains(&format!("`{name}`")) {
            let what = format!("`{name}` has no line in src/docs/design.md: why it, and why not another?");
            found.push(file.finding(number, what));
        }
    }
    found
}

/// Long documents are part of the crate's documentation, and their examples are run.
fn documents_are_included(tree: &Tree) -> Vec<String> {
    let crate_text: String =
        tree.ending(".rs").filter(|file| file.path.starts_with("src/")).map(|f| &*f.text).collect();
    let included = |path: &str| {
        let name = path.rsplit('/').next().unwrap_or(path);
        crate_text.lines().any(|line| line.contains("include_str!") && line.contains(&format!("{name}\"")))
    };
    let mut paths: Vec<&str> = tree.files.iter().map(|file| &*file.path).collect();
    paths.retain(|path| path.starts_with("src/docs/") && path.ends_with(".md"));
    if tree.text("README.md").contains("```rust") {
        paths.push("README.md");
    }
    paths.retain(|path| !included(path));
    let what = "add `#[doc = include_str!(…)]`, for README.md on an item under `#[cfg(doctest)]`";
    paths.iter().map(|path| format!("{path}:1: its examples are never compiled; {what}")).collect()
}

/// Every program of the README is one that a test of the quick level runs: each test takes the one block of
/// its language, rustdoc all in Rust.
fn readme_programs(tree: &Tree) -> Vec<String> {
    let mut counts: BTreeMap<&str, usize> =
        ["c", "go", "js", "ts"].into_iter().map(|language| (language, 0)).collect();
    let mut is_open = false;
    let mut found = Vec::new();
    for line in tree.text("README.md").lines() {
        let Some(language) = line.strip_prefix("```") else { continue };
        is_open = !is_open;
        match counts.get_mut(language) {
            Some(count) => *count += 1,
            None if is_open && !["rust", "sh", "text"].contains(&language) => {
                found.push(format!("README.md:1: no test runs its blocks of `{language}`"));
            }
            None => {}
        }
    }
    let other = counts.into_iter().filter(|(_, count)| *count != 1);
    found.extend(other.map(|(language, count)| {
        format!("README.md:1: {count} blocks of `{language}`; one is run, `git grep readme` shows where")
    }));
    found
}

/// The variables of libpq that a text names.
fn variables(text: &str) -> BTreeSet<&str> {
    let words = text.split(|c: char| !(c.is_ascii_uppercase() || c == '_'));
    words.filter(|word| word.starts_with("PG") && word.len() > 4).collect()
}

/// What the environment may say, and what is refused of it, is told in two documents.
fn environment(tree: &Tree) -> Vec<String> {
    let known = variables(tree.text(VARIABLES));
    let lacks = |path: &'static str| {
        let told = variables(tree.text(path));
        let lacks = |name| format!("{path}:1: does not name {name}, which {VARIABLES} reads or refuses");
        known.difference(&told).map(lacks).collect::<Vec<_>>()
    };
    let mut found = ["src/driver/stores/postgres/config.rs", STORES].map(lacks).concat();
    if known.is_empty() {
        found.push(format!("{VARIABLES}:1: names no variable"));
    }
    found
}

#[test]
fn every_variable_that_counts_is_documented() {
    let read = (VARIABLES, "(\"host\", Some(\"PGHOST\")),\n[\"PGSERVICE\"]\n");
    let config = ("src/driver/stores/postgres/config.rs", "/// `PGHOST`, `PGSERVICE`\n");
    holds(environment, &[&[], &[read, config], &[read, config, (STORES, "`PGHOST`, `PGSERVICEFILE`\n")]]);
    assert!(environment(&Tree::planted(&[read, config, (STORES, "`PGHOST` `PGSERVICE`")])).is_empty());
}

#[test]
fn what_must_exist_exists() {
    holds(required, &[&[("README.md", "# Elector\n")]]);
}

#[test]
fn the_top_level_holds_only_what_belongs_there() {
    holds(top_level, &[&[("Makefile", "")], &[("docs/a.md", "")]]);
}

#[test]
fn every_version_is_the_same() {
    let cargo = ("Cargo.toml", "version = \"1.2.3\"\n");
    let lock = ("Cargo.lock", "name = \"elector\"\nversion = \"1.2.3\"\n");
    let log = ("src/docs/changelog.md", "# Changes\n\n## 1.2.3\n");
    let other = ("src/docs/changelog.md", "## 1.2.2\n\n## 1.2.3\n");
    let readme = ("README.md", "elector = { version = \"1.1\" }\n");
    holds(version, &[&[cargo, log], &[cargo, lock, other], &[cargo, lock, log, readme]]);
    assert!(version(&Tree::planted(&[cargo, lock, log, ("README.md", "elector = \"1.2\"\n")])).is_empty());
}

#[test]
fn the_oldest_rust_is_the_same_everywhere() {
    let cargo = ("Cargo.toml", "rust-version = \"1.85\"\n");
    let readme = ("README.md", "Rust 1.85 or newer\n");
    holds(
        oldest_rust,
        &[
            &[cargo, ("README.md", "Rust 1.8 or newer\n")],
            &[cargo, readme, ("src/docs/design.md", "needs Rust 1.90\n")],
            &[cargo, readme, ("src/docs/design.md", "Rust (1.90 or newer)\n")],
            &[cargo, readme, (".clippy.toml", "msrv = \"1.84\"\n")],
        ],
    );
}

#[test]
fn the_licences_are_those_that_the_manifest_names() {
    holds(licences, &[&[("Cargo.toml", "license = \"MIT\"\n"), ("LICENSE", "MIT License\n")]]);
}

#[test]
fn every_dependency_has_a_reason() {
    let cargo = ("Cargo.toml", "[target.'cfg(unix)'.dependencies]\nnix = { version = \"1\" }\n");
    holds(dependencies, &[&[cargo, ("src/docs/design.md", "| nix | small |\n")]]);
    assert!(dependencies(&Tree::planted(&[cargo, ("src/docs/design.md", "`nix`: small\n")])).is_empty());
}

#[test]
fn every_document_is_compiled() {
    let lib = ("src/lib.rs", "#![doc = include_str!(\"docs/a.md\")]\n");
    holds(
        documents_are_included,
        &[&[lib, ("src/docs/b.md", "")], &[lib, ("README.md", "```rust\nf();\n```\n")]],
    );
}

#[test]
fn every_program_of_the_readme_is_run() {
    let all = "```c\n```\n```go\n```\n```js\n```\n```ts\n```\n";
    let readme = |more: &str| format!("{all}{more}");
    let [twice, python] = [readme("```go\n```\n"), readme("```python\n```\n")];
    holds(readme_programs, &[&[], &[("README.md", &twice)], &[("README.md", &python)]]);
    let sound = readme("```rust\n```\n```sh\n```\n```rust\n```\n");
    assert!(readme_programs(&Tree::planted(&[("README.md", &sound)])).is_empty());
}
