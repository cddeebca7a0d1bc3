//! The production store: leases in a PostgreSQL table.
//!
//! The store has a connection of its own, never one of the application's pool. A runtime with one thread
//! drives it, so that notifications arrive while nothing is asked; the hub's store thread waits for
//! answers, each call for no longer than its jobs allow. A connection on which a call ran out of time is
//! not used again: the next call connects anew, and the server ends by its own limits what it was still
//! doing.

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
use crate::core::lease::{Failure, Op, Outcome, Reply, Row};
use crate::core::sql::postgres::judged::lacking_refusal;
use crate::core::sql::postgres::{CHANNEL, SERVER_CLOCK, Table};
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
use self::table::{Blocker, Ready};

/// How long connecting may take: at first, and again after a connection was lost. Not bounded by the
/// deadlines of the jobs that wait for it, since a candidate far from the server would never be
/// connected; but an attempt that began while the network was cut must not hold up the next one for long.
/// So reconnecting starts with the shorter time, and twice as long each time that it was too short.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
const RECONNECT_WITHIN: Duration = Duration::from_secs(1);
/// How long calls for people may take; the machines' own calls name their deadlines.
const PATIENCE: Duration = Duration::from_secs(10);
/// A server that could not be reached is not tried again sooner.
const RECONNECT_AFTER: Duration = Duration::from_millis(50);
/// How long a server gets to hear that we go.
const CLOSE_WITHIN: Duration = Duration::from_millis(200);
/// How long it may take to find out who holds a row that cannot be taken.
const REPORT_WITHIN: Duration = Duration::from_millis(250);
/// A notification to ourselves should arrive so soon.
const NOTIFICATION_WITHIN: Duration = Duration::from_secs(2);
/// What holds a row for less, in seconds, is no news to people.
const NEWS_AFTER_S: i64 = 1;

/// Opens the store: connects, and finds, makes or adopts the table.
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
    /// Taken out only when the store is dropped.
    runtime: Option<Runtime>,
    connection: Option<Connection>,
    /// How long the next attempt to connect may take.
    connect_within: Duration,
    /// When connecting failed last, and how.
    failed: Option<(Instant, StoreError)>,
}

/// A connection that is ready for batches.
struct Connection {
    session: Session,
    ready: Ready,
}

impl PostgresStore {
    fn runtime(&self) -> Result<&Runtime, StoreError> {
        self.opener.check(&self.url)?;
        self.runtime.as_ref().ok_or_else(|| StoreError::new(Failure::Refused, "the store is closed"))
    }

    /// The connection, made anew if the last one is of no more use.
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
                    // No election has an empty name: it is somebody's test, most likely our own.
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

    /// Whatever became of connecting, no job was sent.
    fn unsent(&self, fault: Fault) -> StoreError {
        StoreError::new(Failure::Unsent, fault.error.to_string())
    }

    /// Asks one thing for people. `asked` completes "cannot …".
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

    /// Throws the connection away, and has the server stop what it still does on it.
    fn give_up(&mut self) {
        if let (Some(connection), Some(runtime)) = (self.connection.take(), &self.runtime) {
            runtime.spawn(connection.session.give_up(CONNECT_WITHIN));
        }
    }

    /// Throws the connection away if it must not be used again, or if the table is not what it was:
    /// connecting anew looks at the table too. The server ends by its own limits what it is still doing
    /// for us.
    fn discard_after(&mut self, fault: &Fault) {
        let has_changed = |code: &SqlState| sqlstate::tells_of_a_changed_table(code.code());
        if fault.discard || fault.code.as_ref().is_some_and(has_changed) {
            self.connection = None;
        }
    }

    /// Runs a batch on the connection, and answers every job that got an answer.
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

    /// Refuses the jobs whose elections this table cannot hold, or whose texts its database cannot.
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

