//! The SQL that JavaScript's SQLite clients run, beside the native store on one file: neither takes what the
//! other holds, and tokens grow across both.

use std::sync::Arc;
use std::time::Duration;

use elector::core::lease::{Acquire, LeaderId, Op, Outcome, Request, RequestId, Row};
use elector::core::sql::sqlite_server as sql;
use elector::core::{FencingToken, Name};
use elector::driver::clock;
use elector::driver::stores::sqlite::SqliteStore;
use elector::driver::stores::{Job, SqliteOptions, Store};
use rusqlite::{Connection, OptionalExtension};
use serde_json::{Value, json};

/// A lease of which half outlasts every test.
const LEASE: Duration = Duration::from_secs(240);
const SHORT: Duration = Duration::from_millis(300);

/// A client as JavaScript has one: it knows the statements, and nothing of locks and boots.
struct Client(Connection);

impl Client {
    /// The first column that is named, of the first row of the answer.
    fn first(&self, text: &str, element: Value, column: &str) -> Option<i64> {
        let mut statement = self.0.prepare(text).unwrap();
        let row = statement.query_row([json!([element]).to_string()], |row| row.get(column));
        row.optional().unwrap().flatten()
    }

    fn acquire(&self, lease: Duration) -> Option<i64> {
        let element = json!({ "id": "e", "holder": "js#1", "lease_ms": lease.as_millis() as u64,
                              "condition": "any", "meta": null, "token": null, "expires_us": null });
        self.first(&sql::acquire(), element, "token")
    }

    fn acquire_at_last(&self, lease: Duration) -> i64 {
        loop {
            match self.acquire(lease) {
                Some(token) => return token,
                None => std::thread::sleep(Duration::from_millis(2)),
            }
        }
    }

    fn renew(&self, token: i64) -> bool {
        let element = json!({ "id": "e", "holder": "js#1", "token": token, "lease_ms": 240_000 });
        self.first(&sql::renew(), element, "token").is_some()
    }

    fn release(&self, token: i64) -> bool {
        let element = json!({ "id": "e", "holder": "js#1", "token": token });
        self.first(&sql::release(), element, "token").is_some()
    }

    fn remaining_us(&self) -> i64 {
        self.first(&sql::look(), json!({ "id": "e" }), "remaining_us").unwrap()
    }
}

/// The native store.
struct Native(SqliteStore);

impl Native {
    fn ask(&mut self, op: Op) -> Outcome {
        let deadline = clock::now().saturating_add(Duration::from_secs(60));
        let election = Name::new("election", "e").unwrap();
        let job = Job { election, request: Request { id: RequestId(1), deadline, op } };
        self.0.execute(&[job]).remove(0).reply.outcome
    }

    fn acquire(&mut self, lease: Duration) -> Outcome {
        self.ask(Op::Acquire(Acquire { holder: holder(), meta: None, lease, unchanged: None }))
    }

    fn granted(&mut self, lease: Duration) -> FencingToken {
        loop {
            match self.acquire(lease) {
                Outcome::Granted { token } => return token,
                Outcome::Seen(_) => std::thread::sleep(Duration::from_millis(2)),
                other => panic!("{other:?}"),
            }
        }
    }

    fn look(&mut self) -> Row {
        match self.ask(Op::Look) {
            Outcome::Seen(Some(row)) => row,
            other => panic!("{other:?}"),
        }
    }
}

fn holder() -> LeaderId {
    LeaderId::new(&Name::new("candidate", "native").unwrap(), 1)
}

fn open() -> (tempfile::TempDir, Native, Client) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().canonicalize().unwrap().join("leases.db");
    let native = Native(SqliteStore::open(&path, SqliteOptions::default(), Arc::new(|_| {})).unwrap());
    let client = Client(Connection::open(&path).unwrap());
    client.0.busy_timeout(Duration::from_secs(60)).unwrap();
    client.0.execute_batch(&sql::create_table()).unwrap();
    (directory, native, client)
}

