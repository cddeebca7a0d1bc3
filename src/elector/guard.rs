//! Guards: transactions in the same PostgreSQL database that can commit only within their term.

use crate::core::sql::postgres::Table;
use crate::core::{FencingToken, lease::LeaderId};
use crate::elector::Elector;
use crate::elector::error::Error;

impl Elector {
    /// Guards a transaction: it can commit only if no other candidate has been elected before it ends.
    ///
    /// Call it as the first statement of the transaction. It checks that the current term has not expired by
    /// the server's clock, and locks the election's row (`FOR KEY SHARE`) until the transaction ends, so that
    /// no other candidate can take the row before. The lock does not delay renewals. Danger: a transaction
    /// that stays open delays take-overs of this election for that long; the waiting candidate logs the
    /// backend's pid.
    ///
    /// The transaction must run in the database of this elector's store and see its table. Any isolation
    /// level will do; above READ COMMITTED the guard also fails if the table was rewritten (VACUUM FULL,
    /// CLUSTER) since the transaction's first statement.
    ///
    /// A rollback to a savepoint ends a guard that was taken after it, and so does the EXCEPTION clause of a
    /// PL/pgSQL block around the guard. Take the guard outside of them, or again afterwards.
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
    /// [`Error::is_not_leader`] when this candidate has no term (it has one while it drains) or the term has
    /// ended in the store. Otherwise an error that quotes the server, for example that it could not serialize
    /// access, or that says that the leases are not kept in PostgreSQL. Roll back in either case.
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

    /// The guard as SQL text with the values of this term, safely quoted, for clients other than
    /// `tokio-postgres`. Run it as the first statement of the transaction. One row means that the term has
    /// not expired and that its row is locked until the transaction ends. No row, or an error, means that the
    /// term may be over: roll back. For isolation levels and savepoints see [`Elector::guard`].
    ///
    /// # Errors
    /// [`Error::is_not_leader`] when this candidate has no term. Another error when its leases are not kept
    /// in PostgreSQL.
    pub fn guard_sql(&self) -> Result<String, Error> {
        let (table, holder, token) = self.guarded_term()?;
        Ok(table.guard_text(self.election(), holder.as_str(), token.get()))
    }

    fn guarded_term(&self) -> Result<(Table, LeaderId, FencingToken), Error> {
        // Not only while leading: work that drains still has its term, and must be able to finish.
        let token = self.leadership().token.ok_or_else(|| Error::not_leader(self.election()))?;
        let table = self.hub().table().ok_or_else(|| Error::no_guard(self.election()))?;
        Ok((table, self.inner().leader_id(), token))
    }
}
