//! The command line: its tasks and their options.

use std::ffi::OsString;
#[cfg(target_os = "linux")]
use std::os::fd::RawFd;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};
use elector::core::sql::postgres::is_schema;
use elector::core::{FencingToken, Name, TimingOptions};

use crate::exit;

/// Leader election and leases: run a command on one of many machines only.
#[derive(Parser)]
#[command(name = "elector", version, max_term_width = 100)]
#[command(after_help = exit::help(), after_long_help = overview())]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub task: Task,
}

/// What to do.
#[derive(Subcommand)]
pub enum Task {
    /// Wait to be elected, then run a command; stop it before leadership ends
    #[command(after_help = RUN_EXAMPLES, after_long_help = run_rules())]
    Run(RunOptions),
    /// Print a JSON line whenever an election's leader changes, without standing
    #[command(after_help = WATCH_EXAMPLES)]
    Watch {
        #[command(flatten)]
        election: ElectionOption,
        #[command(flatten)]
        store: StoreOption,
    },
    /// Show who leads which election
    #[command(after_help = "Examples:\n  elector status\n  elector status --election nightly --json")]
    Status(StatusOptions),
    /// End a term, if it still is the one with this token
    #[command(after_help = RELEASE_RULES)]
    Release {
        #[command(flatten)]
        election: ElectionOption,
        /// The token of the term, as `status` shows it
        #[arg(long, value_name = "N", value_parser = token, allow_negative_numbers = true)]
        token: FencingToken,
        #[command(flatten)]
        store: StoreOption,
    },
    /// End an election's present term, whoever holds it
    #[command(after_help = BREAK_RULES)]
    Break {
        #[command(flatten)]
        election: ElectionOption,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
        #[command(flatten)]
        store: StoreOption,
    },
    /// Make the store's table, or add what an older one lacks
    #[command(
        after_help = "Example:\n  elector migrate --store postgres://owner@db.example/app?schema=jobs\n\n\
                            Needed where candidates may not do it themselves (?create_table=false). Changes\n\
                            nothing that is there; safe to run again and beside running candidates."
    )]
    Migrate {
        #[command(flatten)]
        store: StoreOption,
    },
    /// Print the statements that create the table
    #[command(after_help = "Example:\n  elector schema --dialect postgres | psql")]
    Schema {
        /// Whose SQL
        #[arg(long)]
        dialect: Dialect,
        /// The schema of the table, on PostgreSQL [default: public]
        #[arg(long, value_name = "NAME", value_parser = schema)]
        schema: Option<String>,
    },
    /// Watch three processes elect a leader, lose it to kill -9, and elect the next
    #[command(after_help = "Examples:\n  elector demo\n  elector demo --kills 10 | tee timeline.txt")]
    Demo(DemoOptions),
    /// Print a completion script for a shell
    #[command(after_help = "Example:\n  mkdir -p ~/.local/share/bash-completion/completions\n  \
                            elector completions bash > ~/.local/share/bash-completion/completions/elector")]
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Print a manual page
    #[command(after_help = "Examples:\n  elector man | man -l -\n  elector man run > elector-run.1")]
    Man {
        /// The task that it is to describe; without one, all in short
        #[arg(value_parser = task)]
        task: Option<String>,
    },
}

/// What this program starts itself for. A command line of its own, so that neither help nor completions
/// show it.
#[derive(Parser)]
#[command(name = "elector")]
pub enum Part {
    /// See `run/guardian.rs`.
    #[cfg(target_os = "linux")]
    Guardian(GuardianOptions),
    /// See `demo/candidate.rs`.
    DemoCandidate(CandidateOptions),
}

/// What the command line asks for.
pub enum Asked {
    /// By a user.
    Task(Task),
    /// By another process of this program.
    Part(Part),
}

const WATCH_EXAMPLES: &str = "\
Examples:
  elector watch --election nightly
  elector watch --election nightly | jq --unbuffered -r '.leader.candidate // \"nobody\"'";

const RUN_EXAMPLES: &str = "\
Examples:
  elector run --election nightly -- ./report.sh
  elector run -e queue --forever --store sqlite:/srv/e.db -- worker mail
  elector run -e nightly --once --events events.json -- ./report.sh";

const RUN_RULES: &str = "\
CMD finds ELECTOR_ELECTION, ELECTOR_CANDIDATE and ELECTOR_TOKEN in its environment. The token grows \
with every term: let whatever CMD writes to refuse a token smaller than the largest it has seen.

When leadership ends, CMD and all processes that it started get SIGTERM, and SIGKILL after the \
grace, before another candidate can lead: also when `elector run` itself is killed or stopped. When \
CMD ends by itself, what it left behind is ended in the same way. SIGTERM, SIGINT, SIGHUP, SIGQUIT, \
SIGUSR1 and SIGUSR2 are passed on to CMD, and the lease is kept until it has ended.

