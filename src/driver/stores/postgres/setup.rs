//! Checks a server before it is used, and sets up the session.
//!
//! Settings belong to the session, so they are set only without a pooler: a pooler would give the server
//! connection to other clients with these settings. Behind a pooler the statements contain their own
//! settings: see [`DURABLE`](crate::core::sql::postgres::DURABLE).

use std::time::Duration;

use tokio_postgres::{Client, Error, SimpleQueryMessage, SimpleQueryRow};

use super::backend;
use super::config::{PostgresUrl, Statements};
use super::fault::{self, Refusal};
use crate::core::lease::Failure;

/// The oldest supported server version, as `server_version_num`.
const OLDEST: i32 = 130_000;

/// Maximum time that a statement waits for a lock, since other transactions must not delay a batch of
/// renewals. After that the statement fails with 55P03, and nothing of it was executed.
pub(super) const LOCK_TIMEOUT: Duration = Duration::from_millis(500);
/// Maximum time of a statement at the server, so that a statement that this client has given up on ends.
pub(super) const STATEMENT_TIMEOUT: Duration = Duration::from_secs(10);
/// Maximum time that a transaction stays open without a statement, for example while this process is stopped:
/// its locks delay other candidates.
pub(super) const IDLE_IN_TRANSACTION_TIMEOUT: Duration = Duration::from_secs(10);

const ASK: &str = "\
SELECT current_setting('server_version_num') AS version, pg_backend_pid() AS pid,
       pg_is_in_recovery() AS recovery, current_setting('transaction_read_only') AS read_only,
       current_setting('synchronous_commit') AS synchronous_commit,
       current_setting('default_transaction_isolation') AS isolation,
       (SELECT setting FROM pg_settings WHERE name = 'lock_timeout') AS lock_ms,
       (SELECT setting FROM pg_settings WHERE name = 'statement_timeout') AS statement_ms,
       (SELECT setting FROM pg_settings WHERE name = 'idle_in_transaction_session_timeout') AS idle_ms,
       (SELECT setting FROM pg_settings WHERE name = 'idle_session_timeout') AS rest_ms";

/// The server of a session.
#[derive(Clone, Debug)]
pub(super) struct ServerInfo {
    /// The pid of the backend, as in `pg_stat_activity`. Behind a pooler: that of the backend that answered.
    pub backend_pid: i32,
    /// Whether a pooler is in between: then there are no session settings, no `LISTEN`, and no named
    /// statements unless the URL asks for them.
    pub pooled: bool,
    /// How statements are sent: as the URL says, else named unless there is a pooler.
    pub statements: Statements,
    /// Host, port and address, for messages.
    pub endpoint: String,
}

/// Checks that the server can be used, and sets up the session. Two round trips.
pub(super) async fn prepare(
    url: &PostgresUrl,
    client: &Client,
    endpoint: &str,
) -> Result<ServerInfo, Refusal> {
    let announced = backend::announced_pid(client).await;
    let failed = |error: Error| fault::connecting(url, &error);
    let answers = client.simple_query(ASK).await.map_err(failed)?;
    let row = answers.iter().find_map(|answer| match answer {
        SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    });
    let text = |name: &str| row.and_then(|row| column(row, name)).unwrap_or_default();
    let number = |name: &str| text(name).parse::<i32>().unwrap_or_default();
    let (version_num, backend_pid) = (number("version"), number("pid"));
    if version_num < OLDEST {
        return Err(too_old(version_num));
    }
    let (recovery, read_only) = (text("recovery") == "t", text("read_only") == "on");
    if url.read_write && (recovery || read_only) {
        let what = if recovery { "a standby" } else { "read-only (default_transaction_read_only)" };
        let why = format!("it is {what}, and leases are written; give the primary, or promote it");
        return Err(Refusal { failure: Failure::Unsent, why, code: None });
    }
    let pooled = announced != Some(backend_pid);
    if !pooled {
        let limits = [
            ("lock_timeout", "lock_ms", LOCK_TIMEOUT),
            ("statement_timeout", "statement_ms", STATEMENT_TIMEOUT),
            ("idle_in_transaction_session_timeout", "idle_ms", IDLE_IN_TRANSACTION_TIMEOUT),
        ];
        let limits = limits.map(|(setting, column, ours)| limit(setting, number(column), ours));
        let mut settings: Vec<String> = limits.into_iter().flatten().collect();
        settings.extend(raise(text("synchronous_commit")));
        // The session is idle between two batches. Servers before version 14 have no such limit.
        if number("rest_ms") > 0 {
            settings.push("SET idle_session_timeout TO 0".to_owned());
        }
        // At a stricter level the statements would fail with 40001 where they are meant to wait for or skip a
        // row.
        if text("isolation") != "read committed" {
            settings.push("SET default_transaction_isolation TO 'read committed'".to_owned());
        }
        if !settings.is_empty() {
            client.batch_execute(&settings.join("; ")).await.map_err(failed)?;
        }
    }
    let found = if pooled { Statements::Unnamed } else { Statements::Named };
    let statements = url.statements.unwrap_or(found);
    Ok(ServerInfo { backend_pid, pooled, statements, endpoint: endpoint.to_owned() })
}

fn column<'a>(row: &'a SimpleQueryRow, name: &str) -> Option<&'a str> {
    row.try_get(name).ok().flatten()
}

/// The statement that sets a limit, unless the present limit is at least as strict; 0 means no limit.
fn limit(setting: &str, present_ms: i32, ours: Duration) -> Option<String> {
    let ours = ours.as_millis();
    let strict = present_ms > 0 && u128::from(present_ms.unsigned_abs()) <= ours;
    (!strict).then(|| format!("SET {setting} TO {ours}"))
}

/// The statement that raises `synchronous_commit` to `on`, unless it is that or more: if the server lost a
/// renewal in a crash, the lease would expire too early. `remote_apply` is stronger and stays; `local` and
/// `remote_write` are weaker with synchronous standbys.
fn raise(synchronous_commit: &str) -> Option<String> {
    let strong = matches!(synchronous_commit, "on" | "remote_apply");
    (!strong).then(|| "SET synchronous_commit TO on".to_owned())
}

fn too_old(version_num: i32) -> Refusal {
    let (found, oldest) = (version_num / 10_000, OLDEST / 10_000);
    let why = format!("it is PostgreSQL {found}, and elector needs {oldest} or newer; upgrade it");
    Refusal { failure: Failure::Refused, why, code: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_never_loosened() {
        let ten = Duration::from_secs(10);
        assert_eq!(limit("statement_timeout", 0, ten).as_deref(), Some("SET statement_timeout TO 10000"));
        assert!(limit("statement_timeout", 60_000, ten).is_some());
        assert_eq!(limit("statement_timeout", 10_000, ten), None);
        assert_eq!(limit("statement_timeout", 100, ten), None);
    }

    #[test]
    fn a_commit_is_never_weakened() {
        for strong in ["on", "remote_apply"] {
            assert_eq!(raise(strong), None);
        }
        for weak in ["off", "local", "remote_write"] {
            assert!(raise(weak).is_some(), "{weak}");
        }
    }

    #[test]
    fn an_old_server_is_refused_permanently() {
        let refusal = too_old(110_022);
        assert_eq!(refusal.failure, Failure::Refused);
        assert!(refusal.why.contains("PostgreSQL 11") && refusal.why.contains("13 or newer"));
    }
}
