//! The PostgreSQL store, for production: leases in a table.
//!
//! The store has its own connection, never one of the application's pool. A runtime with one thread serves
//! it, so that notifications arrive between calls. The hub's store thread waits for answers, in each call no
//! longer than the deadlines of its jobs allow. A connection on which a call timed out is not used again: the
//! next call opens a new one, and the server's own limits end the old statement.

mod access;
mod backend;
mod batch;
mod binding;
mod cancel;
mod config;
mod connect;
mod encoding;
mod fault;
mod passfile;
mod remarks;
mod setup;
mod table;
mod tls;
mod uri;
mod verify;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::time::timeout;
use tokio_postgres::error::SqlState;

use crate::core::batch::{SHORTEST_PATIENCE, Urgency, waited_for};
use crate::core::lease::{Failure, Outcome, Reply, Row};
use crate::core::sql::postgres::judged::lacking_refusal;
use crate::core::sql::postgres::{CHANNEL, Table};
use crate::core::sql::sqlstate;
use crate::core::{FencingToken, Instant, Name};
use crate::driver::host::clock;
use crate::driver::host::descriptor_limit;
use crate::driver::stores::opener::Opener;
use crate::driver::stores::{
    Answer, CandidateText, ElectionRow, Hint, Job, Notifier, Store, StoreError, check_election_fits,
};

pub use self::config::PostgresUrl;
use self::connect::{Session, SessionEvent};
use self::fault::Fault;
use self::table::Ready;

/// Maximum time to connect: the first for the first connection, the second for the first attempt after a
/// connection was lost. The deadlines of waiting jobs do not limit it, since a candidate far from the server
/// would never connect. But an attempt that began while the network was down must not delay the next one for
/// long, so reconnecting starts with the shorter time, which doubles each time that it is exceeded.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
const RECONNECT_WITHIN: Duration = Duration::from_secs(1);
/// Maximum time of calls for operators. Calls of lease machines have their own deadlines.
const PATIENCE: Duration = Duration::from_secs(10);
/// Minimum pause between two attempts to connect.
const RECONNECT_AFTER: Duration = Duration::from_millis(50);
/// Maximum time to close a session in an orderly way.
const CLOSE_WITHIN: Duration = Duration::from_millis(200);
/// Time within which the session's test notification to itself should arrive.
const NOTIFICATION_WITHIN: Duration = Duration::from_secs(2);

/// Opens the store: connects, and finds, creates or adopts the table.
pub(super) fn open(url: &PostgresUrl, notifier: Notifier) -> Result<Box<dyn Store>, StoreError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("elector-postgres")
        .enable_all()
        .build()
        .map_err(|error| {
            let advice =
                descriptor_limit::advice(&error).map_or(String::new(), |advice| format!(": {advice}"));
            let message = format!("{url}: no thread could be started for PostgreSQL ({error}){advice}");
            StoreError::new(Failure::Unsent, message)
        })?;
    let mut store = PostgresStore {
        url: url.clone(),
        notifier,
        opener: Opener::this_process(),
        runtime: Some(runtime),
        connection: None,
        connect_within: CONNECT_WITHIN,
        failed: None,
    };
    store.connected()?;
    Ok(Box::new(store))
}

struct PostgresStore {
    url: PostgresUrl,
    notifier: Notifier,
    opener: Opener,
    /// `None` only while the store is dropped.
    runtime: Option<Runtime>,
    connection: Option<Connection>,
    /// Maximum time of the next attempt to connect.
    connect_within: Duration,
    /// The time and error of the last failed attempt to connect.
    failed: Option<(Instant, StoreError)>,
}

/// A connection that is ready for batches: session, table and statements.
struct Connection {
    session: Session,
    ready: Ready,
}

impl PostgresStore {
    fn runtime(&self) -> Result<&Runtime, StoreError> {
        self.opener.check(&self.url)?;
        self.runtime.as_ref().ok_or_else(|| StoreError::new(Failure::Refused, "the store is closed"))
    }

