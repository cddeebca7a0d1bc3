//! Verdicts on an existing table `leader_lease`: whether it can hold leases, and whether row security hides
//! it from the role. Also the errors for texts that it cannot hold and for rows that are locked. Each error
//! says what was found and what to do; the caller puts the store's name before it.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::{IdType, Table, quote_identifier};
use crate::core::Name;

/// The columns that the table must have, with the permitted types of each.
const COLUMNS: [(&str, &[&str]); 7] = [
    ("id", &["text", "character varying", "integer", "bigint"]),
    ("leader_id", &["text", "character varying"]),
    ("expires_at", &["timestamp with time zone"]),
    ("created_at", &["timestamp with time zone"]),
    ("token", &["bigint"]),
    ("lease_ms", &["bigint"]),
    ("meta", &["text", "character varying"]),
];
/// The number of these columns, from the first on, that a table of `nest-leader-election` has too.
const THEIRS: usize = 4;
/// The maximum lengths of an election's name, and of a candidate's name with its `#` and 16 digits.
const LONGEST: [(&str, usize); 2] = [("id", Name::MAX_BYTES), ("leader_id", Name::MAX_BYTES + 17)];
/// Minimum number of digits of a second in an expiry. With fewer, rounding would end a lease too early, and
/// the statements that end a lease need milliseconds.
const FEWEST_DIGITS: i32 = 3;

/// A column of the table as [`Table::COLUMNS`] shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Its type's name in `format_type`.
    pub kind: String,
    /// The maximum length of a text, or the digits of a second; `None` without a limit.
    pub modifier: Option<i32>,
    /// The column alone has a unique index.
    pub is_key: bool,
    /// The server refuses a row without a value for the column.
    pub is_demanded: bool,
    /// The whole table survives a crash of the server.
    pub is_logged: bool,
}

/// Whether a table can hold leases.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The table can hold leases, under ids of this type.
    Usable(IdType),
    /// There is no table, or it lacks columns, which [`Table::migrate`] adds. The text says why the table
    /// cannot be used in its present state.
    Incomplete(String),
    /// The table has another shape, and Elector must not change it. The text says why it cannot be used.
    Unusable(String),
}

impl Verdict {
    /// The type of the table's ids.
    ///
    /// # Errors
    /// When the table cannot be used; the text says why.
    pub fn id_type(self) -> Result<IdType, String> {
        match self {
            Verdict::Usable(id) => Ok(id),
            Verdict::Incomplete(why) | Verdict::Unusable(why) => Err(why),
        }
    }
}

/// Judges a table in `schema` by its columns; without columns there is no table.
#[must_use]
pub fn judge(schema: &str, columns: &[Column]) -> Verdict {
    if columns.is_empty() {
        let found = format!("there is no table leader_lease in schema {schema:?}");
        return Verdict::Incomplete(incomplete(schema, &found, "make it"));
    }
    // The types of the first columns are checked before missing columns, because a migration cannot mend a
    // table of another program.
    if let Some(problem) = misfit(columns, THEIRS) {
        return Verdict::Unusable(unusable(schema, &problem));
    }
    if let Some((name, _)) = COLUMNS.iter().find(|(name, _)| column(columns, name).is_none()) {
        let found = format!("the table leader_lease in schema {schema:?} has no column {name}");
        return Verdict::Incomplete(incomplete(schema, &found, "add what is missing"));
    }
    if let Some(problem) = misfit(columns, COLUMNS.len()) {
        return Verdict::Unusable(unusable(schema, &problem));
    }
    let id = column(columns, "id").and_then(|id| IdType::from_sql(&id.kind));
    Verdict::Usable(id.unwrap_or(IdType::Text))
}

fn column<'a>(columns: &'a [Column], name: &str) -> Option<&'a Column> {
    columns.iter().find(|column| column.name == name)
}

fn incomplete(schema: &str, found: &str, what: &str) -> String {
    format!(
        "{found}; {what} with `elector migrate` as its owner, or with what `elector \
         schema --dialect postgres --schema {schema}` prints"
    )
}

fn unusable(schema: &str, problem: &str) -> String {
    format!("the table leader_lease in schema {schema:?} cannot be used: {problem}")
}

/// Why the table cannot be used, and what to do: a problem of its first `first` columns, of its key, of a
/// column of another program, or of its persistence.
fn misfit(columns: &[Column], first: usize) -> Option<String> {
    for (wanted, types) in &COLUMNS[..first] {
        let found = column(columns, wanted);
        let Some(column) = found.filter(|column| types.contains(&column.kind.as_str())) else {
            let found = found.map_or("missing", |column| &column.kind);
            let needed = types.join(" or ");
            return Some(format!(
                "column {wanted} is {found}, and {needed} is needed; set `schema` to a schema of its own"
            ));
        };
        if let Some(problem) = too_narrow(column) {
            return Some(problem);
        }
    }
    if !columns.iter().any(|column| column.name == "id" && column.is_key) {
        return Some("it has no unique index on its column id; make id its primary key".to_owned());
    }
    let is_foreign = |column: &&Column| COLUMNS.iter().all(|(name, _)| *name != column.name);
    if let Some(Column { name, .. }) = columns.iter().filter(is_foreign).find(|column| column.is_demanded) {
        return Some(format!(
            "its column {name} is NOT NULL, and elector has no value for it; give it a default"
        ));
    }
    let is_lost = columns.iter().any(|column| !column.is_logged);
    is_lost.then(|| {
        "it is UNLOGGED, so a crash of the server would empty it while a leader trusts its row; run ALTER \
         TABLE … SET LOGGED"
            .to_owned()
    })
}