A hang ends leadership too. If `elector run` itself hangs for half a lease, the lease is not renewed any \
more. If CMD itself is stopped and not continued for one lease, it is ended, unless --keep-stopped is \
given. A slow reader of the output delays nothing: lines that do not fit are dropped, and counted.";

const RELEASE_RULES: &str = "\
The holder fails its next renewal and stops. Another can be elected once the lease has run out, when the \
holder has stopped for certain.

Example:
  elector release --election nightly --token 1795321234567890";

const BREAK_RULES: &str = "\
Safe: the holder fails its next renewal and stops, and nobody takes over before its lease has run out.

Example:
  elector break --election nightly --yes";

const ENVIRONMENT: &str = "\
Environment:
  ELECTOR_STORE  where the leases are kept, unless --store says so
  ELECTOR_LOG    what to log to standard error: error, warn, info, debug or trace,
                 or TARGET=LEVEL,… as `tracing` has it
  NO_COLOR       no colours, if not empty";

fn run_rules() -> String {
    format!("{RUN_EXAMPLES}\n\n{RUN_RULES}\n\n{}", exit::help())
}

fn overview() -> String {
    format!(
        "Examples:\n  elector demo\n  elector run --election nightly -- ./report.sh\n  elector status\n  \
         elector watch --election nightly\n\n{ENVIRONMENT}\n\n{}",
        exit::help()
    )
}

/// Where the leases are kept.
#[derive(Args)]
pub struct StoreOption {
    /// Where the leases are kept: sqlite:PATH or postgres://USER@HOST/DATABASE?schema=NAME. Default:
    /// $ELECTOR_STORE, else a SQLite file in the user's state directory
    // Not parsed here: clap would repeat a refused value, and with it the password in it.
    #[arg(long = "store", value_name = "URL")]
    pub url: Option<String>,
}

/// Which election.
#[derive(Args)]
pub struct ElectionOption {
    /// The name of the election, 1 to 255 bytes
    #[arg(long = "election", short = 'e', value_name = "NAME", value_parser = election)]
    pub name: Name,
}

/// `elector run`.
#[derive(Args)]
pub struct RunOptions {
    #[command(flatten)]
    pub election: ElectionOption,
    #[command(flatten)]
    pub store: StoreOption,
    /// This candidate's name. Default: hostname-pid
    #[arg(long, value_name = "ID", value_parser = candidate)]
    pub candidate: Option<Name>,
    /// A text of at most 64 KiB that others see beside the name, an address for instance
    #[arg(long, value_name = "TEXT")]
    pub meta: Option<String>,
    #[command(flatten)]
    pub timing: TimingArguments,
    /// Take over only what stood unchanged for a full lease: safe also if the store's clock was stepped
    /// before this candidate first read it or a promoted standby lost commits. Give it to all candidates of
    /// an election
    #[arg(long)]
    pub strict: bool,
    /// When leadership is lost, or CMD stays stopped for a lease, exit with 75 instead of standing again
    #[arg(long, conflicts_with = "forever")]
    pub once: bool,
    /// When CMD ends by itself, stand again instead of exiting
    #[arg(long)]
    pub forever: bool,
    /// Keep the lease while CMD itself is stopped (SIGSTOP, SIGTTIN, SIGTTOU) and not continued. Without
    /// this, CMD is ended after one lease, as if leadership had been lost
    #[arg(long)]
    pub keep_stopped: bool,
    /// Write one JSON line per event to this file, or to standard output (-)
    #[arg(long, value_name = "FILE|-")]
    pub events: Option<PathBuf>,
    /// Say nothing but errors
    #[arg(long, short)]
    pub quiet: bool,
    /// The command and its arguments
    #[arg(last = true, required = true, value_name = "CMD")]
    pub command: Vec<OsString>,
}

/// How long a lease lasts.
#[derive(Args, Clone, Copy, Default)]
pub struct TimingArguments {
    /// The length of the lease, in milliseconds [default: 10000]
    #[arg(long, value_name = "N", value_parser = millis, allow_negative_numbers = true)]
    pub lease_ms: Option<Duration>,
    /// The longest time from one renewal to the next [default: 30 % of the lease]
    #[arg(long, value_name = "N", value_parser = millis, allow_negative_numbers = true)]
    pub renew_ms: Option<Duration>,
    /// How much earlier a renewal may be sent, drawn anew each time [default: 20 % of the lease]
    #[arg(long, value_name = "N", value_parser = millis, allow_negative_numbers = true)]
    pub jitter_ms: Option<Duration>,
    /// The pause after a renewal that failed at once [default: 5 % of the lease]
    #[arg(long, value_name = "N", value_parser = millis, allow_negative_numbers = true)]
    pub retry_ms: Option<Duration>,
    /// How much earlier than it must a leader stops trusting its lease [default: 250, or a fifteenth of the
    /// lease if that is more]
    #[arg(long, value_name = "N", value_parser = millis, allow_negative_numbers = true)]
    pub margin_ms: Option<Duration>,
    /// CMD's time between SIGTERM and SIGKILL when leadership ends [default: 10 % of the lease]
    #[arg(long, value_name = "N", value_parser = millis, allow_negative_numbers = true)]
    pub grace_ms: Option<Duration>,
}