    /// Connects, unless there is a usable connection.
    fn connected(&mut self) -> Result<(), StoreError> {
        self.opener.check(&self.url)?;
        if self.connection.as_ref().is_some_and(|connection| connection.session.closed().is_none()) {
            return Ok(());
        }
        self.connection = None;
        let now = clock::now();
        if let Some((at, error)) = &self.failed {
            if now.saturating_since(*at) < RECONNECT_AFTER {
                return Err(error.clone());
            }
        }
        match self.connect(self.connect_within) {
            Ok(connection) => {
                self.connect_within = RECONNECT_WITHIN;
                self.connection = Some(connection);
                self.failed = None;
                Ok(())
            }
            Err(error) => {
                let failed_at = clock::now();
                if failed_at.saturating_since(now) >= self.connect_within {
                    self.connect_within = (self.connect_within * 2).min(CONNECT_WITHIN);
                }
                self.failed = Some((failed_at, error.clone()));
                Err(error)
            }
        }
    }

    fn connect(&self, patience: Duration) -> Result<Connection, StoreError> {
        let notifier = self.notifier.clone();
        let prefix = format!("{}/", self.url.schema());
        let arrived = Arc::new(AtomicBool::new(false));
        let set_arrived = Arc::clone(&arrived);
        let on_event = move |event: SessionEvent| match event {
            SessionEvent::Notification(notification) => {
                match notification
                    .payload()
                    .strip_prefix(&prefix)
                    .filter(|_| notification.channel() == CHANNEL)
                {
                    // No election has an empty name: this is the test of a session, most likely our own.
                    Some("") => set_arrived.store(true, Ordering::Relaxed),
                    Some(name) => {
                        if let Ok(election) = Name::new("election", name) {
                            notifier(Hint::Election(election));
                        }
                    }
                    None => {}
                }
            }
            SessionEvent::Closed(reason) => tracing::warn!("{reason}"),
        };
        self.runtime()?.block_on(async {
            let connecting = async {
                let session = connect::connect(&self.url, patience, on_event).await?;
                let ready = Ready::prepare(&self.url, &session).await?;
                if ready.listen(&self.url, &session).await {
                    tokio::spawn(check_notifications(self.url.clone(), arrived));
                }
                Ok(Connection { session, ready })
            };
            let connected = timeout(patience, connecting).await;
            connected.unwrap_or_else(|_| Err(self.unsent(fault::timed_out(&self.url, "connect", patience))))
        })
    }

    /// The error of a fault that happened before any job was sent, so that it is [`Failure::Unsent`].
    fn unsent(&self, fault: Fault) -> StoreError {
        StoreError::new(Failure::Unsent, fault.error.to_string())
    }

    /// Runs a statement for an operator. `asked` completes "cannot …".
    fn ask<T>(
        &mut self,
        asked: &str,
        question: impl AsyncFnOnce(&Connection) -> Result<T, tokio_postgres::Error>,
    ) -> Result<T, StoreError> {
        self.ask_within(PATIENCE, asked, question)
    }

