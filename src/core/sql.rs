//! Every SQL statement, once. The native stores and the WASM binding both read it from here.
//!
//! The statements carry values only as bound parameters. SQLite's decide nothing that needs a clock or the
//! kernel: whether a lease has ended is judged by the caller, inside the transaction that holds the row.
//! PostgreSQL's decide by the server's own clock.

pub mod postgres;
pub mod sqlite;
pub mod sqlite_server;
pub mod sqlstate;
