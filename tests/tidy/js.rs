//! The npm package says what the rest says.

use crate::graph::{self, Import};
use crate::{File, Tree, holds};

const PACKAGE: &str = "bindings/js/package.json";
const TYPES: &str = "src/wasm/lease/types.d.ts";
const RAFT_TYPES: &str = "src/wasm/raft/types.d.ts";
const README: &str = "bindings/js/README.md";
const BINDGEN: &str = "bindings/js/scripts/bindgen/Cargo.toml";

const LISTEN: &str = "bindings/js/src/stores/postgres-listening.ts";

const SOURCES: &str = "bindings/js/src/";
/// What every file of the package may import.
const LOWEST: [&str; 5] = ["core", "errors", "clock", "changes", "store"];

/// The string under a key, the first of this name in the text.
fn value<'a>(text: &'a str, key: &str) -> &'a str {
    let after = text.split_once(&format!("\"{key}\": \"")).map_or("", |(_, after)| after);
    after.split('"').next().unwrap_or_default()
}

fn version(tree: &Tree) -> Vec<String> {
    let crates = tree.text("Cargo.toml").lines().find_map(|line| line.strip_prefix("version = "));
    let crates = crates.unwrap_or_default().trim_matches('"');
    ["bindings/js/package.json", "bindings/js/package-lock.json"]
        .into_iter()
        .filter(|path| value(tree.text(path), "version") != crates)
        .map(|path| format!("{path}:1: another version than Cargo.toml's {crates}"))
        .collect()
}

/// The README must name the oldest Node that package.json accepts.
fn oldest_node(tree: &Tree) -> Vec<String> {
    let node = value(tree.text(PACKAGE), "node").trim_start_matches(">=");
    let says = ["Node", "Node.js"].iter().any(|name| {
        let sentence = format!("{name} {node} or newer");
        tree.text(README).contains(&sentence)
    });
    (!says)
        .then(|| format!("{README}:1: does not say that it needs Node {node}, as {PACKAGE} does"))
        .into_iter()
        .collect()
}

/// The tool that makes the glue must be of the same version as what it makes glue for.
fn bindgen(tree: &Tree) -> Vec<String> {
    let after = |path, before: &str| tree.text(path).split_once(before).map_or("", |(_, after)| after);
    let locked = after("Cargo.lock", "name = \"wasm-bindgen\"\nversion = \"").split('"').next();
    let used = after(BINDGEN, "wasm-bindgen-cli-support = \"=").split('"').next();
    let mut found = Vec::new();
    if locked.is_none_or(str::is_empty) || locked != used {
        found.push(format!("{BINDGEN}:1: has wasm-bindgen-cli-support {used:?}, and Cargo.lock {locked:?}"));
    }
    found
}

/// The package must have no dependency: its users install nothing else.
fn no_dependencies(tree: &Tree) -> Vec<String> {
    let has = tree.text(PACKAGE).contains("\"dependencies\"");
    has.then(|| format!("{PACKAGE}:1: has a dependency at run time; the package has none"))
        .into_iter()
        .collect()
}

/// The files of names that the core gives out, what stands before each, and the types that must have it.
const NAMES: [(&str, &str, &str); 4] = [
    ("src/wasm/lease/output.rs", "named(\"", TYPES),
    ("src/wasm/lease/sql.rs", "        \"", TYPES),
    ("src/wasm/raft/output.rs", "named(\"", RAFT_TYPES),
    ("src/wasm/raft/output.rs", "=> \"", RAFT_TYPES),
];

/// The types are written by hand, so each name that the core gives out must be among them.
fn names(tree: &Tree) -> Vec<String> {
    let mut found = Vec::new();
    for (path, before, types) in NAMES {
        for line in tree.text(path).lines().filter(|line| line.contains("=> ")) {
            let Some((_, rest)) = line.split_once(before) else { continue };
            let name = rest.split('"').next().unwrap_or_default();
            if !tree.text(types).contains(&format!("\"{name}\"")) {
                found.push(format!("{types}:1: lacks \"{name}\" of {path}"));
            }
        }
    }
    found
}

/// The SQLSTATEs that a line of code names: five digits and capitals, in a string or a pattern.
fn sqlstates(line: &str) -> impl Iterator<Item = &str> {
    let words = line.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.filter(|word| {
        let is_in_capitals = word.chars().all(|c| c.is_ascii_digit() || c.is_ascii_uppercase());
        let is_a_number = word.chars().all(|c| c.is_ascii_digit());
        let is_quoted = ["\"", "'", "^"].iter().any(|mark| line.contains(&format!("{mark}{word}")));
        let has_digit = word.contains(|c: char| c.is_ascii_digit());
        word.len() == 5 && is_in_capitals && has_digit && (!is_a_number || is_quoted)
    })
}