    fn ask_within<T>(
        &mut self,
        patience: Duration,
        asked: &str,
        question: impl AsyncFnOnce(&Connection) -> Result<T, tokio_postgres::Error>,
    ) -> Result<T, StoreError> {
        self.connected()?;
        let runtime = self.runtime()?;
        let Some(connection) = &self.connection else {
            return Err(fault::timed_out(&self.url, asked, patience).error);
        };
        let answer = runtime.block_on(async { timeout(patience, question(connection)).await });
        let fault = match answer {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(error)) => connection.session.fault(asked, &error),
            Err(_) => {
                self.give_up();
                return Err(fault::timed_out(&self.url, asked, patience).error);
            }
        };
        self.discard_after(&fault);
        Err(fault.error)
    }

    /// Discards the connection, and asks the server to cancel its statement.
    fn give_up(&mut self) {
        if let (Some(connection), Some(runtime)) = (self.connection.take(), &self.runtime) {
            runtime.spawn(connection.session.give_up(CONNECT_WITHIN));
        }
    }

    /// Discards the connection after a fault that makes it unusable, or that shows that the table has
    /// changed: connecting again also checks the table. The server's own limits end an outstanding statement.
    fn discard_after(&mut self, fault: &Fault) {
        let has_changed = |code: &SqlState| sqlstate::suggests_changed_table(code.code());
        if fault.discard || fault.code.as_ref().is_some_and(has_changed) {
            self.connection = None;
        }
    }

    /// Runs the jobs that have no answer yet as a batch, and stores the answers.
    fn run(&mut self, jobs: &[Job], answers: &mut [Option<Answer>], deadline: Instant) {
        let Some(connection) = &self.connection else { return };
        let Ok(runtime) = self.runtime() else { return };
        let patience = deadline.saturating_since(clock::now()).max(SHORTEST_PATIENCE);
        let open =
            answers.iter().enumerate().filter(|(_, answer)| answer.is_none()).map(|(number, _)| number);
        let open: Vec<usize> = open.collect();
        let results = runtime.block_on(async {
            let batch = connection.ready.run(&connection.session, self.url.schema(), jobs, open);
            timeout(patience, batch).await
        });
        let Ok(results) = results else {
            let fault = fault::timed_out(&self.url, "execute a batch", patience);
            self.give_up();
            return fail(jobs, answers, &fault.error);
        };
        let mut faults = Vec::new();
        for result in results {
            match result.answers {
                Ok(answered) => {
                    for (number, outcome, clock) in answered {
                        let is_busy = matches!(outcome, Outcome::Failed(_));
                        let error =
                            is_busy.then(|| fault::busy(&self.url, result.asked, &jobs[number].election));
                        let reply = Reply { id: jobs[number].request.id, clock: Some(clock), outcome };
                        answers[number] = Some(Answer { reply, error });
                    }
                }
                Err(error) => {
                    let fault = connection.session.fault(result.asked, &error);
                    for number in result.jobs {
                        answers[number] = Some(Answer::failed(&jobs[number], &fault.error));
                    }
                    faults.push(fault);
                }
            }
        }
        faults.iter().for_each(|fault| self.discard_after(fault));
    }

    /// Answers the jobs that cannot be stored: an election whose name is too long for the table, or texts
    /// that the database's encoding cannot represent.
    fn refuse_unstorable(&mut self, jobs: &[Job], answers: &mut [Option<Answer>], deadline: Instant) {
        let patience = deadline.saturating_since(clock::now()).max(SHORTEST_PATIENCE);
        if let Err(error) = self.learn(patience, jobs.iter().flat_map(encoding::texts_of)) {
            return fail(jobs, answers, &error);
        }
        let Some(connection) = &self.connection else { return };
        let (table, encoding) = (connection.ready.table(), &connection.ready.encoding);
        for (job, answer) in jobs.iter().zip(answers) {
            let held = check_election_fits(&self.url, table, &job.election);
            if let Err(error) = held.and_then(|()| encoding.check(&self.url, encoding::texts_of(job))) {
                *answer = Some(Answer::failed(job, &error));
            }
        }
    }

    /// Asks the server which of the unknown texts its encoding can represent. Writes nothing.
    fn learn<'a>(
        &mut self,
        patience: Duration,
        texts: impl Iterator<Item = encoding::TextRef<'a>>,
    ) -> Result<(), StoreError> {
        const ASKED: &str = "check which texts its database can keep";
        let (Some(connection), Some(runtime)) = (&mut self.connection, &self.runtime) else { return Ok(()) };
        let Connection { session, ready } = connection;
        let asking = ready.encoding.learn(&session.client, texts);
        let fault = match runtime.block_on(async { timeout(patience, asking).await }) {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(error)) => session.fault(ASKED, &error),
            Err(_) => {
                self.give_up();
                fault::timed_out(&self.url, ASKED, patience)
            }
        };
        self.discard_after(&fault);
        Err(self.unsent(fault))
    }

    /// An error if row security hides rows from candidates. Discards the connection then, since connecting
    /// checks again.
    fn check_visible_to_candidates(&mut self) -> Result<(), StoreError> {
        let shown = self
            .connection
            .as_ref()
            .map_or(Ok(()), |found| found.ready.check_visible_to_candidates(&self.url));
        if shown.is_err() {
            self.connection = None;
        }
        shown
    }

    /// An error for an election whose name the table or the database's encoding cannot represent.
    fn check_election(&mut self, election: &Name) -> Result<(), StoreError> {
        self.check_texts(&[("election", election.as_str().into())])?;
        let Some(connection) = &self.connection else { return Ok(()) };
        check_election_fits(&self.url, connection.ready.table(), election)
    }
}

