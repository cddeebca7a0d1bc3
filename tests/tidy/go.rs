//! The Go package says what the C header says.

use crate::{Tree, holds};

const HEADER: &str = "include/elector.h";
const COPY: &str = "bindings/go/include/elector.h";
const NUMBERS: &str = "bindings/go/internal/library/numbers.go";
const ERRORS: &str = "bindings/go/errors.go";
const OPTIONS: &str = "bindings/go/internal/library/options.go";
const MODULE: &str = "bindings/go/go.mod";
const README: &str = "bindings/go/README.md";

fn copy(tree: &Tree) -> Vec<String> {
    if tree.text(HEADER) == tree.text(COPY) {
        return Vec::new();
    }
    vec![format!("{COPY}:1: is not {HEADER}; run `make -C bindings/c go`")]
}

/// Names that the header defines behind `prefix`: the enumerators, or the functions.
pub fn named<'a>(tree: &'a Tree, prefix: &'a str) -> Vec<&'a str> {
    let identifier = |c: char| c.is_alphanumeric() || c == '_';
    let lines = tree.text(HEADER).lines().filter(|line| !line.trim_start().starts_with("//"));
    let names = lines.filter_map(|line| {
        let at = line.find(prefix)?;
        let defines = !line[..at].ends_with(identifier) && !line.starts_with('#');
        let end = line[at..].find(|c| !identifier(c)).unwrap_or(line.len() - at);
        let rest = &line[at + end..];
        (defines && (rest.starts_with(" = ") || rest.starts_with('('))).then(|| &line[at..at + end])
    });
    names.collect()
}

/// The compiler checks that the numbers are those of the header; this rule checks that none is left out.
fn numbers(tree: &Tree) -> Vec<String> {
    let mut found = Vec::new();
    for prefix in ["ELECTOR_STATUS_", "ELECTOR_EVENT_", "ELECTOR_REASON_"] {
        let names = named(tree, prefix);
        if names.is_empty() {
            found.push(format!("{HEADER}:1: has no {prefix}…, which bindings/go needs"));
        }
        let missing = names.iter().filter(|name| !crate::has_word(tree.text(NUMBERS), name));
        found.extend(missing.map(|name| format!("{NUMBERS}:1: lacks {name} of the header; name it")));
    }
    // Each name of a status there stands for an error.
    let names = tree.text(NUMBERS).split_whitespace().filter(|word| word.starts_with("Status"));
    let names = names
        .filter(|name| name.chars().all(char::is_alphanumeric) && !["Status", "StatusOK"].contains(name));
    for name in names.filter(|name| !tree.text(ERRORS).contains(&format!("library.{name}:"))) {
        found.push(format!("{ERRORS}:1: no error stands for {name}; add it to `sentinels`"));
    }
    found
}

/// Callbacks are left out on purpose: no thread of the library may run Go.
fn options(tree: &Tree) -> Vec<String> {
    let setters = named(tree, "elector_options_set_");
    let missing = setters.iter().filter(|name| !crate::has_word(tree.text(OPTIONS), name));
    missing.map(|name| format!("{OPTIONS}:1: never calls {name}; give `Options` a field for it")).collect()
}

/// The README must name the oldest Go that go.mod accepts.
fn oldest_go(tree: &Tree) -> Vec<String> {
    let version = tree.text(MODULE).lines().find_map(|line| line.strip_prefix("go "));
    let version = version.unwrap_or_default().trim_end_matches(".0");
    let says = tree.text(README).contains(&format!("Go {version} or newer"));
    (!says)
        .then(|| format!("{README}:1: does not say that it needs Go {version}, as {MODULE} does"))
        .into_iter()
        .collect()
}

#[test]
fn the_header_of_the_go_package_is_the_header() {
    holds(copy, &[&[(HEADER, "int a;\n"), (COPY, "int b;\n")], &[(HEADER, "int a;\n")]]);
}

#[test]
fn every_number_of_the_header_is_known_in_go() {
    let header =
        (HEADER, "    ELECTOR_STATUS_OK = 0,\n    ELECTOR_EVENT_A = 0,\n    ELECTOR_REASON_B = 0,\n");
    let numbers_text = "StatusOK = C.ELECTOR_STATUS_OK\nA = C.ELECTOR_EVENT_A\nB = C.ELECTOR_REASON_B\n";
    let with_status = format!("{numbers_text}StatusC = C.ELECTOR_STATUS_C\n");
    holds(numbers, &[&[header], &[(NUMBERS, numbers_text)], &[header, (NUMBERS, &with_status)]]);
    assert!(numbers(&Tree::planted(&[header, (NUMBERS, numbers_text)])).is_empty());
}

#[test]
fn every_option_of_the_library_is_one_in_go() {
    holds(options, &[&[(HEADER, "enum elector_status elector_options_set_wings(int wings);\n")]]);
}

#[test]
fn the_oldest_go_is_the_same_everywhere() {
    let module = (MODULE, "go 1.24.0\n");
    holds(oldest_go, &[&[module], &[module, (README, "With Go 1.23 or newer\n")]]);
    assert!(oldest_go(&Tree::planted(&[module, (README, "With Go 1.24 or newer\n")])).is_empty());
}
