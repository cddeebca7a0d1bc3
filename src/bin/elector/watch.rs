//! `elector watch`: prints a JSON line per change of leader, without being a candidate.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel, sync_channel};
use std::time::Duration;

use elector::core::lease::{Leader, LeaderId};
use elector::core::{FencingToken, Name};
use elector::driver::clock;
use elector::driver::stores::{ElectionRow, IfMissing};
use serde::Serialize;

use crate::exit::Failure;
use crate::options::StoreOption;
use crate::output;
use crate::stores;

/// Poll interval when no hint comes. The end of a lease gives no hint, so the store is read then, too.
const POLL: Duration = Duration::from_millis(500);
/// A query that takes longer than this is reported.
const SLOW_ANSWER: Duration = Duration::from_millis(700);
/// Minimum time between two reads: hints may come in bursts.
const SHORTEST: Duration = Duration::from_millis(5);

/// One line of output: `leader_changed` as in `elector run --events`, without a candidate of its own.
#[derive(Serialize)]
struct Line<'a> {
    at_ms: i64,
    event: &'static str,
    election: &'a Name,
    /// Null if no candidate leads.
    leader: Option<Leader>,
    /// The token of this term, or of the one that ended.
    token: Option<FencingToken>,
    /// Why no candidate leads.
    reason: Option<&'static str>,
}

/// The fields by which a new line differs from the last one.
type Seen = (Option<LeaderId>, Option<u64>);

const NOBODY: Seen = (None, None);

/// Runs `elector watch`, until it is ended.
pub fn run(election: &Name, store: &StoreOption) -> Result<u8, Failure> {
    // A queue of one hint is enough: each asks for the same read.
    let (notifier, hints) = sync_channel(1);
    // Creates nothing: without a file, no election has a leader.
    let url = stores::url(store)?.if_missing(IfMissing::Leave);
    stores::warn_of_memory(&url, "leaders in other processes are not shown");
    let notify = move |_| {
        let _ = notifier.try_send(());
    };
    let watchdog = Watchdog::start(format!("{url} has not answered yet; waiting for it"))?;
    let mut store = watchdog.time(|| url.open(Arc::new(notify))).map_err(Failure::store)?;
    let mut seen: Option<Seen> = None;
    let mut troubled = false;
    loop {
        let mut wait = POLL;
        match watchdog.time(|| store.rows(Some(election))) {
            Ok(rows) => {
                troubled = false;
                let row = rows.first();
                let now = state(row);
                if seen.is_none() && row.is_none() {
                    let found = format!("there is no election '{election}' in {url} yet; watching for one");
                    output::say(output::clean(&found));
                }
                // The clean-up of the row of an ended term is no change of leader.
                let is_gone = now == NOBODY && seen.as_ref().is_some_and(|(leader, _)| leader.is_none());
                if seen.as_ref() != Some(&now) && !is_gone {
                    output::json_line(io::stdout().lock(), &line(election, row))?;
                    seen = Some(now);
                }
                if let Some(remaining) = row.map(|row| row.row.remaining).filter(|left| !left.is_zero()) {
                    wait = wait.min(remaining);
                }
            }
            Err(error) if error.is_permanent() => return Err(Failure::store(error)),
            Err(error) if !troubled => {
                troubled = true;
                output::say(format!("cannot read the store, retrying: {error}"));
            }
            Err(_) => {}
        }
        if output::nobody_reads() {
            return Ok(0);
        }
        std::thread::sleep(SHORTEST);
        match hints.recv_timeout(wait.saturating_sub(SHORTEST).max(SHORTEST)) {
            Ok(()) | Err(RecvTimeoutError::Timeout) => {}
            // A store without hints has dropped the notifier.
            Err(RecvTimeoutError::Disconnected) => std::thread::sleep(wait),
        }
    }
}

/// Tells the user, from a thread of its own, that a query takes longer than [`SLOW_ANSWER`].
struct Watchdog(Sender<()>);

impl Watchdog {
    /// Starts the thread. It prints `text` once for consecutive slow queries.
    fn start(text: String) -> Result<Watchdog, Failure> {
        let (edges, incoming) = channel();
        let watch = move || {
            let mut told = false;
            // A query sends one message when it begins, and one when it has ended.
            while let Ok(()) = incoming.recv() {
                match incoming.recv_timeout(SLOW_ANSWER) {
                    Ok(()) => told = false,
                    Err(_) => {
                        if !std::mem::replace(&mut told, true) {
                            output::say(output::clean(&text));
                        }
                        let _ = incoming.recv();
                    }
                }
            }
        };
        let thread = std::thread::Builder::new().name("watchdog".into()).spawn(watch);
        thread.map(|_| Watchdog(edges)).map_err(|error| Failure::system("start a thread", &error))
    }

    /// Runs a query under the watchdog.
    fn time<T>(&self, query: impl FnOnce() -> T) -> T {
        let _ = self.0.send(());
        let answer = query();
        let _ = self.0.send(());
        answer
    }
}

fn state(row: Option<&ElectionRow>) -> Seen {
    match row {
        Some(row) => (row.leader().cloned(), row.row.token.map(|token| token.get())),
        None => NOBODY,
    }
}

fn line<'a>(election: &'a Name, row: Option<&'a ElectionRow>) -> Line<'a> {
    let token = row.and_then(|row| row.row.token);
    let leader = row.and_then(ElectionRow::leader).cloned();
    let meta = row.and_then(|row| row.row.meta.clone());
    Line {
        at_ms: clock::unix_micros() / 1_000,
        event: "leader_changed",
        election,
        token,
        reason: row.filter(|_| leader.is_none()).map(|row| match &row.row.holder {
            Some(_) => "expired",
            None if row.row.remaining.is_zero() => "released",
            None => "revoked",
        }),
        leader: leader.map(|id| Leader { id, token, meta }),
    }
}
