//! Parses the command line; an error becomes one line.

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{CommandFactory, Parser};

use crate::exit::{self, Failure};
use crate::options::{Asked, Cli, Part};

/// Reads the command line. `Err` holds what to print and the exit code.
pub fn parse() -> Result<Asked, Failure> {
    let first = std::env::args_os().nth(1);
    let is_part = first.is_some_and(|word| Part::command().find_subcommand(word).is_some());
    let asked = match is_part {
        true => Part::try_parse().map(Asked::Part),
        false => Cli::try_parse().map(|cli| Asked::Task(cli.task)),
    };
    asked.map_err(|error| match error.kind() {
        ErrorKind::DisplayHelp
        | ErrorKind::DisplayVersion
        | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            let _ = error.print();
            let code = if error.use_stderr() { exit::USAGE } else { 0 };
            Failure { code, message: String::new() }
        }
        _ => Failure::usage(one_line(&error)),
    })
}

/// clap's message without the usage block: the error, tips, and where to read more.
fn one_line(error: &clap::Error) -> String {
    if error.kind() == ErrorKind::InvalidUtf8 {
        let mut words = std::env::args_os().skip(1).take_while(|word| word != "--");
        let wrong = words.find(|word| word.to_str().is_none()).unwrap_or_default();
        return format!(
            "'{}' is not UTF-8; convert it to UTF-8 (only CMD and its arguments may be other bytes)",
            wrong.to_string_lossy()
        );
    }
    let text = without_secrets(error.render().to_string());
    let text = text.strip_prefix("error: ").unwrap_or(&text);
    let parts =
        text.split("\n\n").filter(|part| !part.starts_with("Usage:") && !part.starts_with("For more"));
    // clap's advice to pass an unknown option as a value does not apply here.
    let lines = parts.flat_map(|part| part.split("  tip: ")).filter(|part| !part.starts_with("to pass "));
    let sentences: Vec<String> = lines
        .map(|part| part.split_whitespace().collect::<Vec<_>>().join(" "))
        .filter(|part| !part.is_empty())
        .collect();
    let hint = if is_stray_word(error) { stray_word_hint() } else { "" };
    format!("{}{hint}; see `elector{} --help`", sentences.join("; "), asked_subcommand())
}

/// Whether the error is a positional argument where none is allowed.
fn is_stray_word(error: &clap::Error) -> bool {
    let word = match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(word)) => word,
        _ => return false,
    };
    error.kind() == ErrorKind::UnknownArgument && !word.starts_with('-')
}

fn stray_word_hint() -> &'static str {
    match asked_subcommand().trim() {
        "run" => "; write `--` before CMD",
        "watch" | "status" | "release" | "break" => "; name the election with --election NAME",
        _ => "",
    }
}

/// Removes arguments that may be URLs from clap's message, which quotes unexpected ones: a URL may hold a
/// password.
fn without_secrets(text: String) -> String {
    let words = std::env::args_os().skip(1).take_while(|word| word != "--");
    let words = words.filter_map(|word| word.into_string().ok());
    let values = words.map(|word| match word.split_once('=') {
        Some((option, value)) if option.starts_with("--") => value.to_owned(),
        _ => word,
    });
    let may_be_url = |word: &String| {
        word.contains("://") || word.contains('@') || (word.contains('=') && !word.starts_with('-'))
    };
    values.filter(may_be_url).fold(text, |text, word| text.replace(&word, "…"))
}

/// The subcommand of this command line, with a space before it.
fn asked_subcommand() -> String {
    let word = std::env::args_os().nth(1).and_then(|word| word.into_string().ok());
    let known = |word: &String| Cli::command().find_subcommand(word).is_some();
    word.filter(known).map(|word| format!(" {word}")).unwrap_or_default()
}