/// Why a column of a permitted type cannot hold all values that Elector writes.
fn too_narrow(column: &Column) -> Option<String> {
    let (name, modifier) = (&column.name, column.modifier?);
    if column.kind.starts_with("timestamp") {
        let is_coarse = modifier < FEWEST_DIGITS;
        return is_coarse.then(|| {
            format!(
                "column {name} keeps {modifier} digits of a second, and {FEWEST_DIGITS} are needed; make it \
                 timestamptz"
            )
        });
    }
    if name == "meta" {
        return Some(format!("column meta takes {modifier} characters only; make it text"));
    }
    let (_, longest) = LONGEST.iter().find(|(longest, _)| longest == name)?;
    let is_short = usize::try_from(modifier).is_ok_and(|modifier| modifier < *longest);
    is_short
        .then(|| format!("column {name} takes {modifier} characters, and {longest} are needed; make it text"))
}

/// The commands for which row security lets the session's role see or write no row at all. A hidden row looks
/// like a row that is absent or locked, so the store checks for hidden rows and reports them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hidden {
    role: String,
    commands: Vec<String>,
}

impl Hidden {
    /// Built from the columns `role` and `hidden` that [`Table::COLUMNS`] returns.
    #[must_use]
    pub fn new(role: &str, commands: Option<&str>) -> Hidden {
        let commands = commands.map(|list| list.split(", ").map(str::to_owned).collect());
        Hidden { role: role.to_owned(), commands: commands.unwrap_or_default() }
    }

    /// Why the table in `schema` cannot be used for the `needed` commands; `None` if row security hides it
    /// from none of them.
    #[must_use]
    pub fn refusal(&self, schema: &str, needed: &[&str]) -> Option<String> {
        let is_needed = |command: &&str| needed.contains(command);
        let hidden: Vec<&str> = self.commands.iter().map(String::as_str).filter(is_needed).collect();
        if hidden.is_empty() {
            return None;
        }
        let (role, hidden, table) = (&self.role, hidden.join(", "), Table::new(schema, IdType::Text));
        Some(format!(
            "row security hides table leader_lease from role {role:?}: no policy allows {hidden}; have its \
             owner run CREATE POLICY elector ON {} TO {} USING (true) WITH CHECK (true)",
            table.name(),
            quote_identifier(role)
        ))
    }
}

/// The commands that a candidate runs on the table. Where ids are numbers, a release deletes the row.
#[must_use]
pub fn commands_of_candidates(id: IdType) -> &'static [&'static str] {
    match id {
        IdType::Text => &["SELECT", "INSERT", "UPDATE"],
        IdType::Integer | IdType::BigInt => &["SELECT", "INSERT", "UPDATE", "DELETE"],
    }
}

/// Why a role that lacks these privileges, as [`Table::LACKING`] returns them, cannot campaign; `None` if it
/// lacks none.
#[must_use]
pub fn lacking_refusal(role: &str, table: &Table, lacking: &[String]) -> Option<String> {
    if lacking.is_empty() {
        return None;
    }
    let (lacking, table) = (lacking.join(", "), table.name());
    Some(format!(
        "permission denied for table leader_lease: role {role:?} lacks {lacking}; have its owner run GRANT \
         SELECT, INSERT, UPDATE, DELETE ON {table} TO {}",
        quote_identifier(role)
    ))
}

/// The error for an operation that left a row unchanged because another transaction has locked it. `asked`
/// completes "cannot …".
#[must_use]
pub fn busy(asked: &str, election: &str) -> String {
    format!(
        "cannot {asked}: another transaction holds the row of election {election:?}; Elector retries \
         (`elector status` names the backend of that transaction)"
    )
}

