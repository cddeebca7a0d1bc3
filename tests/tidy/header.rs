//! `include/elector.h` is what cbindgen makes of `src/capi`, and says all that it should.

use std::path::Path;

use crate::go::named;
use crate::{Tree, holds};

const HEADER: &str = "include/elector.h";
/// The files of `src/capi` from which the header is generated, in the order of the header.
const SOURCES: [&str; 9] =
    ["version", "status", "options", "handle", "leadership", "questions", "change", "lease", "sql"];

fn made(root: &Path) -> String {
    let config = cbindgen::Config::from_file(root.join("cbindgen.toml")).expect("cbindgen.toml is right");
    let mut builder = cbindgen::Builder::new().with_config(config);
    for name in SOURCES {
        builder = builder.with_src(root.join(format!("src/capi/{name}.rs")));
    }
    let mut text = Vec::new();
    builder.generate().expect("cbindgen understands src/capi").write(&mut text);
    String::from_utf8(text).expect("the header is UTF-8")
}

/// Prose before each function, type, enumerator and field: the header alone must document the interface.
fn documented(tree: &Tree) -> Vec<String> {
    let lines: Vec<&str> = tree.text(HEADER).lines().collect();
    let mut found = Vec::new();
    let mut in_type = false;
    for (at, line) in lines.iter().enumerate() {
        let is_member = in_type && line.starts_with("    ") && !line.trim_start().starts_with("//");
        let is_function = line.starts_with(|c: char| c.is_ascii_lowercase()) && line.contains('(');
        let is_check = line.starts_with("typedef char");
        let declares = is_function || line.starts_with("typedef") || is_member;
        let is_told = at > 0 && lines[at - 1].trim_start().starts_with("// ");
        if declares && !is_check && !is_told {
            found.push(format!("{HEADER}:{}: `{}` has no comment; add one in src/capi", at + 1, line.trim()));
        }
        in_type = line.starts_with("typedef") && line.ends_with('{') || in_type && !line.starts_with('}');
    }
    found
}

/// C without comments and without the text of its strings, in which a name is no use of it.
fn code(text: &str) -> String {
    let mut code = String::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '/' if rest.starts_with("/*") => rest.find("*/").map_or(rest.len(), |at| at + 2),
            '/' if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
            '"' | '\'' => quoted_length(rest, first),
            other => {
                code.push(other);
                other.len_utf8()
            }
        };
        rest = &rest[length..];
    }
    code
}

/// How long the literal is that this text begins with.
fn quoted_length(text: &str, quote: char) -> usize {
    let mut escaped = false;
    let end = text.char_indices().skip(1).find(|&(_, c)| {
        let ends = c == quote && !escaped;
        escaped = c == '\\' && !escaped;
        ends
    });
    end.map_or(text.len(), |(at, _)| at + 1)
}

