//! What an error of PostgreSQL means: for the statement, for the session and for what the store knows of the
//! table; and what an operator can do about it. Errors are identified by their SQLSTATE (PostgreSQL manual,
//! appendix A).

use alloc::format;
use alloc::string::String;

use crate::core::lease::Failure;

/// Whether the server executed a statement that failed with this SQLSTATE, and whether a retry can succeed.
/// `ends_session`: the severity was `FATAL` or `PANIC`.
///
/// One statement is one transaction, so an error from the server means that nothing was changed. If the
/// server itself does not know the outcome, or ends the session with the error, the outcome is unknown: the
/// operation must not extend trust, and the machine looks for a row that it may have taken.
///
/// ```
/// use elector::core::lease::Failure;
/// use elector::core::sql::sqlstate;
///
/// assert_eq!(sqlstate::failure("40001", false), Failure::Unsent); // could not serialize: retry
/// assert_eq!(sqlstate::failure("42P01", false), Failure::Refused); // no such table
/// assert_eq!(sqlstate::failure("57P01", true), Failure::Unknown); // ended by an administrator
/// ```
#[must_use]
pub fn failure(sqlstate: &str, ends_session: bool) -> Failure {
    if ends_session {
        return Failure::Unknown;
    }
    match sqlstate {
        // The server lost the connection to its client or the outcome of a transaction.
        "08007" | "40003" => return Failure::Unknown,
        // A pooler does not know a prepared statement, or knows it already.
        "26000" | "42P05" => return Failure::Unsent,
        // No such database, no such schema.
        "3D000" | "3F000" => return Failure::Refused,
        _ => {}
    }
    match class(sqlstate) {
        "08" => Failure::Unknown,
        // Data, constraints, authorization, syntax and access, views, limits.
        "22" | "23" | "28" | "42" | "44" | "54" => Failure::Refused,
        _ => Failure::Unsent,
    }
}

/// Whether a session that returned this SQLSTATE must not be used again, although the server did not end it:
/// its state is unknown, or a new session may reach a server that can execute what this server cannot.
#[must_use]
pub fn spoils_session(sqlstate: &str) -> bool {
    match sqlstate {
        "08007" | "0A000" | "26000" | "28P01" | "3D000" | "40003" | "42P05" | "53300" | "55000" => true,
        // A cancelled statement leaves its session usable.
        "57014" => false,
        _ => matches!(class(sqlstate), "08" | "25" | "28" | "57" | "58" | "XX"),
    }
}

/// Whether the error suggests that the table was changed since the store examined it: the table or a column
/// is missing, a column has another type, or the role has lost its privileges.
#[must_use]
pub fn suggests_changed_table(sqlstate: &str) -> bool {
    matches!(sqlstate, "42P01" | "42703" | "42883" | "42804" | "42501" | "0A000")
}

/// Whether the database's encoding lacks a character of a text.
#[must_use]
pub fn lacks_character(sqlstate: &str) -> bool {
    matches!(sqlstate, "22P05" | "22021")
}

/// The text of an error for the user: the server's message, its SQLSTATE, and what to do, unless `advice` is
/// "".
#[must_use]
pub fn explain(message: &str, sqlstate: &str, advice: &str) -> String {
    let separator = if advice.is_empty() { "" } else { "; " };
    format!("{message} (SQLSTATE {sqlstate}){separator}{advice}")
}