    /// Asks which texts the database's encoding can hold, as far as that is not known. Nothing is written.
    fn learn<'a>(
        &mut self,
        patience: Duration,
        texts: impl Iterator<Item = encoding::TextRef<'a>>,
    ) -> Result<(), StoreError> {
        const ASKED: &str = "see which texts its database can keep";
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

    /// Refuses candidates from which row security hides the table. Connecting anew looks at that again.
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

    /// Refuses a question about an election that the table or its database cannot hold.
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
        let lacking = self.ask("see what it may do with its table", async |connection| {
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
        self.ask_within(SHORTEST_PATIENCE, "remove dead rows", clean_up)
    }
}

impl PostgresStore {
    /// Says which backends keep a row from being taken over, if an acquire found one that has ended and
    /// could not take it: a guarded transaction that stays open delays the take-over of its election. Where
    /// there is none, row security may have been switched on since the table was looked at.
    fn explain_untaken(&mut self, jobs: &[Job], answers: &[Option<Answer>]) {
        let mut blocked = jobs.iter().zip(answers).filter(|(job, answer)| {
            let (Op::Acquire(acquire), Some(answer)) = (&job.request.op, answer) else { return false };
            let Outcome::Seen(Some(row)) = &answer.reply.outcome else { return false };
            // A strict candidate takes nothing that has changed, whoever holds it.
            row.remaining.is_zero() && acquire.unchanged.is_none_or(|expected| expected == row.version())
        });
        // Most often another candidate was quicker, and nothing is blocked: then this finds nobody.
        let Some((job, _)) = blocked.next() else { return };
        if jobs.iter().any(|job| matches!(job.request.op, Op::Renew { .. })) {
            // Nobody's renewal waits for a word to people; the acquire is tried again soon.
            return;
        }
        let (Some(connection), Ok(runtime)) = (&self.connection, self.runtime()) else { return };
        let (ready, session, election) = (&connection.ready, &connection.session, Some(&job.election));
        let asking = async {
            let blockers = ready.blockers(session, election, 0).await?;
            let is_hidden = blockers.is_empty() && ready.is_hidden_now(&self.url, session).await?;
            Ok::<_, tokio_postgres::Error>((blockers, is_hidden))
        };
        // What could not be found out in time is not worth more.
        let asked = runtime.block_on(async { timeout(REPORT_WITHIN, asking).await });
        let Ok(Ok((blockers, is_hidden))) = asked else { return };
        for blocker in blockers {
            tracing::warn!(store = %self.url, "{}", blocker.remark());
        }
        if is_hidden {
            // The next one finds it so, and says it.
            self.connection = None;
        }
    }

    fn guards(&mut self) -> Result<Vec<String>, StoreError> {
        let blockers = self.ask("see who holds rows", async |connection| {
            connection.ready.blockers(&connection.session, None, NEWS_AFTER_S).await
        })?;
        Ok(blockers.iter().map(Blocker::remark).collect())
    }

    /// How far the server's clock is from this machine's, if that is worth a word. Nothing depends on it;
    /// a step of the server's clock shows in it.
    fn skew(&mut self) -> Result<Option<String>, StoreError> {
        let before = clock::unix_micros();
        let server = self.ask("read its clock", async |connection| {
            let rows = connection.session.client.query_typed(SERVER_CLOCK, &[]).await?;
            rows.first().map_or(Ok(before), |row| row.try_get::<_, i64>(0))
        })?;
        let ours = before + (clock::unix_micros() - before) / 2;
        let ahead = (server - ours) as f64 / 1e6;
        Ok((ahead.abs() >= 1.0).then(|| {
            let side = if ahead > 0.0 { "ahead of" } else { "behind" };
            format!("the server's clock is {:.1} s {side} this machine's", ahead.abs())
        }))
    }
}

impl Drop for PostgresStore {
    fn drop(&mut self) {
        let Some(runtime) = self.runtime.take() else { return };
        if self.opener.is_this_process() {
            if let Some(connection) = self.connection.take() {
                runtime.block_on(connection.session.close(CLOSE_WITHIN));
            }
            // Without waiting: what is under way is bounded by itself.
            runtime.shutdown_background();
        } else {
            // A forked child has none of the threads, and must not say goodbye on the parent's connection.
            std::mem::forget(self.connection.take());
            std::mem::forget(runtime);
        }
    }
}

/// Says so if notifications do not arrive, whatever lies between. Nothing depends on them but how soon a
/// release is noticed.
async fn check_notifications(url: PostgresUrl, arrived: Arc<AtomicBool>) {
    tokio::time::sleep(NOTIFICATION_WITHIN).await;
    if !arrived.load(Ordering::Relaxed) {
        tracing::warn!(store = %url, "notifications do not arrive; releases are noticed by looking only");
    }
}

/// Answers every job that has no answer yet with this error.
fn fail(jobs: &[Job], answers: &mut [Option<Answer>], error: &StoreError) {
    for (job, answer) in jobs.iter().zip(answers) {
        answer.get_or_insert_with(|| Answer::failed(job, error));
    }
}
