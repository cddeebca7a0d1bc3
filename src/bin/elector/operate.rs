//! Commands of an operator: `elector migrate` creates the table, `elector release` and `elector break` end a
//! term.
//!
//! The latter two only revoke: the holder fails its next renewal, and no candidate takes over before the
//! lease has expired, when the holder does not trust it any more. So neither can cause two leaders.

use std::io::{self, BufRead, IsTerminal, Write};
use std::time::Duration;

use elector::core::lease::Row;
use elector::core::{FencingToken, Name};
use elector::driver::stores::Store;
use elector::driver::stores::url::StoreUrl;

use crate::exit::Failure;
use crate::options::StoreOption;
use crate::output::{self, clean};
use crate::stores;

/// Runs `elector migrate`.
pub fn migrate(store: &StoreOption) -> Result<u8, Failure> {
    let url = stores::migrate(store)?;
    output::say(format!("{url} is ready"));
    Ok(0)
}

/// Runs `elector release`.
pub fn release(election: &Name, token: FencingToken, store: &StoreOption) -> Result<u8, Failure> {
    let (mut store, url) = stores::open_existing(store)?;
    match store.revoke(election, Some(token)).map_err(Failure::store)? {
        Some(row) => told(election, &row),
        None => Err(match present(&mut *store, election)? {
            Some(row) if row.holder.is_some() && !row.remaining.is_zero() => Failure::no(format!(
                "the term with token {token} of '{election}' is over; the present term is another one ({})",
                describe(&row)
            )),
            Some(_) => Failure::no(format!("the term with token {token} of '{election}' is over")),
            None => unknown(election, &url),
        }),
    }
}

/// Whether `elector break` needs the operator's confirmation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Confirmation {
    /// Ask for it at the terminal.
    Ask,
    /// It was given on the command line (`--yes`).
    Given,
}

/// Runs `elector break`.
pub fn break_term(election: &Name, confirmation: Confirmation, store: &StoreOption) -> Result<u8, Failure> {
    let (mut store, url) = stores::open_existing(store)?;
    let Some(row) = present(&mut *store, election)? else { return Err(unknown(election, &url)) };
    let nothing = || Failure::no(format!("'{election}' has no leader, so there is no term to revoke"));
    if row.remaining.is_zero() {
        return Err(nothing());
    }
    if confirmation == Confirmation::Ask {
        confirm(election, &row)?;
    }
    match store.revoke(election, None).map_err(Failure::store)? {
        Some(row) => told(election, &row),
        None => Err(nothing()),
    }
}

fn confirm(election: &Name, row: &Row) -> Result<(), Failure> {
    if !io::stdin().is_terminal() {
        return Err(Failure::usage(
            "`elector break` asks for confirmation, but standard input is not a terminal; add --yes",
        ));
    }
    let mut err = io::stderr();
    write!(err, "Revoke the present term of '{}' ({})? [y/N] ", clean(election), describe(row))?;
    err.flush()?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    match answer.trim().to_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => Err(Failure::no("not confirmed; the term was not revoked")),
    }
}

fn present(store: &mut dyn Store, election: &Name) -> Result<Option<Row>, Failure> {
    let rows = store.rows(Some(election)).map_err(Failure::store)?;
    Ok(rows.into_iter().next().map(|row| row.row))
}

fn unknown(election: &Name, url: &StoreUrl) -> Failure {
    Failure::no(format!("there is no election '{election}' in {url}; `elector status` lists all elections"))
}

fn told(election: &Name, row: &Row) -> Result<u8, Failure> {
    let next = match row.remaining {
        Duration::ZERO => "another candidate can be elected now".to_owned(),
        remaining => format!("another candidate can be elected in {} ms", remaining.as_millis()),
    };
    output::say(format!("revoked the term of '{}' ({}); {next}", clean(election), describe(row)));
    Ok(0)
}

fn describe(row: &Row) -> String {
    let holder = row.holder.as_ref().map_or("none".into(), |holder| clean(holder.candidate()));
    let token = row.token.map(|token| format!(", token {token}")).unwrap_or_default();
    format!("holder {holder}{token}")
}
