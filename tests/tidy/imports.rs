//! What the Rust files of `src` import of each other: read from their `use` declarations and from every other
//! path that they write (`crate::a::b`, `super::c`, `child::d`).
//!
//! A path leads to the file that defines its item: re-exports are followed. Neither `mod a;` nor a re-export
//! that the file itself does not use is an import. Unit tests do not count.

use std::collections::BTreeMap;

use crate::graph::{self, Import, Imports};
use crate::{File, Tree, holds};

/// The folders of `src`, each with its layer: imports point to the same folder or to a lower layer.
const LAYERS: [(&str, u8); 16] = [
    ("src/core/", 0),
    ("src/testing/", 1),
    ("src/wasm/", 1),
    ("src/driver/host/", 1),
    ("src/driver/stores/", 2),
    ("src/driver/hub/", 3),
    ("src/driver/mod.rs", 3),
    ("src/testing/conformance/", 3),
    ("src/elector/", 4),
    ("src/capi/", 5),
    ("src/lib.rs", 6),
    ("src/bin/elector/os/", 7),
    ("src/bin/elector/", 8),
    ("src/bin/elector/demo/", 9),
    ("src/bin/elector/run/", 9),
    ("src/bin/elector/main.rs", 10),
];

/// Folders that serve other languages and programs, which nothing in Rust imports.
const FACES: [&str; 4] = ["src/wasm/", "src/capi/", "src/testing/", "src/testing/conformance/"];

/// Files that judge what an operation does to a row, and may not ask the code that they judge.
const JUDGES: [&str; 3] = ["src/testing/checks.rs", "src/testing/exclusion.rs", "src/testing/conformance/"];
const JUDGED: &str = "src/core/table.rs";

/// A file's place among the modules, and what it writes.
struct Module<'a> {
    file: &'a str,
    code: String,
    children: Vec<String>,
    /// The module within the file that each line belongs to.
    inner: Vec<Option<String>>,
    uses: Vec<Use>,
}

/// A path of a `use` declaration, and the name that it gets; a public one is a re-export.
struct Use {
    line: usize,
    path: Vec<String>,
    name: String,
    is_public: bool,
}

/// All modules by their path: `["lib", "core", "lease"]`, or `["elector", "run"]` in the program.
struct Modules<'a>(BTreeMap<Vec<String>, Module<'a>>);

/// The path of the module that a file is.
fn module_path(file: &str) -> Option<Vec<String>> {
    let inside = file.strip_prefix("src/")?.strip_suffix(".rs")?;
    let (root, inside) = match inside.strip_prefix("bin/elector/") {
        Some(inside) => ("elector", inside),
        None => ("lib", inside),
    };
    let mut path = vec![root.to_owned()];
    path.extend(inside.split('/').filter(|part| !["mod", "lib", "main"].contains(part)).map(str::to_owned));
    Some(path)
}

/// The text without comments, strings and unit tests; every line keeps its number.
fn code(text: &str) -> String {
    let mut code = String::new();
    for line in text.lines() {
        if line.starts_with("mod tests {") {
            break;
        }
        let mut is_text = false;
        let mut last = ' ';
        for (at, c) in line.char_indices() {
            if !is_text && line[at..].starts_with("//") {
                break;
            }
            if c == '"' && last != '\\' && !(last == '\'' && line[at + 1..].starts_with('\'')) {
                is_text = !is_text;
            }
            code.push(if is_text { ' ' } else { c });
            last = c;
        }
        code.push('\n');
    }
    code
}

fn is_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The paths of a `use` declaration's tree, each with the name that it gets.
fn leaves(tree: &str, before: &[String], found: &mut Vec<(Vec<String>, String)>) {
    let tree = tree.trim();
    let mut path = before.to_vec();
    let mut rest = tree;
    loop {
        if let Some(group) = rest.strip_prefix('{') {
            let group = group.strip_suffix('}').unwrap_or(group);
            let mut depth = 0;
            let parts = group.split(|c| {
                depth += i32::from(c == '{') - i32::from(c == '}');
                c == ',' && depth == 0
            });
            parts.filter(|part| !part.trim().is_empty()).for_each(|part| leaves(part, &path, found));
            return;
        }
        let end = rest.find(|c| !is_name(c)).unwrap_or(rest.len());
        let segment = &rest[..end];
        if segment == "self" && !path.is_empty() {
            let name = path.last().cloned().unwrap_or_default();
            found.push((path, name));
            return;
        }
        path.push(segment.to_owned());
        match rest[end..].strip_prefix("::") {
            Some(after) => rest = after,
            None => {
                let renamed = rest[end..].trim().strip_prefix("as ").map(str::trim);
                let name = renamed.unwrap_or(segment).to_owned();
                found.push((path, name));
                return;
            }
        }
    }
}

