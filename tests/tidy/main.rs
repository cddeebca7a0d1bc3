//! Reads every file of the repository: whatever is said twice agrees, and every file keeps the house's rules.
//!
//! A rule is a function from the tree of files to findings, `path:line: what is wrong; what to do`. Each runs
//! on the real tree, and on small ones with a fault planted in them, which it must find. The limits of style
//! (columns, lines of a file and of a function) are warnings; every other finding fails its test.

#[cfg(feature = "cli")]
mod commands;
mod facts;
mod go;
mod graph;
mod header;
mod imports;
mod js;
#[cfg(feature = "cli")]
mod monitoring;
mod purity;
mod tests;
mod text;

use std::io::Write;
use std::path::Path;
use std::process::Command;

/// The files that are, or would be, committed.
struct Tree {
    files: Vec<File>,
}

struct File {
    path: String,
    text: String,
}

impl Tree {
    /// The working tree as git lists it, new files included. Files that are no text are left out.
    fn here() -> Tree {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let listing = Command::new("git")
            .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
            .current_dir(root)
            .output()
            .expect("git lists the files to check; install git");
        assert!(listing.status.success(), "git ls-files: {}", String::from_utf8_lossy(&listing.stderr));
        let paths = String::from_utf8(listing.stdout).expect("file names are UTF-8");
        let read = |path: &str| {
            let text = std::fs::read_to_string(root.join(path)).ok()?;
            Some(File { path: path.to_owned(), text })
        };
        Tree { files: paths.split_terminator('\0').filter_map(read).collect() }
    }

    /// A tree with a fault planted in it.
    fn planted(files: &[(&str, &str)]) -> Tree {
        let file = |&(path, text): &(&str, &str)| File { path: path.into(), text: text.into() };
        Tree { files: files.iter().map(file).collect() }
    }

    fn get(&self, path: &str) -> Option<&File> {
        self.files.iter().find(|file| file.path == path)
    }

    /// The text of a file that must exist. A missing one is empty, and `facts::required` reports it.
    fn text(&self, path: &str) -> &str {
        self.get(path).map_or("", |file| &file.text)
    }

    fn ending(&self, suffix: &str) -> impl Iterator<Item = &File> {
        self.files.iter().filter(move |file| file.path.ends_with(suffix))
    }

    /// What people read: the README and the long documents.
    fn documents(&self) -> impl Iterator<Item = &File> {
        self.ending(".md")
    }
}

impl File {
    /// The file's lines, numbered from 1.
    fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        (1..).zip(self.text.lines())
    }

    fn finding(&self, line: usize, what: impl std::fmt::Display) -> String {
        format!("{}:{line}: {what}", self.path)
    }
}

type Rule = fn(&Tree) -> Vec<String>;

/// The rule holds for the real tree, and finds the fault in each planted one.
#[track_caller]
fn holds(rule: Rule, faults: &[&[(&str, &str)]]) {
    for fault in faults {
        assert!(!rule(&Tree::planted(fault)).is_empty(), "the rule is blind to {fault:?}");
    }
    let findings = rule(&Tree::here());
    assert!(findings.is_empty(), "\n{}\n", findings.join("\n"));
}

/// The rule finds the fault in each planted tree. What it finds in the real one is a warning, which
/// tests/run.sh prints at its end: a limit of style must not fail a run.
#[track_caller]
fn advises(rule: Rule, faults: &[&[(&str, &str)]]) {
    for fault in faults {
        assert!(!rule(&Tree::planted(fault)).is_empty(), "the rule is blind to {fault:?}");
    }
    for finding in rule(&Tree::here()) {
        // Not by `eprintln!`, whose output the test harness keeps to itself when a test passes.
        let _ = writeln!(std::io::stderr(), "warning: {finding}");
    }
}

/// Does `text` hold `word` as a whole identifier, or path of identifiers?
fn has_word(text: &str, word: &str) -> bool {
    let part = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(word).any(|(at, _)| {
        !text[..at].ends_with(part) && (word.ends_with(':') || !text[at + word.len()..].starts_with(part))
    })
}
