//! The npm package says what the rest says.

use crate::graph::{self, Import};
use crate::{File, Tree, holds};

const PACKAGE: &str = "bindings/js/package.json";
const TYPES: &str = "src/wasm/types.d.ts";
const README: &str = "bindings/js/README.md";
const BINDGEN: &str = "bindings/js/scripts/bindgen/Cargo.toml";

const TABLE: &str = "bindings/js/src/stores/postgres-table.ts";
const RUST_TABLE: &str = "src/driver/stores/postgres/table.rs";
const RUST_STORE: &str = "src/driver/stores/postgres/mod.rs";
const STORE: &str = "bindings/js/src/stores/postgres.ts";
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

/// Whoever reads that a Node is new enough must not find otherwise.
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

/// Users install this package and nothing else.
fn no_dependencies(tree: &Tree) -> Vec<String> {
    let has = tree.text(PACKAGE).contains("\"dependencies\"");
    has.then(|| format!("{PACKAGE}:1: has a dependency at run time; the package has none"))
        .into_iter()
        .collect()
}

/// The types are written by hand, so each name that the core gives out must be among them.
fn names(tree: &Tree) -> Vec<String> {
    let mut found = Vec::new();
    for (path, before) in [("src/wasm/object.rs", "named(\""), ("src/wasm/sql.rs", "        \"")] {
        for line in tree.text(path).lines().filter(|line| line.contains(" => ")) {
            let Some((_, rest)) = line.split_once(before) else { continue };
            let name = rest.split('"').next().unwrap_or_default();
            if !tree.text(TYPES).contains(&format!("\"{name}\"")) {
                found.push(format!("{TYPES}:1: lacks \"{name}\" of {path}"));
            }
        }
    }
    found
}

/// What a table must be like is judged in two places, each in its language: by the same rules.
fn table(tree: &Tree) -> Vec<String> {
    let rust = tree.text(RUST_TABLE);
    let columns = rust.split_once("const COLUMNS").map_or("", |(_, rest)| rest);
    let columns = columns.split_once("];").map_or("", |(columns, _)| columns).lines();
    let columns = columns.filter(|line| line.starts_with("    (\""));
    let mut wanted: Vec<String> =
        columns.map(|line| line.replace("(\"", "[\"").replace("&[", "[").replace("]),", "]],")).collect();
    if wanted.is_empty() {
        return vec![format!("{RUST_TABLE}:1: has no COLUMNS, which {TABLE} must repeat")];
    }
    for name in ["THEIRS", "FEWEST_DIGITS"] {
        wanted.push(format!("const {name} = {};", number(rust, &format!("const {name}: "))));
    }
    let longest = number(tree.text("src/core/name.rs"), "MAX_BYTES: ").parse::<usize>().unwrap_or_default();
    wanted.push(format!("{{ id: {longest}, leader_id: {} }};", longest + 17));
    let missing = wanted.iter().filter(|line| !tree.text(TABLE).contains(line.as_str()));
    missing.map(|line| format!("{TABLE}:1: lacks `{}` of {RUST_TABLE}", line.trim())).collect()
}

/// What stands behind the `=` of a constant whose declaration contains this.
fn number<'a>(text: &'a str, constant: &str) -> &'a str {
    let after = text.split_once(constant).and_then(|(_, after)| after.split_once(" = "));
    after.map_or("", |(_, value)| value.split(';').next().unwrap_or_default())
}

/// Who releases and who listens must mean the same channel.
fn channel(tree: &Tree) -> Vec<String> {
    let told = number(tree.text("src/core/sql/postgres.rs"), "pub const CHANNEL: ");
    let heard = number(tree.text(LISTEN), "const CHANNEL");
    let is_one = !told.is_empty() && told == heard;
    (!is_one)
        .then(|| format!("{LISTEN}:1: listens on {heard}, and src/core/sql/postgres.rs tells on {told}"))
        .into_iter()
        .collect()
}

