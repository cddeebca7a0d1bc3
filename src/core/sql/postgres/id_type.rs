//! The type of the table's ids, and which elections can be kept under it.

use alloc::format;
use alloc::string::String;

/// The type of the table's `id` column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdType {
    /// Ours: any name.
    Text,
    /// A table that `nest-leader-election` made: elections are numbers.
    Integer,
    /// The same with 64 bits.
    BigInt,
}

impl IdType {
    /// The type with this name in `format_type`, if elections can be kept under it.
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

    /// Whether an election of this name can be kept. A number must be written as the server would show
    /// it, so that two names are never one row.
    #[must_use]
    pub fn holds(self, election: &str) -> bool {
        match self {
            IdType::Text => true,
            IdType::Integer => election.parse::<i32>().is_ok_and(|number| format!("{number}") == election),
            IdType::BigInt => election.parse::<i64>().is_ok_and(|number| format!("{number}") == election),
        }
    }

    /// What to tell who asks for an election that cannot be kept; `None` if it can.
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
    fn a_refused_election_is_told_what_the_table_takes() {
        assert_eq!(IdType::Integer.refusal("7"), None);
        let said = IdType::Integer.refusal("nightly").unwrap();
        assert!(
            said.starts_with("election \"nightly\" cannot be kept, since") && said.contains("integer"),
            "{said}"
        );
    }
}
