//! Errors of the PostgreSQL store, each in one line: what was attempted, what was found, what to do. Each is
//! classified for the operation and for the session in which it happened.

use std::error::Error as _;
use std::fmt::Display;
use std::io;
use std::time::Duration;

use tokio_postgres::Error;
use tokio_postgres::error::{DbError, Severity, SqlState};

use super::config::PostgresUrl;
use super::tls;
use crate::core::Name;
use crate::core::lease::Failure;
use crate::core::sql::postgres::judged;
use crate::core::sql::sqlstate;
use crate::driver::host::descriptor_limit;
use crate::driver::stores::StoreError;

/// An error of a session that was connected.
#[derive(Debug)]
pub(super) struct Fault {
    /// The error for the lease machine and for display.
    pub error: StoreError,
    /// Whether the session must not be used again.
    pub discard: bool,
    /// The SQLSTATE, if the server sent the error.
    pub code: Option<SqlState>,
}

/// The reason why one server could not be used.
pub(super) struct Refusal {
    /// [`Failure::Unsent`] if it may be temporary, else [`Failure::Refused`].
    pub failure: Failure,
    pub why: String,
    pub code: Option<SqlState>,
}

/// The error of a failed statement. `asked` completes "cannot …"; `closed` is the reason why the connection
/// ended, if it did. If the connection was lost, the statement may have been executed or not.
pub(super) fn statement(url: &PostgresUrl, asked: &str, error: &Error, closed: Option<&StoreError>) -> Fault {
    if let Some(answer) = error.as_db_error() {
        let fatal = is_fatal(answer);
        let message = format!("{url}: cannot {asked}: {}", describe_with_advice(answer));
        return Fault {
            error: StoreError::new(sqlstate::failure(answer.code().code(), fatal), message),
            discard: fatal || sqlstate::spoils_session(answer.code().code()),
            code: Some(answer.code().clone()),
        };
    }
    let (failure, discard, found) = match kind(error) {
        Kind::Io(cause) => (Failure::Unknown, true, format!("the connection was lost ({cause})")),
        // The values did not match the parameters' types, so nothing was sent.
        Kind::Parameter => (Failure::Unsent, false, one_line(full(error))),
        Kind::Answer => {
            let advice = "does the table have the columns that `elector schema --dialect postgres` prints?";
            (Failure::Unknown, false, format!("{}; {advice}", one_line(full(error))))
        }
        Kind::Closed => match closed {
            // The reason is a complete message.
            Some(reason) => {
                return Fault {
                    error: StoreError::new(Failure::Unknown, reason.to_string()),
                    discard: true,
                    code: None,
                };
            }
            None => (Failure::Unknown, true, "the connection was lost".to_owned()),
        },
        _ => (Failure::Unknown, true, one_line(full(error))),
    };
    Fault { error: StoreError::new(failure, format!("{url}: cannot {asked}: {found}")), discard, code: None }
}

/// The error of a statement that was not answered in time. It may still be executed, and its answer must not
/// be taken for that of a later statement.
pub(super) fn timed_out(url: &PostgresUrl, asked: &str, after: Duration) -> Fault {
    let found = format!("{url}: cannot {asked}: no answer within {} ms", after.as_millis());
    let message = format!("{found}; the server or the network hangs, or another transaction holds a lock");
    Fault { error: StoreError::new(Failure::Unknown, message), discard: true, code: None }
}

/// The error of a job that was not executed because another transaction has locked the election's row.
pub(super) fn busy(url: &PostgresUrl, asked: &str, election: &Name) -> StoreError {
    StoreError::new(Failure::Unsent, format!("{url}: {}", judged::busy(asked, election)))
}

/// The error of a connection that ended while no statement was outstanding. Later statements are not
/// executed.
pub(super) fn ended(url: &PostgresUrl, error: Option<&Error>) -> StoreError {
    let found = match error {
        None => "the connection was closed".to_owned(),
        Some(error) => match (error.as_db_error(), kind(error)) {
            (Some(answer), _) => format!("the server ended the session: {}", describe_with_advice(answer)),
            (None, Kind::Io(cause)) => format!("the connection was lost ({cause})"),
            (None, Kind::Closed) => {
                "the server closed the connection without an error message; see its log".to_owned()
            }
            (None, _) => format!("the connection broke: {}", one_line(full(error))),
        },
    };
    StoreError::new(Failure::Unsent, format!("{url}: {found}"))
}

/// The error after the wait for a synchronous standby was cancelled: commits that were executed may be lost.
pub(super) fn not_replicated(url: &PostgresUrl, notice: &DbError) -> StoreError {
    let found = format!("{}; the connection is given up", describe(notice, ""));
    StoreError::new(Failure::Unsent, format!("{url}: {found}"))
}

