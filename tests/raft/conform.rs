//! Answers questions about the Raft core, one JSON object a line on stdin: for tables of other projects.
//! `conform.md` describes the questions and the answers.
//!
//! ```text
//! cargo run -q --release --features testing --example conform
//! ```

mod answer;
mod cluster;
mod json;
mod members;

use std::io::{BufRead, Write};

fn main() -> std::io::Result<()> {
    let mut session = answer::Session::default();
    let mut out = std::io::stdout().lock();
    for line in std::io::stdin().lock().split(b'\n') {
        let line = line?;
        if !line.trim_ascii().is_empty() {
            writeln!(out, "{}", session.answer(&line))?;
            out.flush()?;
        }
    }
    Ok(())
}
