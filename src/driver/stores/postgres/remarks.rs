//! Messages for operators: the transactions that hold rows, and the difference of clocks.

use std::time::Duration;

use tokio::time::timeout;

use super::PostgresStore;
use super::table::Blocker;
use crate::core::lease::{Op, Outcome};
use crate::core::sql::postgres::SERVER_CLOCK;
use crate::driver::host::clock;
use crate::driver::stores::{Answer, Job, StoreError};

/// Maximum time to find out which transactions hold a row that cannot be taken.
const REPORT_WITHIN: Duration = Duration::from_millis(250);
/// Minimum age in seconds of a transaction that remarks mention.
const NEWS_AFTER_S: i64 = 1;

impl PostgresStore {
    /// Logs which backends keep a row from being taken over, if an acquire found an expired row and could not
    /// take it: a guarded transaction that stays open delays the take-over of its election. If there is none,
    /// row security may have been enabled since the table was checked.
    pub(super) fn explain_untaken(&mut self, jobs: &[Job], answers: &[Option<Answer>]) {
        let mut blocked = jobs.iter().zip(answers).filter(|(job, answer)| {
            let (Op::Acquire(acquire), Some(answer)) = (&job.request.op, answer) else { return false };
            let Outcome::Seen(Some(row)) = &answer.reply.outcome else { return false };
            // A strict candidate does not take a row that has changed, so such a row is not blocked.
            row.remaining.is_zero() && acquire.unchanged.is_none_or(|expected| expected == row.version())
        });
        // Usually another candidate was faster and no row is blocked; the query then returns nothing.
        let Some((job, _)) = blocked.next() else { return };
        if jobs.iter().any(|job| matches!(job.request.op, Op::Renew { .. })) {
            // A message to operators must not delay the next renewal; the acquire is retried soon anyway.
            return;
        }
        let (Some(connection), Ok(runtime)) = (&self.connection, self.runtime()) else { return };
        let (ready, session, election) = (&connection.ready, &connection.session, Some(&job.election));
        let asking = async {
            let blockers = ready.blockers(session, election, 0).await?;
            let is_hidden = blockers.is_empty() && ready.is_hidden_now(&self.url, session).await?;
            Ok::<_, tokio_postgres::Error>((blockers, is_hidden))
        };
        // The message is optional, so errors and timeouts are ignored.
        let asked = runtime.block_on(async { timeout(REPORT_WITHIN, asking).await });
        let Ok(Ok((blockers, is_hidden))) = asked else { return };
        for blocker in blockers {
            tracing::warn!(store = %self.url, "{}", blocker.remark());
        }
        if is_hidden {
            // The next connection detects the row security and reports it.
            self.connection = None;
        }
    }

    /// Remarks about the transactions that keep rows from being taken over.
    pub(super) fn guards(&mut self) -> Result<Vec<String>, StoreError> {
        let blockers = self.ask("find the transactions that hold rows", async |connection| {
            connection.ready.blockers(&connection.session, None, NEWS_AFTER_S).await
        })?;
        Ok(blockers.iter().map(Blocker::remark).collect())
    }

    /// A remark if the server's clock differs from this machine's by a second or more. No promise depends on
    /// the difference, but a step of the server's clock shows in it.
    pub(super) fn skew(&mut self) -> Result<Option<String>, StoreError> {
        let before = clock::unix_micros();
        let server = self.ask("read its clock", async |connection| {
            let rows = connection.session.client.query_typed(SERVER_CLOCK, &[]).await?;
            rows.first().map_or(Ok(before), |row| row.try_get::<_, i64>(0))
        })?;
        let ours = before + (clock::unix_micros() - before) / 2;
        let ahead = (server - ours) as f64 / 1e6;
        Ok((ahead.abs() >= 1.0).then(|| {
            let side = if ahead > 0.0 { "ahead of" } else { "behind" };
            format!("the server's clock is {:.1} s {side} this machine's", ahead.abs())
        }))
    }
}