#[test]
fn a_table_is_judged_by_the_same_rules_in_rust_and_javascript() {
    let rust = "const COLUMNS: [A; 1] = [\n    (\"id\", &[\"text\", \"bigint\"]),\n];\n\
                const FEWEST_DIGITS: i32 = 3;\nconst THEIRS: usize = 4;\n";
    let name = ("src/core/name.rs", "pub const MAX_BYTES: usize = 255;\n");
    let script = "    [\"id\", [\"text\", \"bigint\"]],\nconst THEIRS = 4;\nconst FEWEST_DIGITS = 3;\n\
                  const LONGEST = { id: 255, leader_id: 272 };\n";
    let all = [(RUST_TABLE, rust), name];
    let [wider, digits] = [script.replace("bigint", "integer"), script.replace("= 3", "= 2")];
    let long = script.replace("272", "255");
    holds(
        table,
        &[
            &[name, (TABLE, script)],
            &[all[0], all[1], (TABLE, &wider)],
            &[all[0], all[1], (TABLE, &digits)],
            &[all[0], all[1], (TABLE, &long)],
        ],
    );
    assert!(table(&Tree::planted(&[all[0], all[1], (TABLE, script)])).is_empty());
}

#[test]
fn javascript_listens_where_all_tell() {
    let told = ("src/core/sql/postgres.rs", "pub const CHANNEL: &str = \"a\";\n");
    holds(channel, &[&[told], &[told, (LISTEN, "const CHANNEL = \"b\";\n")]]);
    assert!(channel(&Tree::planted(&[told, (LISTEN, "const CHANNEL = \"a\";\n")])).is_empty());
}

/// Whoever finds the table changed must look at it anew, in either language.
fn changes(tree: &Tree) -> Vec<String> {
    let codes = |path, before| {
        let list = tree.text(path).split_once(before).map_or("", |(_, after)| after);
        list.split(']').next().unwrap_or_default()
    };
    let rust = codes(RUST_STORE, "const TABLE_CHANGED: [&str; 6] = [");
    let script = codes(STORE, "const TABLE_CHANGED = new Set([");
    let same = !rust.is_empty() && rust == script;
    (!same)
        .then(|| format!("{STORE}:1: has TABLE_CHANGED {script}, and {RUST_STORE} {rust}"))
        .into_iter()
        .collect()
}

#[test]
fn a_changed_table_is_known_by_the_same_codes_in_rust_and_javascript() {
    let rust = (RUST_STORE, "const TABLE_CHANGED: [&str; 6] = [\"42P01\"];\n");
    let script = "const TABLE_CHANGED = new Set([\"42P01\"]);\n";
    let fewer = script.replace("42P01", "42703");
    holds(changes, &[&[rust], &[(STORE, script)], &[rust, (STORE, &fewer)]]);
    assert!(changes(&Tree::planted(&[rust, (STORE, script)])).is_empty());
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
    holds(names, &[&[("src/wasm/object.rs", "Event::A => named(\"a\"),\n"), (TYPES, "\"b\"")]]);
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
        let is_comment = ["*", "/*", "//"].iter().any(|mark| before[start..].trim_start().starts_with(mark));
        if is_import && !is_comment && specifier.starts_with('.') {
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
/// package exports, its NestJS module.
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
    for (path, text) in [
        imports("bindings/js/src/stores/a.ts", "../elector.js"),
        imports("bindings/js/src/stores/a.ts", "../hub.js"),
        imports("bindings/js/src/stores/a.ts", "../nestjs/a.js"),
        imports("bindings/js/src/elector.ts", "./nestjs/a.js"),
        imports("bindings/js/src/store.ts", "./stores/memory.js"),
        imports("bindings/js/src/nestjs/a.ts", "../index.js"),
        imports("bindings/js/src/index.ts", "./nestjs/index.js"),
    ] {
        holds(layers, &[&[(path, &text)]]);
    }
    let (path, text) = imports("bindings/js/src/nestjs/a.ts", "../stores/postgres.js");
    assert!(layers(&Tree::planted(&[(path, &text)])).is_empty());
}
