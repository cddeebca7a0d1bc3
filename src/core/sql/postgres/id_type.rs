//! The type of the table's `id` column, and the elections that a table with this type can hold.

use alloc::format;
use alloc::string::String;

/// The type of the table's `id` column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdType {
    /// In Elector's own table: an election may have any name.
    Text,
    /// In a table that `nest-leader-election` made: an election is named by a 32-bit number.
    Integer,
    /// In a table that `nest-leader-election` made: an election is named by a 64-bit number.
    BigInt,
}

impl IdType {
    /// The type with this name in PostgreSQL's `format_type`; `None` if `id` cannot have this type.
    #[must_use]
    pub fn from_sql(name: &str) -> Option<IdType> {
        match name {
            "text" | "character varying" => Some(IdType::Text),
            "integer" => Some(IdType::Integer),
            "bigint" => Some(IdType::BigInt),
            _ => None,
        }
    }

    /// The type's name in SQL.
    #[must_use]
    pub fn sql(self) -> &'static str {
        match self {
            IdType::Text => "text",
            IdType::Integer => "integer",
            IdType::BigInt => "bigint",
        }
    }

    /// Whether the table can hold an election of this name. A number must be written as the server prints it,
    /// so that two names never mean the same row.
    #[must_use]
    pub fn holds(self, election: &str) -> bool {
        match self {
            IdType::Text => true,
            IdType::Integer => election.parse::<i32>().is_ok_and(|number| format!("{number}") == election),
            IdType::BigInt => election.parse::<i64>().is_ok_and(|number| format!("{number}") == election),
        }
    }

    /// Why the table cannot hold an election of this name, and what to do; `None` if it can.
    #[must_use]
    pub fn refusal(self, election: &str) -> Option<String> {
        let refusal = || {
            format!(
                "election {election:?} cannot be kept, since the id column of its table leader_lease is {}; \
                 name the election by a number, or set `schema` to a schema of its own",
                self.sql()
            )
        };
        (!self.holds(election)).then(refusal)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_the_id_type_shows_again_are_held() {
        assert!(IdType::Text.holds("nightly") && !IdType::Integer.holds("nightly"));
        assert!(IdType::Integer.holds("-7") && IdType::BigInt.holds("9000000000"));
        for wrong in ["", "07", "+7", " 7", "9000000000", "7.0"] {
            assert!(!IdType::Integer.holds(wrong), "{wrong:?}");
        }
    }

    #[test]
    fn a_refusal_names_the_election_and_the_type_of_the_ids() {
        assert_eq!(IdType::Integer.refusal("7"), None);
        let said = IdType::Integer.refusal("nightly").unwrap();
        assert!(
            said.starts_with("election \"nightly\" cannot be kept, since") && said.contains("integer"),
            "{said}"
        );
    }
}