impl<'a> Module<'a> {
    fn new(file: &'a File) -> Module<'a> {
        let code = code(&file.text);
        let (inner, children, uses) = (inner_modules(&code), Vec::new(), Vec::new());
        let mut module = Module { file: &file.path, code, children, inner, uses };
        let mut rest = String::with_capacity(module.code.len());
        let mut declaration: Option<(usize, bool, String)> = None;
        for (number, line) in (1..).zip(module.code.lines()) {
            let bare = without_visibility(line.trim_start());
            if let Some(name) = bare.strip_prefix("mod ").and_then(|name| name.strip_suffix(';')) {
                module.children.push(name.to_owned());
            } else if let Some(tree) = bare.strip_prefix("use ").filter(|_| declaration.is_none()) {
                declaration = Some((number, bare.len() < line.trim_start().len(), tree.to_owned()));
            } else if let Some((_, _, tree)) = &mut declaration {
                tree.push_str(line);
            } else {
                rest.push_str(line);
            }
            rest.push('\n');
            if declaration.as_ref().is_some_and(|(_, _, tree)| tree.contains(';')) {
                let Some((line, is_public, tree)) = declaration.take() else { continue };
                let mut found = Vec::new();
                leaves(tree.split(';').next().unwrap_or_default(), &[], &mut found);
                let uses = found.into_iter().map(|(path, name)| Use { line, path, name, is_public });
                module.uses.extend(uses);
            }
        }
        module.code = rest;
        module
    }
}

/// For each line the module in the same file that it stands in: `mod name {` to a `}` at the margin.
fn inner_modules(code: &str) -> Vec<Option<String>> {
    let mut inner = None;
    let mut of = |line: &str| {
        match without_visibility(line).strip_prefix("mod ").and_then(|name| name.strip_suffix(" {")) {
            Some(name) => inner = Some(name.to_owned()),
            None if line.starts_with('}') => inner = None,
            None => {}
        }
        inner.clone()
    };
    code.lines().map(&mut of).collect()
}

fn without_visibility(line: &str) -> &str {
    let Some(rest) = line.strip_prefix("pub") else { return line };
    let rest = match rest.strip_prefix('(') {
        Some(inside) => inside.split_once(')').map_or("", |(_, rest)| rest),
        None => rest,
    };
    rest.trim_start()
}

/// The paths in a line of code that begin with `crate`, `super`, `self` or a child's name.
fn paths(line: &str, children: &[String]) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    for (at, _) in line.match_indices("::") {
        let start = line[..at].rfind(|c| !is_name(c)).map_or(0, |before| before + 1);
        // `$crate` is where a macro is expanded, and an exported macro stands at the root.
        let is_first = !line[..start].ends_with("::") && !line[..start].ends_with('$');
        let first = &line[start..at];
        let is_ours =
            ["crate", "super", "self"].contains(&first) || children.iter().any(|name| name == first);
        if is_first && is_ours {
            let path = line[start..].split("::").map_while(|part| {
                let end = part.find(|c| !is_name(c)).unwrap_or(part.len());
                (end > 0).then(|| (part[..end].to_owned(), end == part.len()))
            });
            let mut whole = Vec::new();
            for (segment, goes_on) in path {
                whole.push(segment);
                if !goes_on {
                    break;
                }
            }
            found.push(whole);
        }
    }
    found
}

