package elector_test

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"testing"
	"time"

	elector "github.com/elector/elector/bindings/go"
)

// A lease that expires within a test.
const guardedLease = 2 * time.Second

func guarded(t *testing.T, address, name string, lease time.Duration) *elector.Elector {
	return candidate(t, elector.Options{
		Election: "it's \"nightly\"", Store: address, Candidate: name, Lease: lease,
		Margin: 100 * time.Millisecond,
	})
}

func begin(t *testing.T, database *sql.DB) *sql.Tx {
	t.Helper()
	transaction, err := database.BeginTx(within(t, 3*soon), nil)
	must(t, err)
	t.Cleanup(func() { _ = transaction.Rollback() })
	return transaction
}

// Leads, and takes the guard of the term in a transaction. Returns the transaction, the term's token and the
// guard's statement. On a busy machine the term may expire first; then a later term is guarded. No other term
// begins while the guard is held.
func holdGuard(t *testing.T, leader *elector.Elector, database *sql.DB) (*sql.Tx, uint64, string) {
	t.Helper()
	var held *sql.Tx
	var token uint64
	var statement string
	eventually(t, "the guard is held", func() bool {
		lead(t, leader)
		held = begin(t, database)
		err := leader.GuardTx(within(t, soon), held)
		if err == nil {
			token = leader.Token()
			statement, err = leader.GuardSQL()
		}
		if err == nil && token != 0 {
			return true
		}
		must(t, held.Rollback())
		if err != nil && !errors.Is(err, elector.ErrNotLeader) {
			t.Fatal(err)
		}
		return false
	})
	return held, token, statement
}

func count(t *testing.T, database *sql.DB) (found int) {
	t.Helper()
	must(t, database.QueryRow("SELECT count(*) FROM work").Scan(&found))
	return found
}

func TestAnOpenGuardDelaysTheNextLeaderUntilItEndsAndThenFencesTheOldOne(t *testing.T) {
	t.Parallel()
	address := freshDatabase(t)
	database := open(t, address)
	execute(t, database, "CREATE TABLE work (token bigint)")
	way, through := startProxy(t, address)
	old, next := guarded(t, through, "old", guardedLease), guarded(t, address, "next", guardedLease)
	transaction, token, statement := holdGuard(t, old, database)
	must(t, next.Campaign())

	// The old leader's connection to the store is cut, while the transaction of its work, on another
	// connection, goes on.
	execute(t, transaction, "INSERT INTO work VALUES ($1)", int64(token))
	way.send(t, "hold")
	eventually(t, "trust ends", func() bool { return !old.IsLeader() })
	time.Sleep(2 * guardedLease)
	if next.IsLeader() {
		t.Fatal("another candidate leads while the guard holds the row")
	}
	must(t, transaction.Commit())

	// Now another candidate leads, and a transaction of the old term cannot commit.
	if found := awaitLeader(t, next); found <= token {
		t.Errorf("token %d after %d", found, token)
	}
	transaction = begin(t, database)
	var one int
	if err := transaction.QueryRow(statement).Scan(&one); err != sql.ErrNoRows {
		t.Errorf("the old term's guard: %v, %d", err, one)
	}
	if err := old.GuardTx(within(t, soon), transaction); !errors.Is(err, elector.ErrNotLeader) {
		t.Error(err)
	}
	if found := count(t, database); found != 1 {
		t.Errorf("%d rows", found)
	}
	way.send(t, "pass")
}

func TestAGuardedTransactionOfALostTermDoesNotCommit(t *testing.T) {
	t.Parallel()
	address := freshDatabase(t)
	database := open(t, address)
	execute(t, database, "CREATE TABLE work (token bigint)")
	// The next renewal, which would find out that the term is lost, is far.
	leader := guarded(t, address, "a", 2*time.Minute)
	lead(t, leader)
	// An operator deletes the row: the server decides, although the elector still trusts its lease.
	execute(t, database, "DELETE FROM leader_lease")
	work := func() error {
		transaction := begin(t, database)
		if err := leader.GuardTx(within(t, soon), transaction); err != nil {
			return errors.Join(err, transaction.Rollback())
		}
		execute(t, transaction, "INSERT INTO work VALUES (0)")
		return transaction.Commit()
	}
	if err := work(); !errors.Is(err, elector.ErrNotLeader) {
		t.Error(err)
	}
	if found := count(t, database); found != 0 {
		t.Errorf("%d rows", found)
	}
}

// Above read committed a transaction sees the row of its snapshot, and a rewrite of the table leaves no other
// trace of a change.
func TestAGuardWithAnOldSnapshotFailsAlsoOnceItsTableWasRewritten(t *testing.T) {
	t.Parallel()
	address := freshDatabase(t)
	database := open(t, address)
	leader := guarded(t, address, "a", 2*time.Minute)
	lead(t, leader)
	rewrites := []string{"VACUUM FULL leader_lease", "CLUSTER leader_lease USING leader_lease_pkey"}
	for _, level := range []sql.IsolationLevel{sql.LevelRepeatableRead, sql.LevelSerializable} {
		for _, rewrite := range rewrites {
			transaction := beginAt(t, database, level)
			execute(t, database, rewrite)
			if err := leader.GuardTx(within(t, soon), transaction); !errors.Is(err, elector.ErrNotLeader) {
				t.Errorf("%v, %s: %v", level, rewrite, err)
			}
			must(t, transaction.Rollback())
			transaction = beginAt(t, database, level)
			must(t, leader.GuardTx(within(t, soon), transaction))
			must(t, transaction.Commit())
		}
	}
	// Without a rewrite, the server itself reports that the row has changed.
	transaction := beginAt(t, database, sql.LevelRepeatableRead)
	execute(t, database, "DELETE FROM leader_lease")
	if err := leader.GuardTx(within(t, soon), transaction); !errors.Is(err, elector.ErrStore) {
		t.Error(err)
	}
}