/// What PostgreSQL says is judged and worded in `src/core/sql`, once for all languages.
fn verdicts(tree: &Tree) -> Vec<String> {
    let mut found = Vec::new();
    for file in sources(tree) {
        for (number, line) in file.lines().filter(|(_, line)| !is_comment(line)) {
            for code in sqlstates(line) {
                let what = format!("judges SQLSTATE {code}; have src/core/sql/sqlstate.rs judge it");
                found.push(file.finding(number, what));
            }
        }
    }
    found
}

fn is_comment(line: &str) -> bool {
    ["*", "/*", "//"].iter().any(|mark| line.trim_start().starts_with(mark))
}

/// What stands behind the `=` of a constant whose declaration contains this.
fn number<'a>(text: &'a str, constant: &str) -> &'a str {
    let after = text.split_once(constant).and_then(|(_, after)| after.split_once(" = "));
    after.map_or("", |(_, value)| value.split(';').next().unwrap_or_default())
}

/// A release must notify the channel on which candidates listen.
fn channel(tree: &Tree) -> Vec<String> {
    let told = number(tree.text("src/core/sql/postgres.rs"), "pub const CHANNEL: ");
    let heard = number(tree.text(LISTEN), "const CHANNEL");
    let is_one = !told.is_empty() && told == heard;
    (!is_one)
        .then(|| format!("{LISTEN}:1: listens on {heard}, but src/core/sql/postgres.rs notifies {told}"))
        .into_iter()
        .collect()
}

#[test]
fn sqlstates_are_judged_in_one_place_for_rust_and_javascript() {
    const STORE: &str = "bindings/js/src/stores/a.ts";
    holds(
        verdicts,
        &[
            &[(STORE, "const GONE = new Set([\"42P01\"]);\n")],
            &[(STORE, "if (code === \"22021\") return false;\n")],
            &[(STORE, "    [/^(22P05|22021)$/, \"use others\"],\n")],
        ],
    );
    let other = "// As after 42P01.\nconst A = 10000;\nconst NAMES = /^(EPIPE|EMFILE)$/;\n";
    assert!(verdicts(&Tree::planted(&[(STORE, other)])).is_empty());
}

#[test]
fn javascript_listens_where_all_tell() {
    let told = ("src/core/sql/postgres.rs", "pub const CHANNEL: &str = \"a\";\n");
    holds(channel, &[&[told], &[told, (LISTEN, "const CHANNEL = \"b\";\n")]]);
    assert!(channel(&Tree::planted(&[told, (LISTEN, "const CHANNEL = \"a\";\n")])).is_empty());
}

#[test]
fn the_npm_package_has_the_crates_version() {
    let cargo = ("Cargo.toml", "version = \"1.2.3\"\n");
    let lock = ("bindings/js/package-lock.json", "\"version\": \"1.2.3\"");
    holds(version, &[&[cargo, lock, (PACKAGE, "\"version\": \"1.2.2\"")]]);
}

#[test]
fn the_oldest_node_is_the_same_everywhere() {
    let package = (PACKAGE, "\"node\": \">=20\"");
    holds(oldest_node, &[&[package, (README, "Node 18 or newer")]]);
}

#[test]
fn the_npm_package_depends_on_nothing() {
    holds(no_dependencies, &[&[(PACKAGE, "\"dependencies\": {}")]]);
}

#[test]
fn every_name_that_the_core_gives_out_has_a_type() {
    let lease = ("src/wasm/lease/output.rs", "Event::A => named(\"a\"),\n");
    let raft = ("src/wasm/raft/output.rs", "Role::A => \"a\",\n");
    holds(names, &[&[lease, (TYPES, "\"b\"")], &[raft, (RAFT_TYPES, "\"b\"")]]);
}

#[test]
fn the_glue_is_made_by_the_version_that_is_locked() {
    let lock = ("Cargo.lock", "name = \"wasm-bindgen\"\nversion = \"1.2.3\"\n");
    let tool = "wasm-bindgen-cli-support = \"=1.2.3\"\n";
    let other = tool.replace("1.2.3", "1.2.4");
    holds(bindgen, &[&[lock], &[lock, (BINDGEN, &other)]]);
    assert!(bindgen(&Tree::planted(&[lock, (BINDGEN, tool)])).is_empty());
}

