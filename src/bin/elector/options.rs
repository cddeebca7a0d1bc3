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
    /// The command to run.
    #[command(subcommand)]
    pub task: Task,
}

/// What to do.
#[derive(Subcommand)]
pub enum Task {
    /// Wait to be elected, then run a command; stop it before leadership ends
    #[command(after_help = RUN_EXAMPLES, after_long_help = run_rules())]
    Run(RunOptions),
    /// Print a JSON line for each change of an election's leader, without campaigning
    #[command(after_help = WATCH_EXAMPLES)]
    Watch {
        #[command(flatten)]
        election: ElectionOption,
        #[command(flatten)]
        store: StoreOption,
    },
    /// Show all elections and their leaders
    #[command(after_help = "Examples:\n  elector status\n  elector status --election nightly --json")]
    Status(StatusOptions),
    /// Revoke the term with a given token
    #[command(after_help = RELEASE_RULES)]
    Release {
        #[command(flatten)]
        election: ElectionOption,
        /// The token of the term to revoke, as `status` shows it. A later term is left alone
        #[arg(long, value_name = "N", value_parser = token, allow_negative_numbers = true)]
        token: FencingToken,
        #[command(flatten)]
        store: StoreOption,
    },
    /// Revoke the present term of an election, whatever its token
    #[command(after_help = BREAK_RULES)]
    Break {
        #[command(flatten)]
        election: ElectionOption,
        /// Revoke without asking for confirmation
        #[arg(long, short)]
        yes: bool,
        #[command(flatten)]
        store: StoreOption,
    },
    /// Create the store's table, or add the columns that an older table lacks
    #[command(
        after_help = "Example:\n  elector migrate --store postgres://owner@db.example/app?schema=jobs\n\n\
                            Needed only if the candidates' role may not create tables\n\
                            (?create_table=false). Safe to repeat, also while candidates run: existing\n\
                            rows and columns are not changed."
    )]
    Migrate {
        #[command(flatten)]
        store: StoreOption,
    },
    /// Print the statements that create the table
    #[command(after_help = "Example:\n  elector schema --dialect postgres | psql")]
    Schema {
        /// The database
        #[arg(long)]
        dialect: Dialect,
        /// The PostgreSQL schema of the table [default: public]
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
        /// The command to describe. Default: a summary of all commands
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
  elector watch --election nightly | jq --unbuffered -r '.leader.candidate // \"none\"'";

const RUN_EXAMPLES: &str = "\
Examples:
  elector run --election nightly -- ./report.sh
  elector run -e queue --forever --store sqlite:/srv/e.db -- worker mail
  elector run -e nightly --once --events events.json -- ./report.sh";

const RUN_RULES: &str = "\
Environment of CMD: ELECTOR_ELECTION, ELECTOR_CANDIDATE and ELECTOR_TOKEN, the fencing token. Each term \
has a larger token than all earlier terms. CMD should send it with every write, to a resource that \
refuses a token smaller than the largest it has seen.

End of leadership: CMD and all processes that it started get SIGTERM, and after the grace SIGKILL, before \
another candidate can lead. This holds even if `elector run` itself is killed or stopped.

End of CMD: processes that CMD leaves behind are ended in the same way, then the lease is released.

Signals: SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1 and SIGUSR2 are passed on to CMD. The lease is kept until \
CMD has ended.

Hangs: if `elector run` hangs for half a lease, it stops renewing the lease. If CMD is stopped (SIGSTOP, \
SIGTTIN, SIGTTOU) for one lease, it is ended; see --keep-stopped. If nothing reads the output, lines are \
dropped and later counted; the lease is renewed meanwhile.";

const RELEASE_RULES: &str = "\
The leader's next renewal fails, and it stops. Another candidate can be elected only when the lease has \
expired; by then the leader no longer trusts it, so there are never two leaders.

Example:
  elector release --election nightly --token 1795321234567890";

const BREAK_RULES: &str = "\
The leader's next renewal fails, and it stops. Another candidate can be elected only when the lease has \
expired; by then the leader no longer trusts it, so there are never two leaders.

Example:
  elector break --election nightly --yes";

const ENVIRONMENT: &str = "\
Environment:
  ELECTOR_STORE  the store's URL, unless --store is given
  ELECTOR_LOG    the level of the log on standard error: error, warn, info, debug or
                 trace; or TARGET=LEVEL, separated by commas. Default: no log
  NO_COLOR       any non-empty value turns colours off";

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
    /// Where leases are kept: sqlite:PATH or postgres://USER@HOST/DATABASE?schema=NAME. All candidates of
    /// an election must use the same store. Default: $ELECTOR_STORE, else an SQLite file in the user's state
    /// directory
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
    /// This candidate's name, 1 to 255 bytes [default: hostname-pid]
    #[arg(long, value_name = "ID", value_parser = candidate)]
    pub candidate: Option<Name>,
    /// A text that others can read while this candidate leads, such as an address. At most 64 KiB. Not for
    /// secrets
    #[arg(long, value_name = "TEXT")]
    pub meta: Option<String>,
    #[command(flatten)]
    pub timing: TimingArguments,
    /// Take over only a row that did not change for a full lease of this machine's clock. This prevents two
    /// leaders if the store's clock was stepped forward before this candidate first read it, or if a promoted
    /// standby lost commits. It delays each change of leader by one lease. All candidates of an election need
    /// it
    #[arg(long)]
    pub strict: bool,
    /// Exit with 75 when leadership is lost or CMD stays stopped for one lease, instead of campaigning again
    #[arg(long, conflicts_with = "forever")]
    pub once: bool,
    /// Campaign again when CMD ends by itself, instead of exiting
    #[arg(long)]
    pub forever: bool,
    /// Keep the lease while CMD is stopped (SIGSTOP, SIGTTIN, SIGTTOU), for ever if CMD is never continued.
    /// Without this option, CMD is ended after one lease, as if leadership had been lost
    #[arg(long)]
    pub keep_stopped: bool,
    /// Append one JSON line per event to this file, or write it to standard output (-)
    #[arg(long, value_name = "FILE|-")]
    pub events: Option<PathBuf>,
    /// Print errors only
    #[arg(long, short)]
    pub quiet: bool,
    /// The command and its arguments
    #[arg(last = true, required = true, value_name = "CMD")]
    pub command: Vec<OsString>,
}

