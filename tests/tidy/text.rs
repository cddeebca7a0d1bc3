//! How a file is written.

use crate::{File, Tree, advises, holds};

const WIDTH: usize = 110;
/// "About 500".
const FILE_LINES: usize = 550;
const FUNCTION_LINES: usize = 70;
/// Files that may be longer, each with a reason. Empty is best.
const LONG_FILES: [&str; 0] = [];

/// Written by tools, or by others: their form is not ours to choose.
fn is_foreign(file: &File) -> bool {
    let path = &file.path;
    let written_by_tools = [".lock", "package-lock.json", "go.sum", ".patch"];
    path == "LICENSE" || written_by_tools.iter().any(|suffix| path.ends_with(suffix))
}

fn ours(tree: &Tree) -> impl Iterator<Item = &File> {
    tree.files.iter().filter(|file| !is_foreign(file))
}

fn is_code(file: &File) -> bool {
    let code = [".rs", ".sh", ".go", ".c", ".h", ".cc", ".py", ".js", ".mjs", ".ts", ".sql"];
    code.iter().any(|suffix| file.path.ends_with(suffix)) && !file.path.ends_with("include/elector.h")
}

/// Longer lines are fine only in transcripts, in tables of documents, and where an address is long.
fn widths(tree: &Tree) -> Vec<String> {
    let mut found = Vec::new();
    for file in ours(tree).filter(|file| !file.path.contains("/testdata/")) {
        for (number, line) in file.lines() {
            let width = line.chars().count();
            let table = file.path.ends_with(".md") && line.starts_with('|');
            let address = line.split_whitespace().any(|word| word.contains("://") && word.len() > 80);
            if width > WIDTH && !table && !address {
                found.push(file.finding(number, format_args!("{width} columns; break it at {WIDTH}")));
            }
        }
    }
    found
}

/// Tabs only where the language wants them, no blanks at the end of a line, one newline at the end of a file.
fn blanks(tree: &Tree) -> Vec<String> {
    let mut found = Vec::new();
    for file in ours(tree) {
        let tabs = [".go", "go.mod", "_amd64.s", "Makefile"].iter().any(|suffix| file.path.ends_with(suffix));
        for (number, line) in file.lines() {
            if line.contains('\t') && !tabs {
                found.push(file.finding(number, "a tab; use spaces"));
            }
            if line.ends_with([' ', '\r']) {
                found.push(file.finding(number, "blanks at the end of the line; remove them"));
            }
        }
        if !file.text.is_empty() && (!file.text.ends_with('\n') || file.text.ends_with("\n\n")) {
            found.push(file.finding(file.lines().count(), "end the file with exactly one newline"));
        }
    }
    found
}

/// A file has one subject, and a function fits on a screen.
fn lengths(tree: &Tree) -> Vec<String> {
    let mut found = Vec::new();
    for file in ours(tree).filter(|file| is_code(file)) {
        let count = file.lines().count();
        if count > FILE_LINES && !LONG_FILES.contains(&&*file.path) {
            found
                .push(file.finding(count, format_args!("more than {FILE_LINES} lines; split it by subject")));
        }
        if file.path.ends_with(".rs") {
            found.extend(functions(file));
        }
    }
    for path in LONG_FILES {
        if tree.get(path).is_none_or(|file| file.lines().count() <= FILE_LINES) {
            found.push(format!("{path}: needs no allowance; take it out of LONG_FILES"));
        }
    }
    found
}

/// `cargo fmt` puts the brace that ends a function below its first word, so indentation is enough to find it.
fn functions(file: &File) -> Vec<String> {
    let mut found = Vec::new();
    let mut open: Vec<(usize, usize)> = Vec::new();
    for (number, line) in file.lines() {
        let word = line.trim_start();
        let indent = line.len() - word.len();
        if starts_function(word) && !line.ends_with(['}', ';']) {
            open.push((number, indent));
            continue;
        }
        let ends = word == "}" || (word.starts_with(')') && word.ends_with(';'));
        if ends && open.last().is_some_and(|&(_, at)| indent == at) {
            let (first, _) = open.pop().expect("the last one was just looked at");
            let count = number - first + 1;
            if count > FUNCTION_LINES {
                let what = format!("a function of {count} lines; split it, {FUNCTION_LINES} are the limit");
                found.push(file.finding(first, what));
            }
        }
    }
    found
}

fn starts_function(line: &str) -> bool {
    let before = line.split(" fn ").next().unwrap_or_default();
    let qualifiers = ["pub", "pub(crate)", "pub(super)", "const", "async", "unsafe", "extern", "\"C\""];
    line.starts_with("fn ")
        || (line.contains(" fn ") && before.split_whitespace().all(|word| qualifiers.contains(&word)))
}

