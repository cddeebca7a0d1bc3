//! A plain connection of the test itself, beside the product's.

use tokio_postgres::{Client, NoTls, SimpleQueryMessage};

/// Blocking, and everything as text.
pub struct Session {
    runtime: tokio::runtime::Runtime,
    client: Client,
}

pub type Row = Vec<Option<String>>;

impl Session {
    pub fn open(url: &str) -> Session {
        Session::try_open(url).unwrap_or_else(|error| panic!("the test cannot connect: {error}"))
    }

    pub fn try_open(url: &str) -> Result<Session, String> {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        let runtime = builder.worker_threads(1).enable_all().build().unwrap();
        let connected = runtime.block_on(tokio_postgres::connect(url, NoTls));
        let (client, connection) = connected.map_err(|error| said(&error))?;
        runtime.spawn(connection);
        Ok(Session { runtime, client })
    }

    /// Runs statements, with an error as `SQLSTATE message`.
    pub fn query(&self, sql: &str) -> Result<Vec<Row>, String> {
        let messages = self.runtime.block_on(self.client.simple_query(sql)).map_err(|error| said(&error))?;
        let rows = messages.into_iter().filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some(row),
            _ => None,
        });
        let texts = |row: tokio_postgres::SimpleQueryRow| {
            (0..row.len()).map(|column| row.get(column).map(str::to_owned)).collect()
        };
        Ok(rows.map(texts).collect())
    }

    #[track_caller]
    pub fn run(&self, sql: &str) -> Vec<Row> {
        self.query(sql).unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    /// The one value of the one row.
    #[track_caller]
    pub fn one(&self, sql: &str) -> String {
        let rows = self.run(sql);
        let [row] = &rows[..] else { panic!("{sql} gave {} rows", rows.len()) };
        row[0].clone().unwrap_or_else(|| panic!("{sql} gave NULL"))
    }

    #[track_caller]
    pub fn number(&self, sql: &str) -> i64 {
        self.one(sql).parse().unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    /// When the lease of this election ends, in microseconds since 1970.
    #[track_caller]
    pub fn expiry(&self, election: &str) -> i64 {
        let expiry = "SELECT (extract(epoch FROM expires_at) * 1000000)::bigint FROM leader_lease";
        self.number(&format!("{expiry} WHERE id = '{election}'"))
    }

    /// The columns of the table of leases, by name, with their types.
    #[track_caller]
    pub fn columns(&self) -> String {
        self.one(
            "SELECT string_agg(attname || ' ' || format_type(atttypid, atttypmod), ', ' ORDER BY attname) \
             FROM pg_attribute \
             WHERE attrelid = 'leader_lease'::regclass AND attnum > 0 AND NOT attisdropped",
        )
    }

    /// The client behind it, to run a transaction with.
    pub fn parts(&mut self) -> (&tokio::runtime::Runtime, &mut Client) {
        (&self.runtime, &mut self.client)
    }
}

fn said(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(error) => format!("{} {}", error.code().code(), error.message()),
        None => format!("{error}: {:?}", std::error::Error::source(error).map(ToString::to_string)),
    }
}