/// The error of a server that refused the connection or could not be reached. Nothing was executed.
pub(super) fn connecting(url: &PostgresUrl, error: &Error) -> Refusal {
    if let Some(answer) = error.as_db_error() {
        let failure = match sqlstate::failure(answer.code().code(), false) {
            Failure::Refused => Failure::Refused,
            _ => Failure::Unsent,
        };
        let advice = match answer.code().code() {
            "42501" => "grant the role CONNECT on it",
            // PgBouncer sends it for an unknown database, and for `options`, which it does not pass on.
            "08P01" => "if there is a pooler, check its configuration and leave out `options`",
            code if ["22", "42", "55"].contains(&&code[..2]) => "check `options` in the URL and PGOPTIONS",
            code => sqlstate::advice(code, None),
        };
        return Refusal { failure, why: describe(answer, advice), code: Some(answer.code().clone()) };
    }
    if let Some(cause) = tls::find_error(error) {
        return Refusal { failure: Failure::Refused, why: tls::explain(&url.tls, cause), code: None };
    }
    let (failure, why) = match kind(error) {
        Kind::Io(cause) => (Failure::Unsent, unreachable(cause)),
        Kind::Tls => (
            Failure::Refused,
            format!(
                "the server offers no TLS, and sslmode={} needs it; switch it on there (ssl = on), or give \
                 sslmode=prefer",
                url.tls.mode.name()
            ),
        ),
        Kind::Config => (
            Failure::Refused,
            "the server asks for a password, and there is none; give one in the URL, in PGPASSWORD or in the \
             password file"
                .to_owned(),
        ),
        Kind::Authentication(cause) => (
            Failure::Refused,
            format!("authentication failed ({cause}); check channel_binding, and the server's pg_hba.conf"),
        ),
        Kind::Closed => {
            (Failure::Unsent, "the connection was closed at once; is it a PostgreSQL server?".to_owned())
        }
        _ => (Failure::Unsent, format!("{}; is it a PostgreSQL server?", one_line(full(error)))),
    };
    Refusal { failure, why, code: None }
}

/// The reason why a server cannot be reached, with advice.
pub(super) fn unreachable(error: &io::Error) -> String {
    if let Some(advice) = descriptor_limit::advice(error) {
        return format!("{}: {advice}", one_line(error));
    }
    let advice = match error.kind() {
        io::ErrorKind::ConnectionRefused => "; is the server running on this port?",
        io::ErrorKind::NotFound => "; is the server running, and is this its socket's directory?",
        io::ErrorKind::PermissionDenied => "; give this user access to the server's socket",
        io::ErrorKind::TimedOut => "; check the address and the firewall",
        io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData | io::ErrorKind::Other => {
            "; is it a PostgreSQL server?"
        }
        _ => "",
    };
    format!("{}{advice}", one_line(error))
}

/// Whether the server ends the session after this error.
fn is_fatal(answer: &DbError) -> bool {
    match answer.parsed_severity() {
        Some(severity) => matches!(severity, Severity::Fatal | Severity::Panic),
        None => matches!(answer.severity(), "FATAL" | "PANIC"),
    }
}

/// The server's message with advice for its SQLSTATE.
fn describe_with_advice(answer: &DbError) -> String {
    describe(answer, sqlstate::advice(answer.code().code(), answer.routine()))
}

fn describe(answer: &DbError, advice: &str) -> String {
    sqlstate::explain(&one_line(answer.message()), answer.code().code(), advice)
}

/// The kind of an error that the server did not send. `tokio_postgres` reveals it only in the message.
enum Kind<'a> {
    Io(&'a io::Error),
    Tls,
    Closed,
    Config,
    Authentication(String),
    Parameter,
    Answer,
    Other,
}

fn kind(error: &Error) -> Kind<'_> {
    let cause = error.source();
    let words = error.to_string();
    // Checked before I/O errors, since errors of SCRAM are wrapped in one.
    if words.starts_with("authentication error") {
        return Kind::Authentication(cause.map_or(String::new(), one_line));
    }
    if let Some(io) = cause.and_then(|cause| cause.downcast_ref::<io::Error>()) {
        return Kind::Io(io);
    }
    match words.as_str() {
        _ if error.is_closed() => Kind::Closed,
        "error performing TLS handshake" => Kind::Tls,
        "invalid configuration" => Kind::Config,
        _ if words.starts_with("error serializing") || words.starts_with("expected ") => Kind::Parameter,
        _ if words.contains("column") || words.contains("number of rows") => Kind::Answer,
        _ => Kind::Other,
    }
}

/// The error with its cause.
fn full(error: &Error) -> String {
    match error.source() {
        Some(cause) => format!("{error} ({cause})"),
        None => error.to_string(),
    }
}

pub(super) fn one_line(text: impl Display) -> String {
    text.to_string().split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests;