/// Nothing committed names a machine or a registry, or promises work for later.
fn words(tree: &Tree) -> Vec<String> {
    // Put together here, so that this file does not hold them.
    let later = ["TO_DO", "FIX_ME", "XX_X"].map(|word| word.replace('_', ""));
    let places = ["/_root/", "/_home/", "/_work/", "/_Users/"].map(|word| word.replace('_', ""));
    let hosts = [
        "deb._debian.org",
        "index._crates.io",
        "static._crates.io",
        "registry._npmjs.org",
        "proxy._golang.org",
        "files._pythonhosted.org",
        "repo._maven.apache.org",
    ]
    .map(|word| word.replace('_', ""));
    let mut found = Vec::new();
    for file in tree.files.iter().filter(|file| file.path != "Cargo.lock") {
        for (number, line) in file.lines() {
            if let Some(word) = later.iter().find(|word| crate::has_word(line, word)) {
                found.push(file.finding(number, format_args!("{word}; do it or file an issue")));
            }
            let place = places.iter().find(|place| {
                let starts =
                    |at: usize| !line[..at].ends_with(|c: char| c.is_alphanumeric() || "._-}/".contains(c));
                line.match_indices(place.as_str()).any(|(at, _)| starts(at))
            });
            if let Some(place) = place.or_else(|| hosts.iter().find(|host| line.contains(host.as_str()))) {
                found.push(
                    file.finding(number, format_args!("{place} exists on some machines only; take it out")),
                );
            }
        }
    }
    found
}

/// The files and folders that a document names in backticks or in a picture exist. A name in capitals stands
/// for any.
fn paths(tree: &Tree) -> Vec<String> {
    let roots = ["src/", "tests/", "bindings/", "include/"];
    let is_path = |text: &&str| roots.iter().any(|root| text.starts_with(root)) && !text.contains(' ');
    let is_any =
        |path: &str| path.split('/').any(|part| !part.is_empty() && part.chars().all(|c| c.is_uppercase()));
    let mut found = Vec::new();
    for file in tree.documents() {
        let mut in_picture = false;
        for (number, line) in file.lines() {
            if line.starts_with("```") {
                in_picture = line == "```text";
            }
            let words: Vec<&str> = match in_picture {
                true => line.split([' ', ',']).collect(),
                false => line.split('`').skip(1).step_by(2).collect(),
            };
            for path in words.into_iter().filter(is_path) {
                let known = path.split(['*', '{', ':']).next().unwrap_or_default();
                if !is_any(path) && !tree.files.iter().any(|file| file.path.starts_with(known)) {
                    found.push(file.finding(number, format_args!("there is no {path}; name what there is")));
                }
            }
        }
    }
    found
}

/// The guide to changes, and the words in it that stand for any name.
const GUIDE: &str = "src/docs/contributing.md";
const PLACEHOLDERS: [&str; 2] = ["NAME", "PART"];

/// The functions, constants and types that the guide to changes names in backticks exist in some source.
fn names(tree: &Tree) -> Vec<String> {
    let Some(guide) = tree.get(GUIDE) else { return vec![format!("{GUIDE}:1: missing")] };
    let is_name = |text: &&str| {
        let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
        text.starts_with(|c: char| c.is_ascii_alphabetic()) && text.chars().all(is_part)
    };
    let sources: Vec<&File> = ours(tree)
        .filter(|file| !file.path.ends_with(".md") && !file.path.ends_with("tidy/text.rs"))
        .collect();
    let mut found = Vec::new();
    for (number, line) in guide.lines() {
        for name in line.split('`').skip(1).step_by(2).filter(is_name) {
            if !PLACEHOLDERS.contains(&name) && !sources.iter().any(|file| crate::has_word(&file.text, name))
            {
                found.push(guide.finding(number, format_args!("no source has {name}; name what there is")));
            }
        }
    }
    found
}

/// The files that the guide to changes names in backticks exist, also those that it names without their
/// folder. `self.emit` is no file, since no file of the tree has that extension.
fn files(tree: &Tree) -> Vec<String> {
    // `names` reports a missing guide.
    let Some(guide) = tree.get(GUIDE) else { return Vec::new() };
    let is_path = |text: &&str| text.chars().all(|c| c.is_ascii_alphanumeric() || "._-/".contains(c));
    let mut found = Vec::new();
    for (number, line) in guide.lines() {
        for path in line.split('`').skip(1).step_by(2).filter(is_path) {
            let Some((_, extension)) = path.rsplit_once('.') else { continue };
            let is_known = tree.ending(&format!(".{extension}")).next().is_some();
            let is_any = path.split(['/', '.']).any(|part| PLACEHOLDERS.contains(&part));
            let mut places = tree.files.iter().filter_map(|file| file.path.strip_suffix(path));
            let exists = places.any(|folder| folder.is_empty() || folder.ends_with('/'));
            if is_known && !exists && !is_any {
                found.push(guide.finding(number, format_args!("there is no {path}; name what there is")));
            }
        }
    }
    found
}

