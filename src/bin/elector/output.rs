//! What people and programs read: plain lines, JSON lines, tables; colours only where a person looks.

use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;

use anstyle::{AnsiColor, Style};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use serde::Serialize;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

use crate::exit::Failure;
use crate::printer::{STDERR, STDOUT};

/// Whether escape codes may be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colour {
    /// A terminal that shows them.
    On,
    /// A file, a pipe, a terminal without colours, or a user who set `NO_COLOR`.
    Off,
}

impl Colour {
    /// For what goes to standard output.
    pub fn of_stdout() -> Colour {
        Colour::of(&io::stdout())
    }

    /// For what goes to standard error.
    pub fn of_stderr() -> Colour {
        Colour::of(&io::stderr())
    }

    /// See <https://no-color.org>: any non-empty value counts.
    fn of(stream: &impl IsTerminal) -> Colour {
        let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        if stream.is_terminal() && !dumb && !set("NO_COLOR") { Colour::On } else { Colour::Off }
    }

    /// `text` in `style`, if colours are on.
    pub fn paint(self, style: Style, text: impl fmt::Display) -> String {
        match self {
            Colour::On => format!("{style}{text}{style:#}"),
            Colour::Off => text.to_string(),
        }
    }
}

/// Headings.
pub const BOLD: Style = Style::new().bold();
/// What matters less.
pub const DIM: Style = Style::new().dimmed();
/// What went wrong.
pub const RED: Style = AnsiColor::Red.on_default().bold();
/// Who leads.
pub const GREEN: Style = AnsiColor::Green.on_default().bold();

/// Whether the reader of standard output has closed its end.
pub fn nobody_reads() -> bool {
    let out = io::stdout();
    let mut end = [PollFd::new(out.as_fd(), PollFlags::empty())];
    let told = poll(&mut end, PollTimeout::ZERO).is_ok_and(|ready| ready > 0);
    told && end[0].revents().is_some_and(|events| events.contains(PollFlags::POLLERR))
}

/// Escapes control characters: names and meta texts of other candidates must not control the terminal.
pub fn clean(text: &str) -> String {
    text.chars().flat_map(|c| if c.is_control() { c.escape_default().collect() } else { vec![c] }).collect()
}

/// Writes the log to standard error where `ELECTOR_LOG` asks for it: a level, or directives of `tracing`.
pub fn log() -> Result<(), Failure> {
    let wanted = std::env::var_os("ELECTOR_LOG").unwrap_or_default();
    if wanted.is_empty() {
        return Ok(());
    }
    let refuse = || {
        let wanted = wanted.to_string_lossy();
        Failure::usage(format!(
            "ELECTOR_LOG is '{wanted}', which is no level; use error, warn, info, debug or trace, or \
             TARGET=LEVEL, separated by commas"
        ))
    };
    let text = wanted.to_str().ok_or_else(refuse)?;
    // `tracing` takes a lone word that is no level for a target, so a slip of the pen would log nothing.
    let is_clear = |part: &str| part.contains(['=', '[']) || part.trim().parse::<LevelFilter>().is_ok();
    if !text.split(',').all(is_clear) {
        return Err(refuse());
    }
    let filter = EnvFilter::try_new(text).map_err(|_| refuse())?;
    let ansi = Colour::of_stderr() == Colour::On;
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(|| Log).with_ansi(ansi).init();
    Ok(())
}

/// The writer of the log. It must not block: threads that renew leases log while they hold their locks.
struct Log;

impl Write for Log {
    /// One event; `tracing-subscriber` writes each at once.
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        STDERR.print(String::from_utf8_lossy(event).into_owned());
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Prints a notice on standard error.
pub fn say(text: impl fmt::Display) {
    STDERR.print(format!("{} {text}\n", Colour::of_stderr().paint(DIM, "elector:")));
}

/// Prints an error on standard error, as one line.
pub fn error(text: impl fmt::Display) {
    let head = Colour::of_stderr().paint(RED, "elector:");
    STDERR.print(format!("{head} {}\n", clean(&text.to_string())));
}

/// Waits until both streams are written, unless their readers have stopped reading.
pub fn finish() {
    STDOUT.finish();
    STDERR.finish();
}

/// Writes `value` as one line of JSON and flushes it.
pub fn json_line(mut to: impl Write, value: &impl Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    to.write_all(&line)?;
    to.flush()
}

/// A table with aligned columns; the last one is not padded.
pub struct Table {
    rows: Vec<Vec<String>>,
    right: Vec<bool>,
}

impl Table {
    /// A table with these headings. One that begins with `>` has its column aligned to the right.
    pub fn new(headings: &[&str]) -> Table {
        Table {
            rows: vec![headings.iter().map(|heading| heading.trim_start_matches('>').to_owned()).collect()],
            right: headings.iter().map(|heading| heading.starts_with('>')).collect(),
        }
    }

    /// Adds a row.
    pub fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    /// Writes the table; the headings are bold where there are colours.
    pub fn write(&self, mut to: impl Write, colour: Colour) -> io::Result<()> {
        let width = |column: usize| {
            self.rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max()
        };
        let widths: Vec<usize> =
            (0..self.right.len()).map(|column| width(column).unwrap_or_default()).collect();
        for (number, row) in self.rows.iter().enumerate() {
            let cells: Vec<String> = row
                .iter()
                .enumerate()
                .map(|(column, cell)| {
                    if self.right[column] {
                        format!("{cell:>0$}", widths[column])
                    } else {
                        format!("{cell:<0$}", widths[column])
                    }
                })
                .collect();
            let line = cells.join("  ");
            let line = line.trim_end();
            let line = if number == 0 { colour.paint(BOLD, line) } else { line.to_owned() };
            writeln!(to, "{line}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_in_names_are_escaped() {
        assert_eq!(clean("a\u{1b}[2Jb\nc"), "a\\u{1b}[2Jb\\nc");
        assert_eq!(clean("näme"), "näme");
    }

    #[test]
    fn a_table_aligns_its_columns() {
        let mut table = Table::new(&["NAME", ">MS", "META"]);
        table.row(vec!["a".into(), "12".into(), String::new()]);
        table.row(vec!["longer".into(), "3".into(), "x".into()]);
        let mut text = Vec::new();
        table.write(&mut text, Colour::Off).unwrap();
        assert_eq!(String::from_utf8(text).unwrap(), "NAME    MS  META\na       12\nlonger   3  x\n");
    }
}
