//! `elector`: the command line program. Parses, dispatches, and turns results into exit codes.

mod demo;
mod exit;
mod operate;
mod options;
mod os;
mod output;
mod parse;
mod printer;
#[cfg(target_os = "linux")]
mod run;
mod schema;
mod status;
mod stores;
mod watch;

use std::io;
use std::process::ExitCode;

use clap::CommandFactory;

use crate::exit::Failure;
use crate::operate::Confirmation;
use crate::options::{Asked, Cli, Part, Task};

fn main() -> ExitCode {
    let asked = output::log().and_then(|()| parse::parse());
    let result = asked.and_then(|asked| match asked {
        Asked::Task(task) => perform(&task),
        Asked::Part(part) => play(&part),
    });
    let code = result.unwrap_or_else(|failure| {
        if !failure.message.is_empty() {
            output::error(&failure.message);
        }
        failure.code
    });
    output::finish();
    ExitCode::from(code)
}

fn perform(task: &Task) -> Result<u8, Failure> {
    match task {
        #[cfg(target_os = "linux")]
        Task::Run(options) => run::run(options),
        #[cfg(not(target_os = "linux"))]
        Task::Run(_) => Err(Failure::internal(
            "`elector run` works on Linux only, where it can end CMD in time; use the library on this system",
        )),
        Task::Watch { election, store } => watch::run(&election.name, store),
        Task::Status(options) => status::run(options),
        Task::Release { election, token, store } => operate::release(&election.name, *token, store),
        Task::Break { election, yes, store } => {
            let confirmation = if *yes { Confirmation::Given } else { Confirmation::Ask };
            operate::break_term(&election.name, confirmation, store)
        }
        Task::Demo(options) => demo::run(options),
        Task::Migrate { store } => operate::migrate(store),
        Task::Schema { dialect, schema } => schema::run(*dialect, schema.as_deref()),
        Task::Completions { shell } => {
            // Into memory first: the generator panics when a write fails.
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut Cli::command(), "elector", &mut script);
            print(&script)
        }
        Task::Man { task } => {
            let mut page = Vec::new();
            // The default would put the task's name before the version.
            let source = concat!("elector ", env!("CARGO_PKG_VERSION"));
            clap_mangen::Man::new(manual(task.as_deref())).source(source).render(&mut page)?;
            print(&page)
        }
    }
}

/// Runs a part: a process that another task of this program started.
fn play(part: &Part) -> Result<u8, Failure> {
    match part {
        #[cfg(target_os = "linux")]
        Part::Guardian(options) => run::guardian::run(options).map(|()| 0).map_err(Failure::internal),
        Part::DemoCandidate(options) => demo::candidate::run(options),
    }
}

/// The command that a manual page describes.
fn manual(task: Option<&str>) -> clap::Command {
    let mut all = Cli::command();
    all.build();
    match task.and_then(|task| all.find_subcommand(task)) {
        Some(found) => found.clone().version(env!("CARGO_PKG_VERSION")),
        None => all,
    }
}

fn print(text: &[u8]) -> Result<u8, Failure> {
    io::Write::write_all(&mut io::stdout().lock(), text)?;
    Ok(0)
}