/// What a document's links in this repository lead to exists: the file, and the heading after `#`.
fn links(tree: &Tree) -> Vec<String> {
    let mut found = Vec::new();
    for file in tree.documents() {
        for (number, line) in file.lines() {
            let targets = line.split("](").skip(1).filter_map(|rest| rest.split(')').next());
            for target in targets.filter(|target| !target.contains("://")) {
                let (path, heading) = target.split_once('#').unwrap_or((target, ""));
                let path = if path.is_empty() { file.path.clone() } else { joined(&file.path, path) };
                let is_file =
                    |other: &File| other.path == path || other.path.starts_with(&format!("{path}/"));
                if !tree.files.iter().any(is_file) {
                    found.push(file.finding(number, format_args!("there is no {path}")));
                } else if !heading.is_empty() && !headings(tree.text(&path)).any(|name| name == heading) {
                    found.push(file.finding(number, format_args!("{path} has no heading {heading}")));
                }
            }
        }
    }
    found
}

/// The path that `link` in the file `from` leads to.
fn joined(from: &str, link: &str) -> String {
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in link.split('/') {
        match part {
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// A document's headings as links name them: lower case, without punctuation, with `-` for blanks.
fn headings(text: &str) -> impl Iterator<Item = String> {
    let titles = text.lines().filter(|line| line.starts_with('#'));
    titles
        .map(|title| {
            let kept = |c: &char| c.is_alphanumeric() || " -_".contains(*c);
            title.trim_start_matches('#').trim().to_lowercase().chars().filter(kept).collect::<String>()
        })
        .map(|title| title.replace(' ', "-"))
}

#[test]
fn lines_that_are_too_long_are_found() {
    let long = format!("{}\n", "x".repeat(111));
    advises(widths, &[&[(".ci/run", &long)], &[("a.rs", &long)]]);
}

#[test]
fn lines_have_no_stray_blanks() {
    holds(
        blanks,
        &[&[("a.rs", "\tfn a() {}\n")], &[("a.md", "a \n")], &[("a.sh", "a")], &[("a.toml", "a\n\n")]],
    );
}

#[test]
fn files_and_functions_that_are_too_long_are_found() {
    let body = "        a();\n".repeat(70);
    advises(
        lengths,
        &[
            &[("src/a.rs", &"a();\n".repeat(551))],
            &[("src/a.rs", &format!("    pub(crate) fn a(\n        b: u8,\n    ) {{\n{body}    }}\n"))],
            &[("src/a.rs", &format!("    unsafe extern \"C\" fn a() {{\n{body}    }}\n"))],
        ],
    );
}

#[test]
fn nothing_names_a_machine_or_promises_work_for_later() {
    let line = |word: &str| format!("# see {}\n", word.replace('_', ""));
    holds(
        words,
        &[
            &[("a.rs", &line("TO_DO: more"))],
            &[("a.sh", &line("/_home/me/a"))],
            &[("a.md", &line("https://deb._debian.org"))],
        ],
    );
}

#[test]
fn the_paths_that_documents_name_exist() {
    let source = ("src/core/a.rs", "");
    let said = |text| [source, ("README.md", text)];
    holds(paths, &[&said("`src/core/b.rs`\n"), &said("a `b` and `tests/c/`\n"), &said("```text\nsrc/b,\n")]);
    let sound = said("`src/core/`, `src/core/*.rs`, `tests/NAME`, `src/core/a.rs:1`, `include foo`\n");
    assert!(paths(&Tree::planted(&sound)).is_empty());
}

#[test]
fn links_in_documents_lead_somewhere() {
    let other = ("src/docs/a.md", "## When SQLite's files are lost\n");
    let said = |text| [other, ("src/docs/b.md", text)];
    holds(links, &[&said("[a](c.md)\n"), &said("[a](a.md#lost)\n"), &said("[a](#lost)\n")]);
    let sound = said("# B\n[a](../docs/a.md#when-sqlites-files-are-lost), [b](#b), [c](https://c.d/e#f)\n");
    assert!(links(&Tree::planted(&sound)).is_empty());
}

#[test]
fn the_names_in_the_guide_to_changes_exist() {
    let source = ("src/a.rs", "fn judge() {}\n");
    let said = |text| [source, (GUIDE, text)];
    holds(names, &[&[source], &said("`judges`\n"), &said("| `judge`, `Verdict` |\n")]);
    assert!(names(&Tree::planted(&said("`judge`, `NAME`, `git grep x`, `a.rs`\n"))).is_empty());
}

#[test]
fn the_files_that_the_guide_to_changes_names_exist() {
    let source = ("src/core/position.test.ts", "");
    let said = |text| [source, (GUIDE, text)];
    holds(
        files,
        &[
            &said("`standing.test.ts`\n"),
            &said("| `a` | `test.ts`: b |\n"),
            &said("`docs/position.test.ts`\n"),
        ],
    );
    let sound = said(
        "`position.test.ts`, `core/position.test.ts`, `NAME.ts`, `src/NAME/a.ts`, `self.emit`, `ls a.ts`\n",
    );
    assert!(files(&Tree::planted(&sound)).is_empty());
}
