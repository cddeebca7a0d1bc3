package elector

import (
	"context"
	"database/sql"
)

// GuardTx fences a transaction of the caller: the transaction can commit only if no other candidate has been
// elected before it ends. Call GuardTx first in the transaction.
//
// GuardTx checks by the server's clock that the current term still lasts, and locks the election's row until
// the transaction ends, so that no other candidate takes the row before. It does not delay renewals. A
// transaction that stays open for long delays take-overs of this election, and nothing else.
//
// The transaction must belong to the database in which this elector keeps its leases, and must be able to
// read the table. Any isolation level is suitable. Above read committed GuardTx also fails if the table was
// rewritten (VACUUM FULL, CLUSTER) since the transaction's first statement. Rolling back to a savepoint ends
// a guard that was taken after it, and so does the EXCEPTION clause of a PL/pgSQL block around the guard:
// call GuardTx outside of them, or again afterwards.
//
// It fails with ErrNotLeader if this candidate does not lead, or if its term has ended in the store. Then
// roll the transaction back.
func (e *Elector) GuardTx(ctx context.Context, tx *sql.Tx) error {
	statement, err := e.GuardSQL()
	if err != nil {
		return err
	}
	return e.guard(ctx, tx, statement)
}

// GuardTx is [Elector.GuardTx] for this term only: it also fails if the elector leads in a later term.
func (t Term) GuardTx(ctx context.Context, tx *sql.Tx) error {
	if t.elector == nil {
		return ErrClosed
	}
	// Tokens only grow: if the token is unchanged afterwards, the statement contains it.
	before := t.IsCurrent()
	statement, err := t.elector.GuardSQL()
	switch {
	case err != nil:
		return err
	case !before || !t.IsCurrent():
		return t.elector.notLeader()
	}
	return t.elector.guard(ctx, tx, statement)
}

// GuardSQL is the guard of the current term as an SQL statement with quoted values, for clients other than
// database/sql. Run it first in the transaction. One row means that the term lasts, and that its row is
// locked until the transaction ends. No row, or an error, means that the term may be over: roll back. For
// isolation levels and savepoints see [Elector.GuardTx].
//
// It fails with ErrNotLeader if this candidate does not lead, and with ErrInvalidArgument if the store is not
// PostgreSQL.
func (e *Elector) GuardSQL() (string, error) {
	inside := e.gate.enter()
	if inside == nil {
		return "", e.closedError()
	}
	defer inside.Add(-1)
	// Tokens only grow: if the token is unchanged afterwards, its term lasted meanwhile.
	token := e.Token()
	statement := e.handle.GuardSQL()
	switch {
	case statement != "":
		return statement, nil
	case token == 0 || token != e.Token():
		return "", e.notLeader()
	}
	return "", e.failure(ErrInvalidArgument,
		"cannot guard a transaction: its leases are not kept in PostgreSQL; roll the transaction back")
}

func (e *Elector) guard(ctx context.Context, tx *sql.Tx, statement string) error {
	rows, err := tx.QueryContext(ctx, statement)
	if err != nil {
		return e.guardFailed(err)
	}
	defer rows.Close()
	lasts := rows.Next()
	if err := rows.Err(); err != nil {
		return e.guardFailed(err)
	}
	if !lasts {
		return e.notLeader()
	}
	return rows.Close()
}

func (e *Elector) guardFailed(err error) error {
	failure := e.failure(ErrStore, "cannot guard the transaction: %v; roll it back", err)
	failure.kinds = append(failure.kinds, err)
	return failure
}