/// What to do about an error, or "". `routine` is the server's function that reported the error, if known.
#[must_use]
pub fn advice(sqlstate: &str, routine: Option<&str>) -> &'static str {
    const MAKE_IT: &str =
        "have its owner run what `elector schema --dialect postgres` prints, or `elector migrate`";
    // Row security refuses with the SQLSTATE of missing privileges.
    if let Some("ExecWithCheckOptions" | "check_enable_rls") = routine {
        return "row security is on: have the table's owner make policies that let the role SELECT, INSERT, \
                UPDATE and DELETE the rows of its elections (CREATE POLICY)";
    }
    match sqlstate {
        "0A000" => "if the table was changed meanwhile, the next attempt succeeds",
        "22P05" | "22021" => {
            "the database's encoding lacks a character; use others, or a database whose encoding is UTF8"
        }
        "25006" => "the server takes no writes; the next connection must lead to the primary",
        "26000" | "42P05" => "behind a pooler, turn prepared statements off: set `prepare` to false",
        "28P01" => "check the password in the URL, PGPASSWORD or the password file",
        "3D000" => "create the database, or name another",
        "3F000" => "create the schema, or set `schema` to another",
        "40003" => "",
        "42501" => {
            "grant the role USAGE on the schema and SELECT, INSERT, UPDATE, DELETE on the table; to have the \
             table made, its owner runs what `elector schema --dialect postgres` prints"
        }
        "42703" | "42804" | "42883" | "22P02" => {
            "the table has other columns than Elector's; if nest-leader-election made it, run `elector \
             migrate`; otherwise set `schema` to a schema of its own"
        }
        "53100" => "the server's disk is full; free some space",
        "53300" => "close some connections, or raise the server's limit or the role's",
        "55000" => "if it is a standby, it takes no writes; the next connection must lead to the primary",
        "55P03" => "another transaction holds a lock on the row or the table; Elector retries",
        "57014" => "statement_timeout or an administrator cancelled the statement; Elector retries",
        "57P03" => "the server is starting, stopping or recovering; Elector retries",
        _ => match class(sqlstate) {
            "28" => "check the role, and the server's pg_hba.conf",
            "40" => "Elector retries",
            "22" | "23" | "42" | "44" => MAKE_IT,
            _ => "",
        },
    }
}

/// The class of an SQLSTATE: its first two characters.
fn class(sqlstate: &str) -> &str {
    sqlstate.get(..2).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outcome_that_the_server_does_not_know_is_unknown_and_a_rolled_back_one_is_unsent_or_refused() {
        for (sqlstate, expected) in [
            ("08006", Failure::Unknown),
            ("08007", Failure::Unknown),
            ("40003", Failure::Unknown),
            ("40001", Failure::Unsent),
            ("40P01", Failure::Unsent),
            ("57014", Failure::Unsent),
            ("25006", Failure::Unsent),
            ("42P05", Failure::Unsent),
            ("42P01", Failure::Refused),
            ("42501", Failure::Refused),
            ("28P01", Failure::Refused),
            ("ZZ123", Failure::Unsent),
            ("", Failure::Unsent),
            ("€", Failure::Unsent),
        ] {
            assert_eq!(failure(sqlstate, false), expected, "{sqlstate}");
            assert_eq!(failure(sqlstate, true), Failure::Unknown, "{sqlstate} that ends the session");
        }
    }

    #[test]
    fn a_session_of_unknown_state_is_spoiled_and_one_with_an_ordinary_error_is_not() {
        let spoiled = ["08006", "0A000", "25006", "25P02", "26000", "28000", "28P01", "3D000", "40003"];
        let more = ["42P05", "53300", "55000", "57P01", "57P03", "58030", "XX000"];
        assert!(spoiled.iter().chain(&more).all(|sqlstate| spoils_session(sqlstate)));
        let usable =
            ["22012", "23514", "3F000", "40001", "42501", "42P01", "53100", "55P03", "57014", "ZZ123", "€"];
        assert!(!usable.iter().any(|sqlstate| spoils_session(sqlstate)));
    }

    #[test]
    fn the_advice_follows_the_message_and_the_sqlstate() {
        for (sqlstate, routine, expected) in [
            ("42P01", None, "no such thing (SQLSTATE 42P01); have its owner run"),
            ("42P09", None, "no such thing (SQLSTATE 42P09); have its owner run"),
            ("42501", Some("aclcheck_error"), "no such thing (SQLSTATE 42501); grant the role"),
            ("42501", Some("check_enable_rls"), "no such thing (SQLSTATE 42501); row security is on"),
            ("28000", None, "no such thing (SQLSTATE 28000); check the role"),
        ] {
            let said = explain("no such thing", sqlstate, advice(sqlstate, routine));
            assert!(said.starts_with(expected) && !said.contains('\n'), "{said}");
        }
        for sqlstate in ["40003", "ZZ123", "", "€"] {
            let said = explain("so it is", sqlstate, advice(sqlstate, None));
            assert_eq!(said, format!("so it is (SQLSTATE {sqlstate})"));
        }
    }

    #[test]
    fn a_changed_table_and_a_missing_character_are_known_by_their_codes() {
        assert!(
            ["42P01", "42703", "42883", "42804", "42501", "0A000"].into_iter().all(suggests_changed_table)
        );
        assert!(!["42601", "40001", "", "42"].into_iter().any(suggests_changed_table));
        assert!(lacks_character("22P05") && lacks_character("22021") && !lacks_character("22012"));
    }
}
