//! The core is pure, and so is the simulated world that plays it.

use crate::{File, Tree, has_word, holds};

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

fn is_pure(path: &str) -> bool {
    let is_world = path.starts_with("src/testing/") && !path.starts_with("src/testing/conformance/");
    path.starts_with("src/core/") || is_world
}

fn purity(tree: &Tree) -> Vec<String> {
    let mut found = Vec::new();
    for file in sources(tree).filter(|file| is_pure(&file.path)) {
        for (number, line) in file.lines() {
            if let Some(word) = IMPURE.into_iter().find(|word| has_word(code(line), word)) {
                let what = format!("`{word}` in pure code; let the driver do it and pass the result in");
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
            &[lib, ("src/testing/a.rs", "use std::time::Instant;\n")],
            &[("src/lib.rs", "pub mod core;\n")],
        ],
    );
    assert!(purity(&Tree::planted(&fault("/// use std::time::Duration;\nuse ::core::fmt;\n"))).is_empty());
}