/// All that a file imports of the package: for values or types only, at once or when it is needed, to use it
/// or to export it again.
fn imports(file: &File) -> Vec<Import> {
    let mut found = Vec::new();
    for (at, quote) in file.text.match_indices(['"', '\'']) {
        let (before, rest) = (&file.text[..at], &file.text[at + 1..]);
        let Some((specifier, _)) = rest.split_once(quote) else { continue };
        let names_a_module = ["from", "import", "import(", "require("];
        let is_import = names_a_module.iter().any(|word| before.trim_end().ends_with(word));
        let start = before.rfind('\n').map_or(0, |end| end + 1);
        if is_import && !is_comment(&before[start..]) && specifier.starts_with('.') {
            let line = before.matches('\n').count() + 1;
            found.push(Import { line, target: resolved(&file.path, specifier) });
        }
    }
    found
}

/// The source file that a relative specifier in `path` means.
fn resolved(path: &str, specifier: &str) -> String {
    let mut folders: Vec<&str> = path.split('/').collect();
    folders.pop();
    for part in specifier.split('/') {
        match part {
            "." => {}
            ".." => _ = folders.pop(),
            _ => folders.push(part),
        }
    }
    folders.join("/").replace(".js", ".ts")
}

fn sources(tree: &Tree) -> impl Iterator<Item = &File> {
    tree.ending(".ts").filter(|file| file.path.starts_with(SOURCES))
}

fn circles(tree: &Tree) -> Vec<String> {
    graph::circles(&sources(tree).map(|file| (file.path.as_str(), imports(file))).collect())
}

/// The layer of a file of the package, the lowest first: values and interfaces, stores, the elector, what the
/// package exports, its NestJS module and its Raft.
fn layer(path: &str) -> u8 {
    let inside = path.strip_prefix(SOURCES).unwrap_or(path);
    match inside.split_once('/') {
        Some(("wasm", _)) => 0,
        Some(("stores", _)) => 1,
        Some(_) => 4,
        None if LOWEST.iter().any(|name| inside == format!("{name}.ts")) => 0,
        None if inside == "index.ts" => 3,
        None => 2,
    }
}

/// A file uses its own layer and lower ones. Nothing uses an index, which is for users.
fn layers(tree: &Tree) -> Vec<String> {
    let mut found = Vec::new();
    for file in sources(tree) {
        for Import { line, target } in imports(file) {
            if layer(&target) > layer(&file.path) || target.ends_with("/index.ts") {
                let what = format!("must not import {target}: imports point to lower layers only");
                found.push(file.finding(line, what));
            }
        }
    }
    found
}

#[test]
fn no_files_of_the_npm_package_import_each_other_in_a_circle() {
    const A: &str = "bindings/js/src/a.ts";
    const B: &str = "bindings/js/src/stores/b.ts";
    const C: &str = "bindings/js/src/c.ts";
    let to_b = "import { b } from \"./stores/b.js\";\n";
    holds(
        circles,
        &[
            &[(A, "import { a } from \"./a.js\";\n")],
            &[(A, to_b), (B, "import type { A } from \"../a.js\";\n")],
            &[(A, to_b), (B, "import \"../a.js\";\n")],
            &[(A, to_b), (B, "export {\n    a,\n} from '../a.js';\n")],
            &[(A, to_b), (B, "const a = await import(\n    \"../a.js\");\n")],
            &[(A, to_b), (B, "let a: import(\"../a.js\").A;\n")],
            &[(A, to_b), (B, "export * from \"../c.js\";\n"), (C, "import { a } from \"./a.js\";\n")],
            &[(A, to_b), (B, "import \"./d.js\";\nimport \"../c.js\";\n"), (C, to_b)],
        ],
    );
    let comment = "/**\n * import { a } from \"../a.js\";\n */\nimport { c } from \"../c.js\";\n";
    assert!(circles(&Tree::planted(&[(A, to_b), (B, comment), (C, "")])).is_empty());
}

#[test]
fn imports_of_the_npm_package_point_to_lower_layers() {
    let imports =
        |path: &'static str, target: &str| (path, format!("import type {{ A }} from \"{target}\";\n"));
    let faults = [
        imports("bindings/js/src/stores/a.ts", "../elector.js"),
        imports("bindings/js/src/stores/a.ts", "../hub.js"),
        imports("bindings/js/src/stores/a.ts", "../nestjs/a.js"),
        imports("bindings/js/src/elector.ts", "./nestjs/a.js"),
        imports("bindings/js/src/store.ts", "./stores/memory.js"),
        imports("bindings/js/src/nestjs/a.ts", "../index.js"),
        imports("bindings/js/src/index.ts", "./nestjs/index.js"),
    ];
    let trees = faults.each_ref().map(|(path, text)| [(*path, text.as_str())]);
    holds(layers, &trees.each_ref().map(|tree| tree.as_slice()));
    let (path, text) = imports("bindings/js/src/nestjs/a.ts", "../stores/postgres.js");
    assert!(layers(&Tree::planted(&[(path, &text)])).is_empty());
}
