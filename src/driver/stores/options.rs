//! Options that decide what opening a store may do.

/// What opening a store does where the SQLite database or the PostgreSQL table is missing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum IfMissing {
    /// Creates the database or the table, and completes a table that lacks columns. The default.
    #[default]
    Create,
    /// Creates nothing. A missing SQLite database is an empty store, and each call looks for the file again;
    /// a missing or incomplete PostgreSQL table is an error.
    Leave,
}

/// Whether a SQLite database may be on a file system in user space (FUSE).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Fuse {
    /// Refuses the database, since other machines may share the file system. The default.
    #[default]
    Refuse,
    /// Accepts the database, because the user says that the file system is local
    /// (`?filesystem=local`). Danger: if another machine shares it after all, two leaders are possible, since
    /// neither SQLite's locks nor the boot clock reach from one machine to the other.
    TrustAsLocal,
}

/// How to open a SQLite database.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct SqliteOptions {
    /// What to do where there is no database.
    pub if_missing: IfMissing,
    /// Whether the database may be on a file system in user space.
    pub fuse: Fuse,
}
