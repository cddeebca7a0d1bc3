//! Promise G: work in the same PostgreSQL database, fenced absolutely.

use crate::core::sql::postgres::Table;
use crate::core::{FencingToken, lease::LeaderId};
use crate::elector::Elector;
use crate::elector::error::Error;

impl Elector {
    /// Fences the caller's own transaction: it can commit only if nobody else has been elected before it
    /// ends.
    ///
    /// Call it first in the transaction. It checks that this very term still lasts by the server's clock,
    /// and holds the election's row (`FOR KEY SHARE`) until the transaction ends: no other candidate
    /// takes the row before. Renewals are not held up. A transaction that stays open long delays
    /// take-overs of this election, and only those; the candidate that waits logs the backend's pid.
    ///
    /// It must run in the database, and see the table, of this elector's store, at any isolation level. Above
    /// READ COMMITTED it fails also if the table was rewritten (VACUUM FULL, CLUSTER) since the transaction's
    /// first statement.
    ///
    /// Rolling back to a savepoint also ends a guard that was called after it, and so does the EXCEPTION
    /// clause of a PL/pgSQL block around the guard. Call it outside of them, or again afterwards.
    ///
    /// ```no_run
    /// # async fn example(elector: elector::Elector, client: &mut tokio_postgres::Client)
    /// #     -> Result<(), Box<dyn std::error::Error>> {
    /// let transaction = client.transaction().await?;
    /// elector.guard(&transaction).await?;
    /// transaction.execute("UPDATE jobs SET done = true WHERE id = 7", &[]).await?;
    /// transaction.commit().await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::is_not_leader`] when this candidate has no term (while it drains it has one), or the term has
    /// ended in the store; roll back then. Otherwise what the server said, such as that it could not
    /// serialize access.
    pub async fn guard(&self, transaction: &tokio_postgres::Transaction<'_>) -> Result<FencingToken, Error> {
        let (table, holder, token) = self.guarded_term()?;
        let number = token.get() as i64;
        let guarded = transaction.query(&table.guard(), &[&self.election(), &holder.as_str(), &number]).await;
        match guarded {
            Ok(rows) if rows.is_empty() => Err(Error::not_leader(self.election())),
            Ok(_) => Ok(token),
            Err(error) => Err(Error::guard(self.election(), &error)),
        }
    }

    /// The guard as a statement with this term's values written in, safely quoted, for clients other than
    /// `tokio-postgres`. Run it first in the transaction: one row means that the term lasts, and is held
    /// until the transaction ends; none, or an error, means that it may be over, so roll back. Isolation
    /// levels and savepoints: see [`Elector::guard`].
    ///
    /// # Errors
    /// As [`Elector::guard`].
    pub fn guard_sql(&self) -> Result<String, Error> {
        let (table, holder, token) = self.guarded_term()?;
        Ok(table.guard_text(self.election(), holder.as_str(), token.get()))
    }

    fn guarded_term(&self) -> Result<(Table, LeaderId, FencingToken), Error> {
        // Work that is drained has its term still, and must be able to finish.
        let token = self.leadership().token.ok_or_else(|| Error::not_leader(self.election()))?;
        let table = self.hub().table().ok_or_else(|| Error::no_guard(self.election()))?;
        Ok((table, self.inner().leader_id(), token))
    }
}
