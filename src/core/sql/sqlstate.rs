//! What an error that PostgreSQL answers with means for the statement that it ended.

use crate::core::lease::Failure;

/// What became of a statement that the server answered with this SQLSTATE (PostgreSQL manual, appendix A),
/// and whether it is of use to try again. `ends_session`: its severity was `FATAL` or `PANIC`.
///
/// One statement is one transaction, so an error that the server answers with means that nothing was done.
/// Where the server itself does not know, or ends the session while it answers, that is unknown: trust must
/// not be extended by it, and a row that it may have taken is looked for.
///
/// ```
/// use elector::core::lease::Failure;
/// use elector::core::sql::sqlstate;
///
/// assert_eq!(sqlstate::failure("40001", false), Failure::Unsent); // could not serialize: again
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
        // A prepared statement that a pooler does not know, or knows already.
        "26000" | "42P05" => return Failure::Unsent,
        // No such database, no such schema.
        "3D000" | "3F000" => return Failure::Refused,
        _ => {}
    }
    match sqlstate.get(..2) {
        Some("08") => Failure::Unknown,
        // Data, constraints, authorization, syntax and access, views, limits.
        Some("22" | "23" | "28" | "42" | "44" | "54") => Failure::Refused,
        _ => Failure::Unsent,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_server_does_not_know_is_unknown_and_what_it_undid_is_not() {
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
}
