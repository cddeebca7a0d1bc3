package elector

import (
	"context"
	"database/sql"
)

// GuardTx fences a transaction of the caller's own: it can commit only if nobody else has been elected
// before it ends. Call it first in the transaction.
//
// It checks that this very term still lasts by the server's clock, and holds the election's row until the
// transaction ends: no other candidate takes it before. Renewals are not held up. A transaction that stays
// open long delays take-overs of this election, and only those.
//
// The transaction must be one of the database in which this elector keeps its leases, and see that table.
// Any isolation level will do; above read committed it fails also if the table was rewritten (VACUUM FULL,
// CLUSTER) since the transaction's first statement. Rolling back to a savepoint also ends a
// guard that was called after it, and so does the EXCEPTION clause of a PL/pgSQL block around the guard: call
// it outside of them, or again afterwards.
//
// ErrNotLeader: this candidate does not lead, or its term has ended in the store; roll back then.
func (e *Elector) GuardTx(ctx context.Context, tx *sql.Tx) error {
	statement, err := e.GuardSQL()
	if err != nil {
		return err
	}
	return e.guard(ctx, tx, statement)
}

// GuardTx is the same for this very term: it fails under the next one, too.
func (t Term) GuardTx(ctx context.Context, tx *sql.Tx) error {
	if t.elector == nil {
		return ErrClosed
	}
	// Tokens only grow: if it is the same before and after, it is the one in the statement.
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

// GuardSQL is the guard as a statement with this term's values in it, safely quoted, for clients other than
// database/sql. Run it first in the transaction: one row means that the term lasts, and is held until the
// transaction ends; no row, or an error, means that it may be over, so roll back. Isolation levels and
// savepoints: see [Elector.GuardTx].
//
// It fails with ErrNotLeader, or with ErrInvalidArgument if leases are not kept in PostgreSQL.
func (e *Elector) GuardSQL() (string, error) {
	inside := e.gate.enter()
	if inside == nil {
		return "", e.closedError()
	}
	defer inside.Add(-1)
	// Tokens only grow: the same one before and after is that of a term that lasted meanwhile.
	token := e.Token()
	statement := e.handle.GuardSQL()
	switch {
	case statement != "":
		return statement, nil
	case token == 0 || token != e.Token():
		return "", e.notLeader()
	}
	return "", e.failure(ErrInvalidArgument,
		"a transaction cannot be guarded: its leases are not kept in PostgreSQL; roll it back")
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
	failure := e.failure(ErrStore, "the transaction could not be guarded: %v; roll it back", err)
	failure.kinds = append(failure.kinds, err)
	return failure
}