impl Store for PostgresStore {
    fn execute(&mut self, jobs: &[Job]) -> Vec<Answer> {
        let mut answers: Vec<Option<Answer>> = jobs.iter().map(|_| None).collect();
        let deadlines = jobs.iter().map(|job| (Urgency::of(&job.request.op), job.request.deadline));
        let deadline = waited_for(deadlines).unwrap_or_default();
        match self.connected().and_then(|()| self.check_visible_to_candidates()) {
            Ok(()) => {
                self.refuse_unstorable(jobs, &mut answers, deadline);
                self.run(jobs, &mut answers, deadline);
                self.explain_untaken(jobs, &answers);
            }
            Err(error) => fail(jobs, &mut answers, &error),
        }
        let no_row = StoreError::new(
            Failure::Unknown,
            format!("{}: the server returned no row for this operation", self.url),
        );
        let answer =
            |(job, answer): (&Job, Option<Answer>)| answer.unwrap_or_else(|| Answer::failed(job, &no_row));
        jobs.iter().zip(answers).map(answer).collect()
    }

    fn rows(&mut self, election: Option<&Name>) -> Result<Vec<ElectionRow>, StoreError> {
        election.map_or(Ok(()), |election| self.check_election(election))?;
        self.ask("list the elections", async |connection| {
            connection.ready.list(&connection.session, election).await
        })
    }

    fn revoke(&mut self, election: &Name, token: Option<FencingToken>) -> Result<Option<Row>, StoreError> {
        self.check_election(election)?;
        self.connection
            .as_ref()
            .map_or(Ok(()), |connection| connection.ready.check_visible_to_operators(&self.url))?;
        let schema = self.url.schema().to_owned();
        let revoke = async |connection: &Connection| {
            connection.ready.revoke(&connection.session, &schema, election, token).await
        };
        self.ask("revoke a term", revoke)
    }

    fn table(&self) -> Option<Table> {
        self.connection.as_ref().map(|connection| connection.ready.table().clone())
    }

    fn remarks(&mut self) -> Result<Vec<String>, StoreError> {
        let mut remarks = self.guards()?;
        remarks.extend(self.skew()?);
        Ok(remarks)
    }

    fn check(&mut self) -> Result<(), StoreError> {
        let lacking = self.ask("check its permissions on the table", async |connection| {
            access::lacking(&connection.session, connection.ready.table()).await
        })?;
        let Some(table) = self.table() else { return Ok(()) };
        access::refuse(&self.url, lacking_refusal(&self.url.user, &table, &lacking))?;
        self.check_visible_to_candidates()
    }

    fn check_texts(&mut self, texts: &[CandidateText]) -> Result<(), StoreError> {
        self.connected()?;
        let texts = || texts.iter().map(|(what, text)| (*what, &**text));
        self.learn(PATIENCE, texts())?;
        self.connection.as_ref().map_or(Ok(()), |found| found.ready.encoding.check(&self.url, texts()))
    }

    fn clean_up(&mut self) -> Result<u64, StoreError> {
        let clean_up = async |connection: &Connection| connection.ready.clean_up(&connection.session).await;
        self.ask_within(SHORTEST_PATIENCE, "remove expired rows", clean_up)
    }
}

impl Drop for PostgresStore {
    fn drop(&mut self) {
        let Some(runtime) = self.runtime.take() else { return };
        if self.opener.is_this_process() {
            if let Some(connection) = self.connection.take() {
                runtime.block_on(connection.session.close(CLOSE_WITHIN));
            }
            // Without waiting: all running tasks have their own time limits.
            runtime.shutdown_background();
        } else {
            // Leaked in a forked child: it has none of the threads, and must not close the parent's
            // connection.
            std::mem::forget(self.connection.take());
            std::mem::forget(runtime);
        }
    }
}

/// Warns if notifications do not arrive, for example because of a pooler. Candidates then find releases only
/// by polling, which takes longer.
async fn check_notifications(url: PostgresUrl, arrived: Arc<AtomicBool>) {
    tokio::time::sleep(NOTIFICATION_WITHIN).await;
    if !arrived.load(Ordering::Relaxed) {
        tracing::warn!(store = %url, "notifications do not arrive; releases are found only by polling");
    }
}

/// Answers every job that has no answer yet with `error`.
fn fail(jobs: &[Job], answers: &mut [Option<Answer>], error: &StoreError) {
    for (job, answer) in jobs.iter().zip(answers) {
        answer.get_or_insert_with(|| Answer::failed(job, error));
    }
}