/// Does a statement compare with this status inside a check, which fails where they differ?
fn compares(tests: &str, status: &str) -> bool {
    let statements = tests.split([';', '{', '}']);
    let checks = statements.filter(|it| it.contains("CHECK(") || it.contains("REQUIRE("));
    let mut compared = checks.flat_map(|it| it.split("== ").skip(1));
    compared.any(|after| {
        after
            .strip_prefix(status)
            .is_some_and(|rest| !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_'))
    })
}

/// Each function of the header is called, and each status is expected, in the tests in C; but for PANIC: no
/// input is known that makes the library panic, so the tests of src/capi/boundary.rs make it.
fn exercised(tree: &Tree) -> Vec<String> {
    let tests = tree.files.iter().filter(|file| file.path.starts_with("tests/c/"));
    let tests: String = tests.map(|file| code(&file.text)).collect();
    let mut found = Vec::new();
    let functions = named(tree, "elector_");
    if functions.is_empty() {
        found.push(format!("{HEADER}:1: declares no function"));
    }
    for name in functions.iter().filter(|name| !tests.contains(&format!("{name}("))) {
        found.push(format!("{HEADER}:1: no test in tests/c calls {name}; add one"));
    }
    for status in named(tree, "ELECTOR_STATUS_") {
        if status == "ELECTOR_STATUS_PANIC" {
            continue;
        }
        let short = status.trim_start_matches("ELECTOR_STATUS_");
        if !tests.contains(&format!("GIVES({short},")) && !compares(&tests, status) {
            found.push(format!("{HEADER}:1: no test in tests/c expects {status}; add one"));
        }
    }
    found
}

/// The macros are the crate's version.
fn version(tree: &Tree) -> Vec<String> {
    let version = tree.text("Cargo.toml").lines().find_map(|line| line.strip_prefix("version = "));
    let version = version.unwrap_or_default().trim_matches('"');
    let mut lines = vec![format!("#define ELECTOR_VERSION \"{version}\"")];
    for (part, number) in ["MAJOR", "MINOR", "PATCH"].iter().zip(version.split('.')) {
        lines.push(format!("#define ELECTOR_VERSION_{part} {number}"));
    }
    let header = tree.text(HEADER);
    let missing = lines.iter().filter(|line| !header.lines().any(|found| found == **line));
    missing.map(|line| format!("cbindgen.toml:1: must say `{line}`, as Cargo.toml does")).collect()
}

#[test]
fn everything_in_the_header_is_documented() {
    let documented_text = "// A.\nvoid elector_a(void);\n";
    holds(
        documented,
        &[
            &[(HEADER, "\nbool elector_a(void);\n")],
            &[(HEADER, "\ntypedef struct elector elector;\n")],
            &[(
                HEADER,
                "// A.\ntypedef struct elector_a {\n    // B.\n    int b;\n    int c;\n} elector_a;\n",
            )],
            &[(HEADER, "// A.\ntypedef enum elector_a {\n    ELECTOR_A = 0,\n} elector_a;\n")],
        ],
    );
    assert!(documented(&Tree::planted(&[(HEADER, documented_text)])).is_empty());
}

#[test]
fn everything_in_the_header_is_tested_in_c() {
    let header = (HEADER, "bool elector_a(void);\n    ELECTOR_STATUS_B = 1,\n");
    let calls = ("tests/c/a.c", "CHECK(elector_a());\n");
    let both = ("tests/c/a.c", "CHECK(elector_a());\nGIVES(B, x);\n");
    let file = |text| ("tests/c/a.c", text);
    holds(
        exercised,
        &[
            &[header],
            &[header, calls],
            &[header, file("GIVES(B, x);\n")],
            &[header, file("/* elector_a() */ GIVES(B, \"elector_a()\");\n")],
            &[header, calls, file("// GIVES(B, x);\n")],
            &[header, calls, file("if (x == ELECTOR_STATUS_B) return;\n")],
            &[header, calls, file("CHECK(x == ELECTOR_STATUS_BB);\n")],
        ],
    );
    assert!(exercised(&Tree::planted(&[header, both])).is_empty());
    let compared = file("CHECK(elector_a('\"') &&\n      x == ELECTOR_STATUS_B);\n");
    assert!(exercised(&Tree::planted(&[header, compared])).is_empty());
}

#[test]
fn the_version_of_the_header_is_that_of_the_crate() {
    let cargo = ("Cargo.toml", "version = \"1.2.3\"\n");
    let header = "#define ELECTOR_VERSION \"1.2.3\"\n#define ELECTOR_VERSION_MAJOR 1\n\
                  #define ELECTOR_VERSION_MINOR 2\n#define ELECTOR_VERSION_PATCH 3\n";
    let wrong = header.replace("MINOR 2", "MINOR 1");
    holds(version, &[&[cargo], &[cargo, (HEADER, &wrong)]]);
    assert!(version(&Tree::planted(&[cargo, (HEADER, header)])).is_empty());
}

#[test]
fn the_header_is_what_its_source_says() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let made = made(root);
    if std::env::var_os("UPDATE").is_some() {
        std::fs::create_dir_all(root.join("include")).expect("a folder");
        std::fs::write(root.join(HEADER), &made).expect("the header is written");
    }
    let found = std::fs::read_to_string(root.join(HEADER)).unwrap_or_default();
    assert!(found == made, "{HEADER} is not what cbindgen makes: UPDATE=1 cargo test --test tidy header");
}