impl TimingArguments {
    const DEFAULT_LEASE: Duration = Duration::from_secs(10);

    /// The length of the lease.
    pub fn lease(&self) -> Duration {
        self.lease_ms.unwrap_or(Self::DEFAULT_LEASE)
    }

    /// Between SIGTERM and SIGKILL.
    pub fn grace(&self) -> Duration {
        self.grace_ms.unwrap_or(self.lease() / 10)
    }

    /// Between SIGKILL and the end of trust: the time for the kernel to end the processes, and for us to be
    /// late.
    pub fn slack(&self) -> Duration {
        (self.lease() / 50).clamp(Duration::from_millis(50), Duration::from_secs(1))
    }

    /// For the core. What it calls grace is all the time that CMD's end may take.
    pub fn options(&self) -> TimingOptions {
        TimingOptions {
            lease: self.lease_ms,
            renew: self.renew_ms,
            jitter: self.jitter_ms,
            retry: self.retry_ms,
            margin: self.margin_ms,
            grace: Some(self.grace().saturating_add(self.slack())),
        }
    }
}

/// `elector status`.
#[derive(Args)]
pub struct StatusOptions {
    /// Only this election
    #[arg(long, short, value_name = "NAME", value_parser = election)]
    pub election: Option<Name>,
    /// One JSON object per line instead of a table
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub store: StoreOption,
}

/// `elector demo`.
#[derive(Args)]
pub struct DemoOptions {
    /// How often to kill the leader
    #[arg(long, value_name = "N", default_value_t = 3, allow_negative_numbers = true,
          value_parser = clap::value_parser!(u32).range(1..=50))]
    pub kills: u32,
}

/// One candidate of the demo.
#[derive(Args)]
pub struct CandidateOptions {
    /// Its name.
    #[arg(long)]
    pub name: String,
    /// The demo's store.
    #[arg(long)]
    pub store: String,
}

/// What a guardian is started with: see `run/guardian.rs`.
#[cfg(target_os = "linux")]
#[derive(Args)]
pub struct GuardianOptions {
    /// The inherited descriptor of the channel to `elector run`.
    #[arg(long)]
    pub channel: RawFd,
    /// The time between SIGTERM and SIGKILL.
    #[arg(long)]
    pub grace_ms: u64,
    /// How long before the hard deadline SIGKILL is sent at the latest.
    #[arg(long)]
    pub slack_ms: u64,
    /// The inherited descriptor of the store's lock file, if it is an SQLite store.
    #[arg(long, requires = "database")]
    pub lock: Option<RawFd>,
    /// The store's database.
    #[arg(long)]
    pub database: Option<PathBuf>,
    /// The command and its arguments.
    #[arg(last = true, required = true)]
    pub command: Vec<OsString>,
}

/// Whose SQL.
#[derive(Clone, Copy, ValueEnum)]
pub enum Dialect {
    /// PostgreSQL 13 and newer.
    Postgres,
    /// SQLite 3.37 and newer.
    Sqlite,
}

fn election(text: &str) -> Result<Name, String> {
    Name::new("election", text).map_err(|error| error.to_string())
}

fn candidate(text: &str) -> Result<Name, String> {
    Name::new("candidate", text).map_err(|error| error.to_string())
}

fn millis(text: &str) -> Result<Duration, String> {
    let count = text.parse().map_err(|_| "give a whole number of milliseconds, 10000 for instance")?;
    Ok(Duration::from_millis(count))
}

fn schema(text: &str) -> Result<String, String> {
    match is_schema(text) {
        true => Ok(text.to_owned()),
        false => Err(format!("it has {} bytes; give the name of a schema, 1 to 63 bytes", text.len())),
    }
}

fn token(text: &str) -> Result<FencingToken, String> {
    text.parse().ok().and_then(FencingToken::new).ok_or_else(|| {
        format!("a token is a whole number from 1 to {}; `elector status` shows it", FencingToken::MAX)
    })
}

fn task(text: &str) -> Result<String, String> {
    let tasks: Vec<String> =
        Cli::command().get_subcommands().map(|task| task.get_name().to_owned()).collect();
    if tasks.iter().any(|task| task == text) {
        return Ok(text.to_owned());
    }
    Err(format!("there is no such task; give one of {}", tasks.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_grace_of_the_core_covers_term_grace_and_kill() {
        let timing = TimingArguments {
            lease_ms: Some(Duration::from_secs(2)),
            grace_ms: Some(Duration::from_millis(300)),
            ..TimingArguments::default()
        };
        assert_eq!(timing.options().grace, Some(Duration::from_millis(350)));
        assert!(timing.options().build().is_ok());
    }

    #[test]
    fn the_defaults_of_the_command_line_are_those_of_the_core() {
        let timing = TimingArguments::default().options().build().unwrap();
        assert_eq!(timing.lease(), TimingArguments::DEFAULT_LEASE);
    }
}