#[test]
fn neither_takes_what_the_other_holds_and_tokens_grow_across_both() {
    let (_directory, mut native, client) = open();
    let first = client.acquire(LEASE).unwrap();
    let row = match native.acquire(LEASE) {
        Outcome::Seen(Some(row)) => row,
        other => panic!("the native store took a lease that lasts: {other:?}"),
    };
    assert_eq!(row.holder.unwrap().as_str(), "js#1");
    assert!(row.remaining > LEASE / 2 && row.remaining <= LEASE, "{:?}", row.remaining);
    assert!(client.renew(first) && client.release(first) && !client.renew(first));

    let second = native.granted(LEASE);
    assert!(second.get() as i64 > first);
    assert_eq!(client.acquire(LEASE), None, "the client took a lease that lasts");
    assert!(client.remaining_us() > 120_000_000);
    assert!(!client.renew(second.get() as i64) && !client.release(second.get() as i64));
    assert_eq!(native.ask(Op::Renew { token: second, holder: holder(), lease: LEASE }), Outcome::Renewed);
    assert_eq!(native.ask(Op::Release { token: second, holder: holder() }), Outcome::Released);
    assert!(client.acquire_at_last(LEASE) > second.get() as i64);
}

#[test]
fn each_takes_over_what_the_other_let_end_and_not_before() {
    let (_directory, mut native, client) = open();
    let granted = clock::now();
    let first = client.acquire(SHORT).unwrap();
    let second = native.granted(SHORT);
    let waited = clock::now().saturating_since(granted);
    // SQLite's clock has whole milliseconds.
    assert!(waited + Duration::from_millis(1) >= SHORT, "{waited:?}");
    assert!(!client.renew(first));
    let third = client.acquire_at_last(LEASE);
    let waited = clock::now().saturating_since(granted);
    assert!(waited + Duration::from_millis(2) >= 2 * SHORT, "{waited:?}");
    assert!(third > second.get() as i64);
    let renewal = native.ask(Op::Renew { token: second, holder: holder(), lease: LEASE });
    assert_eq!(renewal, Outcome::Lost);
    assert_eq!(native.look().token.unwrap().get() as i64, third);
}

#[test]
fn a_row_of_a_client_is_no_boots_and_no_process_holds_it() {
    let (_directory, mut native, client) = open();
    client.acquire(LEASE).unwrap();
    let (boot, lock): (String, Option<i64>) = client
        .0
        .query_row("SELECT boot_id, process_lock FROM leader_lease", [], |row| Ok((row.get(0)?, row.get(1)?)))
        .unwrap();
    assert_eq!((boot.as_str(), lock), (sql::BOOT, None));
    // That the client is gone tells the native store nothing: only the lease ends.
    drop(client);
    assert!(matches!(native.acquire(LEASE), Outcome::Seen(Some(_))));
}

#[test]
fn tokens_grow_across_both_though_a_client_cleaned_up() {
    let (_directory, mut native, client) = open();
    let ends = |token: i64| {
        let text = "UPDATE leader_lease SET token = ?1, expires_at = 0, expires_wall = 0 WHERE id = 'e'";
        client.0.execute(text, [token]).unwrap();
    };
    let raise = || {
        let floor = client.0.query_row(&sql::raise_floor(), [], |row| row.get::<_, i64>("token"));
        floor.optional().unwrap()
    };
    let clean_up = || client.0.execute(&sql::clean_up(), []).unwrap();
    // As if the clock had been ahead.
    let first = client.acquire(LEASE).unwrap() + 1_000_000_000_000;
    assert_eq!((raise(), clean_up()), (None, 0), "it lasts");
    ends(first);
    assert_eq!(clean_up(), 0, "no floor covers it yet");
    assert_eq!((raise(), clean_up()), (Some(first), 1));
    let second = native.granted(LEASE);
    assert!(second.get() as i64 > first);
    // A row of the native store is that store's to remove: its clock decides.
    ends(second.get() as i64);
    assert_eq!((raise(), clean_up()), (None, 0));
}