/// How long a lease lasts.
#[derive(Args, Clone, Copy, Default)]
pub struct TimingArguments {
    /// The length of the lease in milliseconds, 100 to 86400000. It bounds how long a crashed leader blocks
    /// the next one. Too short: a slow store or a pause ends leadership [default: 10000]
    #[arg(long, value_name = "N", value_parser = millis, allow_negative_numbers = true)]
    pub lease_ms: Option<Duration>,
    /// The longest time from one renewal to the next, in milliseconds, at least 10. Too long: a short outage
    /// of the store ends leadership [default: 30 % of the lease]
    #[arg(long, value_name = "N", value_parser = millis, allow_negative_numbers = true)]
    pub renew_ms: Option<Duration>,
    /// A renewal is sent up to this much earlier than --renew-ms, at random, in milliseconds, at most
    /// --renew-ms − 10. Too short: the renewals of many candidates reach the store at the same time
    /// [default: 20 % of the lease]
    #[arg(long, value_name = "N", value_parser = millis, allow_negative_numbers = true)]
    pub jitter_ms: Option<Duration>,
    /// The pause before retrying an operation that failed at once, in milliseconds, at least 10 [default: 5 %
    /// of the lease]
    #[arg(long, value_name = "N", value_parser = millis, allow_negative_numbers = true)]
    pub retry_ms: Option<Duration>,
    /// The safety margin: leadership ends this much before the lease can expire, in milliseconds, at least 1.
    /// It covers late reactions of this machine and forward steps of the store's clock up to this size. Too
    /// short: CMD can run beside the next leader's [default: the larger of 250 and a fifteenth of the lease]
    #[arg(long, value_name = "N", value_parser = millis, allow_negative_numbers = true)]
    pub margin_ms: Option<Duration>,
    /// The time between SIGTERM and SIGKILL when leadership ends, in milliseconds. Too short: CMD is killed
    /// before it has cleaned up. Too long: less time for renewals [default: 10 % of the lease]
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
    /// Show this election only
    #[arg(long, short, value_name = "NAME", value_parser = election)]
    pub election: Option<Name>,
    /// Print one JSON object per election and line, instead of a table
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub store: StoreOption,
}

/// `elector demo`.
#[derive(Args)]
pub struct DemoOptions {
    /// The number of times to kill the leader, 1 to 50
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
    let count = text.parse().map_err(|_| "use a whole number of milliseconds, such as 10000")?;
    Ok(Duration::from_millis(count))
}

fn schema(text: &str) -> Result<String, String> {
    match is_schema(text) {
        true => Ok(text.to_owned()),
        false => Err(format!("the schema name has {} bytes; use 1 to 63 bytes without NUL", text.len())),
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
    Err(format!("there is no such command; use one of {}", tasks.join(", ")))
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