// A transaction whose snapshot is taken.
func beginAt(t *testing.T, database *sql.DB, level sql.IsolationLevel) *sql.Tx {
	t.Helper()
	transaction, err := database.BeginTx(within(t, 3*soon), &sql.TxOptions{Isolation: level})
	must(t, err)
	t.Cleanup(func() { _ = transaction.Rollback() })
	execute(t, transaction, "SELECT 1")
	return transaction
}

func TestWorkOfATermIsGuardedByThatTermOnly(t *testing.T) {
	t.Parallel()
	address := freshDatabase(t)
	database := open(t, address)
	execute(t, database, "CREATE TABLE work (token bigint)")
	runner := guarded(t, address, "a", 30*time.Second)
	var past elector.Term
	for range 2 {
		must(t, runner.Run(within(t, soon), func(ctx context.Context, term elector.Term) error {
			if past.Token != 0 {
				if err := past.GuardTx(ctx, begin(t, database)); !errors.Is(err, elector.ErrNotLeader) {
					t.Errorf("the past term: %v", err)
				}
			}
			past = term
			transaction := begin(t, database)
			if err := term.GuardTx(ctx, transaction); err != nil {
				return err
			}
			execute(t, transaction, "INSERT INTO work VALUES ($1)", int64(term.Token))
			return transaction.Commit()
		}))
	}
	if found := count(t, database); found != 2 {
		t.Errorf("%d rows", found)
	}
}

func TestWithoutLeadershipThereIsNoGuard(t *testing.T) {
	t.Parallel()
	address := freshDatabase(t)
	database := open(t, address)
	idle := guarded(t, address, "idle", guardedLease)
	if err := idle.GuardTx(within(t, soon), begin(t, database)); !errors.Is(err, elector.ErrNotLeader) {
		t.Error(err)
	}
	elsewhere := candidate(t, long(elector.Options{Store: memory(t)}))
	lead(t, elsewhere)
	if _, err := elsewhere.GuardSQL(); !errors.Is(err, elector.ErrInvalidArgument) {
		t.Error(err)
	}
	// A transaction that has failed already cannot be guarded.
	leader := guarded(t, address, "a", 30*time.Second)
	lead(t, leader)
	broken := begin(t, database)
	if _, err := broken.Exec("SELECT 1/0"); err == nil {
		t.Fatal("the division by 0 succeeded")
	}
	if err := leader.GuardTx(within(t, soon), broken); !errors.Is(err, elector.ErrStore) {
		t.Error(err)
	}
}

// This also holds at the moment in which the candidate is elected or stands down.
func TestOnPostgreSQLGuardSQLNeverFailsWithInvalidArgument(t *testing.T) {
	t.Parallel()
	leader := guarded(t, freshDatabase(t), "a", guardedLease)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	wrong := make(chan error, 2)
	for range 2 {
		go func() {
			for ctx.Err() == nil {
				if _, err := leader.GuardSQL(); err != nil && !errors.Is(err, elector.ErrNotLeader) {
					wrong <- err
					return
				}
			}
			wrong <- nil
		}()
	}
	for range 100 {
		lead(t, leader)
		must(t, leader.Release(within(t, soon)))
	}
	cancel()
	if err := errors.Join(<-wrong, <-wrong); err != nil {
		t.Error(err)
	}
}

func TestATextThatTheEncodingLacksIsRefusedAtOnceAndNoOtherCandidateFails(t *testing.T) {
	t.Parallel()
	address := freshDatabase(t)
	database := open(t, address)
	var name string
	must(t, database.QueryRow("SELECT current_database()").Scan(&name))
	execute(t, database, "CREATE DATABASE "+name+"_latin1 TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'")
	address = strings.ReplaceAll(address, name, name+"_latin1")
	options := elector.Options{Election: "nightly", Store: address, Candidate: "лидер", Lease: 2 * time.Minute}
	lacking := candidate(t, options)
	err := lacking.Connect(within(t, soon))
	if !errors.Is(err, elector.ErrStoreRefused) || !strings.Contains(err.Error(), "LATIN1") {
		t.Error(err)
	}
	must(t, lacking.Campaign())
	options.Candidate = "dirigé"
	held := candidate(t, options)
	lead(t, held)
	if found, _ := held.Leader(); found.Candidate != "dirigé" {
		t.Error(found)
	}
}

func TestTheSchemaAndItsTableAreAsTheOptionsSay(t *testing.T) {
	t.Parallel()
	address := freshDatabase(t)
	database := open(t, address)
	execute(t, database, `CREATE SCHEMA "my ""own"""`)
	no := false
	without := candidate(t, elector.Options{
		Election: "x", Store: address, Schema: `my "own"`, CreateTable: &no, Lease: guardedLease,
	})
	eventually(t, "the refusal", func() bool {
		err := without.Connect(within(t, soon))
		// On a busy machine an attempt may time out first.
		if !errors.Is(err, elector.ErrStoreRefused) && !errors.Is(err, elector.ErrStore) {
			t.Error(err)
		}
		return errors.Is(err, elector.ErrStoreRefused)
	})
	with := candidate(t, elector.Options{Election: "x", Store: address, Schema: `my "own"`, Lease: guardedLease})
	lead(t, with)
	var rows int
	must(t, database.QueryRow(`SELECT count(*) FROM "my ""own""".leader_lease`).Scan(&rows))
	if rows != 1 {
		t.Errorf("%d rows", rows)
	}
}