/// The error for a text with a character that the database's `encoding` cannot store. `what` is the text's
/// purpose: "election", "candidate", "meta text".
#[must_use]
pub fn encoding_lacks(encoding: &str, what: &str, text: &str) -> String {
    let shown: String = text.chars().take(80).collect();
    format!(
        "the {what} {shown:?} cannot be kept, since the encoding of the database is {encoding}, which lacks \
         a character of it; use other characters, or a database whose encoding is UTF8"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The columns of a table that can be used.
    fn ours() -> Vec<Column> {
        let column = |(name, types): &(&str, &[&str])| Column {
            name: (*name).to_owned(),
            kind: types[0].to_owned(),
            modifier: None,
            is_key: *name == "id",
            is_demanded: *name == "leader_id",
            is_logged: true,
        };
        COLUMNS.iter().map(column).collect()
    }

    /// The verdict on a table that can be used, after this change to its column of this name.
    fn changed(name: &str, change: impl Fn(&mut Column)) -> Verdict {
        let mut columns = ours();
        columns.iter_mut().filter(|column| column.name == name).for_each(change);
        judge("jobs", &columns)
    }

    #[test]
    fn a_table_of_ours_is_used_under_the_type_of_its_ids() {
        assert_eq!(judge("jobs", &ours()), Verdict::Usable(IdType::Text));
        for (kind, id) in
            [("character varying", IdType::Text), ("integer", IdType::Integer), ("bigint", IdType::BigInt)]
        {
            assert_eq!(changed("id", |column| column.kind = kind.to_owned()), Verdict::Usable(id));
        }
    }

    #[test]
    fn what_a_migration_can_add_is_incomplete() {
        let nest = &ours()[..THEIRS];
        for (columns, found) in [
            (&[][..], "there is no table leader_lease in schema \"jobs\"; make it with `elector migrate`"),
            (nest, "the table leader_lease in schema \"jobs\" has no column token; add what is missing with"),
        ] {
            let Verdict::Incomplete(why) = judge("jobs", columns) else { panic!("{columns:?}") };
            assert!(why.starts_with(found) && why.contains("--schema jobs` prints"), "{why}");
        }
    }

    #[test]
    fn a_table_that_is_not_ours_or_would_fail_later_is_unusable() {
        type Change = fn(&mut Column);
        let changes: [(&str, Change, &str); 10] = [
            ("id", |column| column.kind = "uuid".into(), "column id is uuid, and text or character varying"),
            (
                "created_at",
                |column| column.name = "since".into(),
                "column created_at is missing, and timestamp",
            ),
            (
                "token",
                |column| column.kind = "integer".into(),
                "column token is integer, and bigint is needed",
            ),
            ("id", |column| column.modifier = Some(254), "id takes 254 characters, and 255 are needed"),
            ("leader_id", |column| column.modifier = Some(271), "takes 271 characters, and 272 are needed"),
            ("meta", |column| column.modifier = Some(9), "meta takes 9 characters only"),
            (
                "expires_at",
                |column| column.modifier = Some(2),
                "keeps 2 digits of a second, and 3 are needed",
            ),
            ("id", |column| column.is_key = false, "no unique index on its column id"),
            ("id", |column| column.is_logged = false, "UNLOGGED"),
            ("meta", |column| column.kind = "jsonb".into(), "column meta is jsonb"),
        ];
        for (name, change, expected) in changes {
            let Verdict::Unusable(why) = changed(name, change) else { panic!("{name}: {expected}") };
            assert!(why.starts_with("the table leader_lease in schema \"jobs\" cannot be used: "), "{why}");
            assert!(why.contains(expected) && why.contains("; ") && !why.contains('\n'), "{why}");
        }
        for (name, modifier) in [("id", 255), ("leader_id", 272), ("created_at", 3)] {
            let verdict = changed(name, |column| column.modifier = Some(modifier));
            assert_eq!(verdict, Verdict::Usable(IdType::Text), "{name}");
        }
    }

    #[test]
    fn a_column_of_others_must_need_no_value() {
        let mut columns = ours();
        columns.push(Column { name: "team".into(), is_key: false, ..columns[0].clone() });
        assert_eq!(judge("jobs", &columns), Verdict::Usable(IdType::Text));
        columns[7].is_demanded = true;
        let Verdict::Unusable(why) = judge("jobs", &columns) else { panic!() };
        assert!(why.contains("its column team is NOT NULL"), "{why}");
    }

    #[test]
    fn only_what_is_hidden_and_needed_is_refused() {
        let hidden = Hidden::new("a\"b", Some("UPDATE, DELETE"));
        let of = |id| hidden.refusal("jobs", commands_of_candidates(id));
        let said = of(IdType::Text).unwrap();
        assert!(said.contains("no policy allows UPDATE; have its owner run CREATE POLICY"), "{said}");
        assert!(said.contains("ON \"jobs\".leader_lease TO \"a\"\"b\" USING"), "{said}");
        assert!(of(IdType::BigInt).unwrap().contains("no policy allows UPDATE, DELETE;"));
        assert_eq!(hidden.refusal("jobs", &["SELECT"]), None);
        assert_eq!(Hidden::new("me", None).refusal("jobs", commands_of_candidates(IdType::Text)), None);
    }

    #[test]
    fn rights_that_are_lacking_are_named_with_their_grant() {
        let table = Table::new("jobs", IdType::Text);
        assert_eq!(lacking_refusal("me", &table, &[]), None);
        let said = lacking_refusal("me", &table, &["INSERT".into(), "UPDATE".into()]).unwrap();
        assert!(said.contains("role \"me\" lacks INSERT, UPDATE; have its owner run GRANT SELECT"), "{said}");
    }
}
