//! What only the inside of a session shows, against a real server.

#[path = "../../../tests/postgres_connect/server.rs"]
mod server;

use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use super::config::PostgresUrl;
use super::connect::{Session, SessionEvent, connect};
use crate::core::lease::Failure;
use crate::core::sql::postgres::DURABLE;
use crate::driver::store::StoreError;
use elector_kit::pooler;
use server::Server;

/// How long a test waits for what must come.
const BUDGET: Duration = Duration::from_secs(60);

async fn open(url: &str) -> Result<(Session, Receiver<SessionEvent>), StoreError> {
    let (send, events) = channel();
    let url = PostgresUrl::parse(url).unwrap();
    let session = connect(&url, BUDGET, move |event| drop(send.send(event))).await?;
    Ok((session, events))
}

async fn shown(session: &Session, setting: &str) -> String {
    let row = session.client.query_one(&format!("SHOW {setting}"), &[]).await.unwrap();
    row.get(0)
}

async fn eventually(so: impl Fn() -> bool) {
    let end = std::time::Instant::now() + BUDGET;
    while !so() {
        assert!(std::time::Instant::now() < end, "it never becomes so");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn trusting(configuration: &str) -> Server {
    let server = Server::start(configuration, "host all all 127.0.0.1/32 trust");
    server.sql("CREATE ROLE me LOGIN");
    server
}

#[tokio::test]
async fn a_session_is_set_up_and_its_end_is_noticed() {
    let server = trusting("synchronous_commit = off\ndefault_transaction_isolation = serializable");
    server.sql("ALTER ROLE me SET lock_timeout = '100ms'");
    let (session, events) = open(&server.url("me", "")).await.unwrap();
    assert!(!session.server.pooled && session.server.prepare && !session.server.read_only);
    assert!(session.server.version_num >= 130_000, "{:?}", session.server);
    assert_eq!(shown(&session, "synchronous_commit").await, "on");
    assert_eq!(shown(&session, "transaction_isolation").await, "read committed");
    assert_eq!(shown(&session, "statement_timeout").await, "10s");
    assert_eq!(shown(&session, "idle_in_transaction_session_timeout").await, "10s");
    assert_eq!(shown(&session, "lock_timeout").await, "100ms", "an administrator's stricter limit stays");
    assert_eq!(shown(&session, "application_name").await, "elector");

    session.client.batch_execute("LISTEN here").await.unwrap();
    server.sql("NOTIFY here, 'a message'");
    let event = tokio::task::spawn_blocking(move || (events.recv_timeout(BUDGET), events)).await.unwrap();
    let (Ok(SessionEvent::Notification(notification)), events) = event else { panic!("{event:?}") };
    assert_eq!((notification.channel(), notification.payload()), ("here", "a message"));

    assert!(session.closed().is_none());
    server.sql(&format!("SELECT pg_terminate_backend({})", session.server.backend_pid));
    let event = tokio::task::spawn_blocking(move || events.recv_timeout(BUDGET)).await.unwrap();
    let Ok(SessionEvent::Closed(reason)) = event else { panic!("{event:?}") };
    assert!(reason.to_string().contains("57P01"), "{reason}");
    assert_eq!(session.closed().unwrap(), reason);
    let error = session.client.query_one("SELECT 1", &[]).await.unwrap_err();
    let fault = session.fault("ask", &error);
    assert!(fault.discard && fault.error.to_string().contains("57P01"), "{fault:?}");
}

#[tokio::test]
async fn a_session_that_is_killed_in_a_statement_does_not_know_what_became_of_it() {
    let server = trusting("");
    let (session, _events) = open(&server.url("me", "")).await.unwrap();
    session.client.batch_execute("SET statement_timeout TO 0").await.unwrap();
    let pid = session.server.backend_pid;
    let sleeps = format!("SELECT wait_event = 'PgSleep' FROM pg_stat_activity WHERE pid = {pid}");
    let killer = async {
        eventually(|| server.sql(&sleeps) == "t").await;
        server.sql(&format!("SELECT pg_terminate_backend({pid})"));
    };
    let (answer, ()) = tokio::join!(session.client.batch_execute("SELECT pg_sleep(600)"), killer);
    let fault = session.fault("sleep", &answer.unwrap_err());
    assert_eq!(fault.error.failure(), Failure::Unknown);
    assert!(fault.discard && fault.error.to_string().contains("cannot sleep: terminating"), "{fault:?}");
}

#[tokio::test]
async fn statements_fail_with_what_it_means_and_what_to_do() {
    let server = trusting("");
    server.sql("CREATE TABLE kept (id int); CREATE TABLE locked (id int); GRANT ALL ON locked TO me");
    let (session, _events) = open(&server.url("me", "")).await.unwrap();
    let holder = open(&server.url("me", "")).await.unwrap().0;
    for each in [&session, &holder] {
        each.client.batch_execute("SET idle_in_transaction_session_timeout TO 0").await.unwrap();
    }
    holder.client.batch_execute("BEGIN; LOCK TABLE locked").await.unwrap();
    let cases = [
        ("SELECT * FROM absent", Failure::Refused, false, "42P01", "elector migrate"),
        ("SELECT * FROM kept", Failure::Refused, false, "42501", "grant the role"),
        ("SELECT x FROM locked", Failure::Unsent, false, "55P03", "another transaction"),
        ("CREATE TABLE nowhere.t (id int)", Failure::Refused, false, "3F000", "?schema="),
        ("SELECT 'x'::int", Failure::Refused, false, "22P02", "another shape"),
        (
            "SET statement_timeout TO 1; SELECT pg_sleep(1)",
            Failure::Unsent,
            false,
            "57014",
            "statement_timeout",
        ),
        ("SELEKT", Failure::Refused, false, "42601", "elector schema"),
        ("BEGIN READ ONLY; CREATE TABLE t ()", Failure::Unsent, true, "25006", "the primary"),
        ("SELECT 1", Failure::Unsent, true, "25P02", "aborted"),
    ];
    session.client.batch_execute("SET lock_timeout TO 10").await.unwrap();
    for (statement, failure, discard, code, expected) in cases {
        let error = session.client.batch_execute(statement).await.unwrap_err();
        let fault = session.fault("try it", &error);
        let message = fault.error.to_string();
        assert_eq!((fault.error.failure(), fault.discard), (failure, discard), "{statement}: {message}");
        assert_eq!(fault.code.as_ref().map(|code| code.code()), Some(code), "{message}");
        assert!(message.contains(expected) && message.contains("cannot try it"), "{message}");
        assert!(!message.contains('\n'), "{message}");
    }
}

#[tokio::test]
async fn behind_a_pooler_nothing_is_set_that_others_would_inherit() {
    let server = trusting("synchronous_commit = off");
    let port = pooler::start(server.port);
    let url = |more: &str| format!("postgres://me@127.0.0.1:{port}/postgres?{more}");
    let session = open(&url("")).await.unwrap().0;
    assert!(session.server.pooled && !session.server.prepare, "{:?}", session.server);
    for (setting, default) in
        [("synchronous_commit", "off"), ("statement_timeout", "0"), ("lock_timeout", "0")]
    {
        assert_eq!(shown(&session, setting).await, default, "{setting}");
    }
    let commit = "SHOW synchronous_commit";
    let both = format!("BEGIN; SELECT {DURABLE}; {commit}; COMMIT; {commit}");
    let answers = session.client.simple_query(&both).await.unwrap();
    let shown = answers.iter().filter_map(|answer| match answer {
        tokio_postgres::SimpleQueryMessage::Row(row) => row.get(0),
        _ => None,
    });
    assert_eq!(shown.collect::<Vec<_>>(), ["on", "on", "off"]);
    assert!(open(&url("prepare=true")).await.unwrap().0.server.prepare);
}

#[tokio::test]
async fn a_closed_session_leaves_no_backend_behind() {
    let server = trusting("");
    let count = || server.sql("SELECT count(*) FROM pg_stat_activity WHERE usename = 'me'");
    let (session, events) = open(&server.url("me", "")).await.unwrap();
    assert_eq!(count(), "1");
    session.close(BUDGET).await;
    assert!(events.recv().is_err(), "its end is no news to its owner");
    drop(open(&server.url("me", "")).await.unwrap());
    eventually(|| count() == "0").await;
}
