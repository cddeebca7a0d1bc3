//! `elector status`: who leads which election.

use std::io;

use elector::core::lease::Row;
use elector::driver::stores::ElectionRow;
use serde::Serialize;

use crate::exit::Failure;
use crate::options::StatusOptions;
use crate::output::{self, Colour, Table};
use crate::stores;

/// One election as `--json` shows it.
#[derive(Serialize)]
struct Line<'a> {
    election: &'a str,
    /// `held`, `expired`, `revoked` or `vacant`.
    state: &'static str,
    /// The leader's name; null without a leader.
    candidate: Option<&'a str>,
    /// The leader's name and incarnation.
    leader: Option<&'a str>,
    /// The token of this term, or of the last one.
    token: Option<u64>,
    /// When the term began, by the store's clock.
    since_ms: i64,
    /// How long until another candidate may take over; 0: now.
    remaining_ms: u64,
    meta: Option<&'a str>,
}

/// A remark of the store for the operator, as `--json` shows it.
#[derive(Serialize)]
struct Remark<'a> {
    remark: &'a str,
}

impl<'a> Line<'a> {
    fn of(row: &'a ElectionRow) -> Line<'a> {
        let leader = row.leader();
        Line {
            election: &row.election,
            state: state(&row.row),
            candidate: leader.map(|leader| leader.candidate()),
            leader: leader.map(|leader| leader.as_str()),
            token: row.row.token.map(|token| token.get()),
            since_ms: row.since_unix_us / 1_000,
            remaining_ms: u64::try_from(row.row.remaining.as_millis()).unwrap_or(u64::MAX),
            meta: leader.and(row.row.meta.as_deref()),
        }
    }
}

/// The state of a row, as `--json` shows it.
fn state(row: &Row) -> &'static str {
    match (row.holder.is_some(), row.remaining.is_zero()) {
        (true, false) => "held",
        // Its leader stopped renewing: it crashed, or was cut off.
        (true, true) => "expired",
        // No candidate may take over before the revoked lease has expired.
        (false, false) => "revoked",
        // Released, or revoked and over.
        (false, true) => "vacant",
    }
}

/// Runs `elector status`.
pub fn run(options: &StatusOptions) -> Result<u8, Failure> {
    let (mut store, url) = stores::open_existing(&options.store)?;
    let mut rows = store.rows(options.election.as_ref()).map_err(Failure::store)?;
    rows.sort_by(|a, b| a.election.cmp(&b.election));
    let remarks = match store.remarks() {
        Ok(remarks) => remarks,
        Err(error) => {
            output::say(output::clean(&format!("cannot check for transactions that lock rows: {error}")));
            Vec::new()
        }
    };
    let out = io::stdout().lock();
    if options.json {
        let mut out = io::BufWriter::new(out);
        for row in &rows {
            output::json_line(&mut out, &Line::of(row))?;
        }
        for remark in &remarks {
            output::json_line(&mut out, &Remark { remark })?;
        }
        return Ok(0);
    }
    for remark in &remarks {
        output::say(output::clean(remark));
    }
    if rows.is_empty() {
        match &options.election {
            Some(election) => output::say(output::clean(&format!(
                "there is no election '{election}' in {url} yet; `elector status` lists all elections"
            ))),
            None => output::say(output::clean(&format!(
                "no elections in {url} yet; `elector run --election NAME -- CMD` starts one"
            ))),
        }
        return Ok(0);
    }
    let colour = Colour::of_stdout();
    let mut table = Table::new(&["ELECTION", "LEADER", "STATE", ">TOKEN", "SINCE", ">REMAINING", "META"]);
    for row in &rows {
        let line = Line::of(row);
        table.row(vec![
            output::clean(line.election),
            line.candidate.map_or("-".into(), output::clean),
            line.state.into(),
            line.token.map_or("-".into(), |token| token.to_string()),
            if line.candidate.is_some() { utc(line.since_ms) } else { "-".into() },
            format!("{}.{} s", line.remaining_ms / 1_000, line.remaining_ms % 1_000 / 100),
            output::clean(line.meta.unwrap_or_default()),
        ]);
    }
    table.write(out, colour)?;
    Ok(0)
}

/// A time as people and programs read it: RFC 3339, UTC.
///
/// The date is computed as in H. Hinnant, "chrono-compatible low-level date algorithms", `civil_from_days`.
pub fn utc(unix_ms: i64) -> String {
    let seconds = unix_ms.div_euclid(1_000);
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        assert_eq!(utc(0), "1970-01-01T00:00:00Z");
        assert_eq!(utc(951_782_400_000), "2000-02-29T00:00:00Z");
        assert_eq!(utc(1_700_000_000_123), "2023-11-14T22:13:20Z");
        assert_eq!(utc(4_102_444_799_000), "2099-12-31T23:59:59Z");
    }
}