impl<'a> Modules<'a> {
    fn new(tree: &'a Tree) -> Modules<'a> {
        let sources = tree.ending(".rs").filter(|file| !file.path.ends_with("/tests.rs"));
        Modules(sources.filter_map(|file| Some((module_path(&file.path)?, Module::new(file)))).collect())
    }

    /// A path as it is from the root, or `None` if it leads out of the crate.
    fn absolute(&self, from: &[String], path: &[String]) -> Option<Vec<String>> {
        let mut base = from.to_vec();
        let mut rest = path;
        loop {
            match rest.first()?.as_str() {
                "crate" => base.truncate(1),
                "super" => _ = base.pop(),
                "self" => {}
                name => {
                    let is_child = self.0.get(from).is_some_and(|own| own.children.iter().any(|c| c == name));
                    let is_relative = rest.len() < path.len() || is_child;
                    return is_relative.then(|| [base.as_slice(), rest].concat());
                }
            }
            rest = &rest[1..];
        }
    }

    /// The file that defines the item at this path.
    fn file(&self, path: &[String], depth: usize) -> Option<&'a str> {
        let known = (1..=path.len()).rev().find(|&length| self.0.contains_key(&path[..length]))?;
        let module = &self.0[&path[..known]];
        let is_outer = |item: &Use| module.inner.get(item.line - 1).is_none_or(Option::is_none);
        let named = path
            .get(known)
            .and_then(|name| module.uses.iter().find(|item| item.name == *name && is_outer(item)));
        let Some(item) = named.filter(|_| depth < 8) else { return Some(module.file) };
        // A re-export of a module within the file leads nowhere else.
        let Some(next) = self.absolute(&path[..known], &item.path) else { return Some(module.file) };
        self.file(&[&next, &path[known + 1..]].concat(), depth + 1)
    }

    fn imports(&self) -> Imports<'a> {
        let of = |(path, module): (&Vec<String>, &Module<'a>)| {
            let is_used = |item: &Use| !item.is_public || crate::has_word(&module.code, &item.name);
            let uses =
                module.uses.iter().filter(|item| is_used(item)).map(|item| (item.line, item.path.clone()));
            let lines = (1..).zip(module.code.lines());
            let inline = lines.flat_map(|(number, line)| {
                paths(line, &module.children).into_iter().map(move |path| (number, path))
            });
            let targets = uses.chain(inline).filter_map(|(line, found)| {
                let inner = module.inner.get(line - 1).into_iter().flatten();
                let from: Vec<String> = path.iter().chain(inner).cloned().collect();
                let target = self.file(&self.absolute(&from, &found)?, 0)?;
                (target != module.file).then(|| Import { line, target: target.to_owned() })
            });
            (module.file, targets.collect())
        };
        self.0.iter().map(of).collect()
    }
}

fn circles(tree: &Tree) -> Vec<String> {
    graph::circles(&Modules::new(tree).imports())
}

/// The folder with a layer that a file is in. The longest name counts.
fn layer(file: &str) -> Option<(&'static str, u8)> {
    LAYERS.into_iter().filter(|(folder, _)| file.starts_with(folder)).max_by_key(|(folder, _)| folder.len())
}

fn directions(tree: &Tree) -> Vec<String> {
    let mut found = Vec::new();
    for (file, imports) in Modules::new(tree).imports() {
        let Some((own, mine)) = layer(file) else {
            found.push(format!("{file}:1: its folder has no layer; give it one in tests/tidy/imports.rs"));
            continue;
        };
        for import in imports {
            let Some((other, theirs)) = layer(&import.target) else { continue };
            if own != other && (theirs >= mine || FACES.contains(&other)) {
                let what = format!("imports {}; imports point to lower layers only", import.target);
                found.push(format!("{file}:{}: {what}", import.line));
            }
        }
    }
    found
}

fn judgements(tree: &Tree) -> Vec<String> {
    let imports = Modules::new(tree).imports();
    let judges = imports.into_iter().filter(|(file, _)| JUDGES.iter().any(|judge| file.starts_with(judge)));
    let asked = judges.flat_map(|(file, imports)| {
        let table = imports.into_iter().filter(|import| import.target == JUDGED);
        table.map(move |import| format!("{file}:{}: asks {JUDGED}, which it judges", import.line))
    });
    asked.collect()
}

/// A file that is a module at two places, or stands elsewhere than its name says, cannot be found.
fn attributes(tree: &Tree) -> Vec<String> {
    let mut found = Vec::new();
    for file in tree.ending(".rs") {
        for (number, line) in file.lines().filter(|(_, line)| line.trim_start().starts_with("#[path")) {
            found.push(file.finding(number, format_args!("{}: move the file instead", line.trim())));
        }
    }
    found
}

const CORE: &str = "pub mod a;\nmod b;\npub use a::A;\npub use self::b::{B, C as D};\n";

