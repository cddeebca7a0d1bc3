use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_postgres::{Config, NoTls};

use super::*;

fn url() -> PostgresUrl {
    PostgresUrl::parse("postgres://me:hunter2@db/app?password=hunter2").unwrap()
}

/// The error of the driver after a server answers the start of a session with these bytes and disconnects.
async fn error_from(answer: &[u8]) -> Error {
    let (client, mut server) = tokio::io::duplex(4096);
    let mut config = Config::new();
    config.user("me").ssl_mode(tokio_postgres::config::SslMode::Disable);
    let serve = async {
        assert_ne!(server.read(&mut [0; 1024]).await.unwrap(), 0);
        server.write_all(answer).await.unwrap();
        drop(server);
    };
    let (connected, ()) = tokio::join!(config.connect_raw(client, NoTls), serve);
    connected.err().unwrap()
}

/// An ErrorResponse of the protocol.
async fn answer(severity: &str, code: &str, message: &str) -> Error {
    let fields = format!("S{severity}\0V{severity}\0C{code}\0M{message}\0\0");
    let length = u32::try_from(fields.len() + 4).unwrap().to_be_bytes();
    error_from(&[b"E".as_slice(), &length, fields.as_bytes()].concat()).await
}

#[tokio::test]
async fn every_class_of_sqlstate_is_classified() {
    use Failure::{Refused, Unknown, Unsent};
    // The classification of an error, for a statement and its session, and for an attempt to connect.
    let cases = [
        ("08006", Unknown, true, Unsent),
        ("08007", Unknown, true, Unsent),
        ("0A000", Unsent, true, Unsent),
        ("22012", Refused, false, Refused),
        ("22P02", Refused, false, Refused),
        ("23514", Refused, false, Refused),
        ("25006", Unsent, true, Unsent),
        ("25P02", Unsent, true, Unsent),
        ("26000", Unsent, true, Unsent),
        ("28000", Refused, true, Refused),
        ("28P01", Refused, true, Refused),
        ("3D000", Refused, true, Refused),
        ("3F000", Refused, false, Refused),
        ("40001", Unsent, false, Unsent),
        ("40003", Unknown, true, Unsent),
        ("40P01", Unsent, false, Unsent),
        ("42501", Refused, false, Refused),
        ("42601", Refused, false, Refused),
        ("42703", Refused, false, Refused),
        ("42P01", Refused, false, Refused),
        ("42P05", Unsent, true, Unsent),
        ("53100", Unsent, false, Unsent),
        ("53200", Unsent, false, Unsent),
        ("53300", Unsent, true, Unsent),
        ("54000", Refused, false, Refused),
        ("55P03", Unsent, false, Unsent),
        ("57014", Unsent, false, Unsent),
        ("57P01", Unsent, true, Unsent),
        ("57P03", Unsent, true, Unsent),
        ("58030", Unsent, true, Unsent),
        ("XX000", Unsent, true, Unsent),
        ("ZZ123", Unsent, false, Unsent),
    ];
    for (code, failure, discard, at_connect) in cases {
        let error = answer("ERROR", code, "so it\nis").await;
        let fault = statement(&url(), "renew 3 leases", &error, None);
        assert_eq!((fault.error.failure(), fault.discard), (failure, discard), "{code}");
        assert_eq!(fault.code.as_ref().map(SqlState::code), Some(code));
        let expected =
            format!("postgres://me@db:5432/app: cannot renew 3 leases: so it is (SQLSTATE {code})");
        assert!(fault.error.to_string().starts_with(&expected), "{}", fault.error);
        assert_eq!(connecting(&url(), &error).failure, at_connect, "{code}");

        let fatal = answer("FATAL", code, "it ends").await;
        let fault = statement(&url(), "renew 3 leases", &fatal, None);
        assert_eq!((fault.error.failure(), fault.discard), (Unknown, true), "{code} that ends the session");
    }
}

#[tokio::test]
async fn an_error_says_what_to_do_about_it() {
    let cases = [
        ("22P02", "other columns than Elector"),
        ("25006", "the primary"),
        ("3F000", "create the schema"),
        ("42501", "grant the role"),
        ("42601", "elector schema"),
        ("42P01", "elector migrate"),
        ("55P03", "another transaction"),
        ("57014", "statement_timeout"),
    ];
    for (code, advice) in cases {
        let fault = statement(&url(), "renew 3 leases", &answer("ERROR", code, "it fails").await, None);
        assert!(fault.error.to_string().contains(advice), "{}", fault.error);
    }
}

#[tokio::test]
async fn a_protocol_error_of_a_server_is_one_line() {
    let cases: [(&[u8], Failure, &str); 4] = [
        (b"", Failure::Unsent, "is it a PostgreSQL server?"),
        (b"HTTP/1.1 400 Bad Request\r\n", Failure::Unsent, "is it a PostgreSQL server?"),
        (b"R\0\0\0\x08\0\0\0\x07", Failure::Refused, "unsupported authentication method"),
        (b"R\0\0\0\x08\0\0\0\x03", Failure::Refused, "PGPASSWORD"),
    ];
    for (bytes, failure, expected) in cases {
        let error = error_from(bytes).await;
        let refusal = connecting(&url(), &error);
        assert_eq!(refusal.failure, failure, "{}", refusal.why);
        assert!(refusal.why.contains(expected) && !refusal.why.contains('\n'), "{}", refusal.why);
    }
}

#[tokio::test]
async fn a_lost_connection_leaves_the_outcome_unknown() {
    let closed = error_from(b"").await;
    let fault = statement(&url(), "take 1 lease", &closed, None);
    assert_eq!((fault.error.failure(), fault.discard), (Failure::Unknown, true));
    let reason = ended(&url(), Some(&answer("FATAL", "57P01", "by order of the administrator").await));
    assert_eq!(reason.failure(), Failure::Unsent, "for what is asked after it");
    let fault = statement(&url(), "take 1 lease", &closed, Some(&reason));
    assert_eq!((fault.error.failure(), fault.discard), (Failure::Unknown, true));
    assert!(fault.error.to_string().contains("by order"), "{}", fault.error);
    let fault = timed_out(&url(), "take 1 lease", Duration::from_millis(1500));
    assert_eq!((fault.error.failure(), fault.discard), (Failure::Unknown, true));
    assert!(fault.error.to_string().contains("cannot take 1 lease: no answer within 1500 ms"));
}

#[tokio::test]
async fn no_message_contains_the_password() {
    let errors = [
        answer("ERROR", "42501", "permission denied").await,
        answer("FATAL", "28P01", "password authentication failed").await,
        error_from(b"").await,
        error_from(b"nonsense, and more of it").await,
    ];
    for error in &errors {
        let reason = ended(&url(), Some(error));
        let messages = [
            statement(&url(), "ask", error, None).error.to_string(),
            statement(&url(), "ask", error, Some(&reason)).error.to_string(),
            connecting(&url(), error).why,
            reason.to_string(),
            timed_out(&url(), "ask", Duration::ZERO).error.to_string(),
        ];
        for message in messages {
            assert!(!message.contains("hunter2") && !message.contains('\n'), "{message}");
        }
    }
}
