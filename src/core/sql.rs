//! All SQL statements. The native stores and the WASM binding both take them from here.
//!
//! Values are passed as bound parameters, except in [`postgres::Table::guard_text`], which quotes them.
//! The statements in [`sqlite`] decide nothing that needs a clock or the kernel: the caller decides whether a
//! lease has expired, inside the transaction that locks the row. The statements in [`postgres`] and
//! [`sqlite_server`] decide by the clock of the machine that the database runs on.

pub mod postgres;
pub mod sqlite;
pub mod sqlite_server;
pub mod sqlstate;