#[test]
fn no_rust_files_import_each_other_in_a_circle() {
    let lib = ("src/lib.rs", "pub mod core;\n");
    let (a, b) = ("src/core/a.rs", "src/core/b.rs");
    let core = ("src/core/mod.rs", CORE);
    let fault = |one, two| [lib, core, (a, one), (b, two)];
    holds(
        circles,
        &[
            &fault("use super::b::B;\n", "use crate::core::a::A;\n"),
            &fault("use crate::core::B;\n", "use crate::core::A;\n"),
            &fault("use crate::core::D;\n", "use super::A;\n"),
            &fault("use crate::{\n    core::{self, b::{B}},\n};\n", "pub(crate) fn f() { super::a::f() }\n"),
            &fault("fn f(b: crate::core::B) {}\n", "pub use super::a::A;\npub fn f(a: A) {}\n"),
            &[lib, ("src/core/mod.rs", "mod a;\nfn f() { a::h() }\nfn g() {}\n"), (a, "use super::g;\n")],
            &[
                ("src/bin/elector/main.rs", "mod a;\nmod b;\n"),
                ("src/bin/elector/a.rs", "use crate::b::f;\n"),
                ("src/bin/elector/b.rs", "use crate::a::g;\n"),
            ],
        ],
    );
    let sound = fault(
        "// use super::b::B;\nuse alloc::b;\npub struct A;\nmod c {\n    use super::A;\n}\n",
        "use super::a::A;\nlet text = \"crate::core::B\";\nmod tests {\n    use super::*;\n}\n",
    );
    assert_eq!(circles(&Tree::planted(&sound)), [""; 0]);
}

#[test]
fn imports_of_rust_files_point_to_lower_layers() {
    let faults = [
        ("src/core/a.rs", "use crate::driver::host::clock;\n", "src/driver/host/clock.rs"),
        ("src/driver/host/a.rs", "use crate::driver::stores::Store;\n", "src/driver/stores/mod.rs"),
        ("src/driver/stores/a.rs", "use crate::driver::hub::shared::Hub;\n", "src/driver/hub/shared.rs"),
        ("src/driver/hub/a.rs", "use crate::Error;\n", "src/elector/error.rs"),
        ("src/wasm/a.rs", "use crate::driver::host::clock;\n", "src/driver/host/clock.rs"),
        ("src/testing/a.rs", "use crate::driver::host::clock;\n", "src/driver/host/clock.rs"),
        ("src/elector/a.rs", "use crate::testing::World;\n", "src/testing/mod.rs"),
        ("src/capi/a.rs", "fn f() { crate::wasm::f() }\n", "src/wasm/mod.rs"),
        ("src/bin/elector/os/a.rs", "use crate::run::f;\n", "src/bin/elector/run/mod.rs"),
        ("src/new/a.rs", "use crate::core;\n", "src/core/mod.rs"),
    ];
    let lib = ("src/lib.rs", "pub use elector::Error;\nmod elector;\n");
    let driver = ("src/driver/mod.rs", "pub use self::host::clock;\n");
    let elector = ("src/elector/mod.rs", "pub use self::error::Error;\n");
    let trees = faults.map(|(path, text, target)| [lib, driver, elector, (path, text), (target, "")]);
    holds(directions, &trees.each_ref().map(|tree| tree.as_slice()));
    let sound = [("src/elector/mod.rs", "use crate::{core, driver::hub};\n"), ("src/driver/hub/mod.rs", "")];
    assert_eq!(directions(&Tree::planted(&sound)), [""; 0]);
}

#[test]
fn what_judges_the_rules_of_rows_does_not_ask_them() {
    let lib = ("src/lib.rs", "pub mod core;\npub mod testing;\n");
    let core = [("src/core/mod.rs", "pub mod table;\n"), ("src/core/table.rs", "pub fn may_take() {}\n")];
    let fault = |judge| [lib, core[0], core[1], (judge, "use crate::core::table;\n")];
    holds(judgements, &[&fault("src/testing/checks.rs"), &fault("src/testing/conformance/rows.rs")]);
    assert_eq!(judgements(&Tree::planted(&fault("src/testing/store.rs"))), [""; 0]);
}

#[test]
fn rust_files_stand_where_their_module_says() {
    holds(
        attributes,
        &[
            &[("src/a.rs", "#[path = \"b.rs\"]\nmod c;\n")],
            &[("tests/a/main.rs", "#[path = \"../b.rs\"]\nmod b;\n")],
        ],
    );
}
