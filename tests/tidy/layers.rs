//! Dependencies point one way: `bin, capi, wasm → elector → driver → core`; and the core is pure.

use crate::{File, Tree, has_word, holds};

/// The layer of each module at the top of `src`. A module may use its own layer and those below.
/// `error` and `changes` are the types in which the driver speaks to the layers above.
const LAYERS: [(&str, u8); 10] = [
    ("core", 0),
    ("driver", 1),
    ("error", 1),
    ("changes", 1),
    ("elector", 2),
    ("guard", 2),
    ("run_as_leader", 2),
    ("capi", 3),
    ("wasm", 3),
    ("docs", 0),
];

/// What the core must not know: a clock, a socket, a file, a thread, a global, an operating system.
const IMPURE: [&str; 14] = [
    "std::",
    "tokio",
    "rand::",
    "getrandom",
    "libc",
    "nix",
    "rusqlite",
    "tracing",
    "metrics",
    "unsafe",
    "extern crate std",
    "static mut",
    "thread_local",
    "SystemTime",
];

/// A line without its comment.
fn code(line: &str) -> &str {
    line.split("//").next().unwrap_or_default()
}

fn sources(tree: &Tree) -> impl Iterator<Item = &File> {
    tree.files.iter().filter(|file| file.path.starts_with("src/") && file.path.ends_with(".rs"))
}

fn purity(tree: &Tree) -> Vec<String> {
    let mut found = Vec::new();
    for file in sources(tree).filter(|file| file.path.starts_with("src/core/")) {
        for (number, line) in file.lines() {
            if let Some(word) = IMPURE.into_iter().find(|word| has_word(code(line), word)) {
                let what = format!("`{word}` in the pure core; let the driver do it and pass the result in");
                found.push(file.finding(number, what));
            }
        }
    }
    if !tree.text("src/lib.rs").contains("#[forbid(unsafe_code)]\npub mod core;") {
        found.push(
            "src/lib.rs:1: the core is not under #[forbid(unsafe_code)]; say so above `pub mod core`".into(),
        );
    }
    found
}

/// The module under `src` that a file belongs to; `None` for the crate's root and the program.
fn module(path: &str) -> Option<&str> {
    let inside = path.strip_prefix("src/")?;
    let name = inside.split('/').next()?;
    let name = name.strip_suffix(".rs").unwrap_or(name);
    (name != "lib" && name != "bin").then_some(name)
}

fn layer(name: &str) -> Option<u8> {
    LAYERS.iter().find(|(module, _)| *module == name).map(|(_, layer)| *layer)
}

/// The modules that a line names: `crate::a`, and each of `crate::{a, b}`.
fn named(line: &str) -> Vec<String> {
    let name = |text: &str| text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    let mut names = Vec::new();
    for (at, word) in line.match_indices("crate::") {
        let rest = &line[at + word.len()..];
        match rest.strip_prefix('{') {
            Some(group) => names.extend(group.split(',').map(|item| name(item.trim()))),
            None => names.push(name(rest)),
        }
    }
    names
}

/// What lives at the crate's root under its own name belongs to the public API, so to the layer `elector`.
fn directions(tree: &Tree) -> Vec<String> {
    let mut found = Vec::new();
    for file in sources(tree) {
        let Some(own) = module(&file.path) else { continue };
        let Some(mine) = layer(own) else {
            found.push(
                file.finding(1, format_args!("`{own}` has no layer; give it one in tests/tidy/layers.rs")),
            );
            continue;
        };
        for (number, line) in file.lines() {
            for name in named(code(line)) {
                let public = name.starts_with(char::is_uppercase);
                let other = if public { 2 } else { layer(&name).unwrap_or(mine) };
                if other > mine || (other == 3 && name != own) {
                    let what = format!("`{own}` must not use `crate::{name}`: dependencies point down only");
                    found.push(file.finding(number, what));
                }
            }
        }
    }
    found
}

#[test]
fn the_core_is_pure() {
    let lib = ("src/lib.rs", "#[forbid(unsafe_code)]\npub mod core;\n");
    let fault = |text| [lib, ("src/core/a.rs", text)];
    holds(
        purity,
        &[
            &fault("use std::time::Instant;\n"),
            &fault("let a = ::std::thread::spawn(f);\n"),
            &fault("    unsafe { f() }\n"),
            &fault("let seed: u64 = rand::random();\n"),
            &fault("tokio::spawn(f)\n"),
            &[("src/lib.rs", "pub mod core;\n")],
        ],
    );
    assert!(purity(&Tree::planted(&fault("/// use std::time::Duration;\nuse ::core::fmt;\n"))).is_empty());
}

#[test]
fn dependencies_point_one_way() {
    holds(
        directions,
        &[
            &[("src/core/a.rs", "use crate::driver::host::clock;\n")],
            &[("src/core/a.rs", "use crate::{core::b, error};\n")],
            &[("src/driver/a.rs", "use crate::elector::Elector;\n")],
            &[("src/driver/a.rs", "use crate::Elector;\n")],
            &[("src/capi/a.rs", "use crate::wasm::b;\n")],
            &[("src/new.rs", "use crate::core;\n")],
        ],
    );
    assert!(
        directions(&Tree::planted(&[("src/elector/mod.rs", "use crate::{core, driver::hub};\n")])).is_empty()
    );
}
