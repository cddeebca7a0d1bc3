//! Circles among files that import each other.

use std::collections::BTreeMap;

/// An import of one file by another, and the line that names it.
pub struct Import {
    pub line: usize,
    pub target: String,
}

/// Each file's imports.
pub type Imports<'a> = BTreeMap<&'a str, Vec<Import>>;

/// One finding for each circle: a file of it cannot be read, tested or moved without the others.
pub fn circles(all: &Imports<'_>) -> Vec<String> {
    let mut found = Vec::new();
    let mut known: Vec<&str> = Vec::new();
    for (&path, own) in all {
        let first = own.iter().find_map(|import| Some((import.line, way(all, &import.target, path)?)));
        let Some((line, way)) = first.filter(|_| !known.contains(&path)) else { continue };
        known.extend(&way);
        let what = format!(
            "imports {}, which imports it back; declare the interface where it is used, or move what both \
             need into a file of its own",
            way.join(", which imports ")
        );
        found.push(format!("{path}:{line}: {what}"));
    }
    found
}

/// The files from one to another, each of which imports the next; without the last.
fn way<'a>(all: &'a Imports<'_>, from: &'a str, to: &str) -> Option<Vec<&'a str>> {
    let mut ways = vec![vec![from]];
    let mut seen = vec![from];
    while let Some(way) = ways.pop() {
        for import in all.get(way.last()?).into_iter().flatten() {
            if import.target == to {
                return Some(way);
            }
            if !seen.contains(&import.target.as_str()) {
                seen.push(&import.target);
                ways.push([way.as_slice(), &[&import.target]].concat());
            }
        }
    }
    None
}
