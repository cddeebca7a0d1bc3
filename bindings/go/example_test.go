package elector_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log"
	"time"

	elector "github.com/elector/elector/bindings/go"
)

// Run calls work that only one process may do, whenever this process is elected.
func Example() {
	candidate, err := elector.New(elector.Options{Election: "nightly", Store: "memory:example"})
	if err != nil {
		log.Fatal(err)
	}
	defer candidate.Close()

	err = candidate.Run(context.Background(), func(ctx context.Context, term elector.Term) error {
		// Pass term.Token to every resource that checks it, and stop when ctx ends.
		fmt.Println("the report is written, under a token:", term.Token > 0)
		return ctx.Err()
	})
	fmt.Println("done:", err)
	// Output:
	// the report is written, under a token: true
	// done: <nil>
}

// Call IsLeader before every piece of work. It costs no more than reading a clock.
func ExampleElector_IsLeader() {
	candidate, err := elector.New(elector.Options{Election: "nightly", Store: "memory:is-leader-example"})
	if err != nil {
		log.Fatal(err)
	}
	defer candidate.Close()
	if err := candidate.Campaign(); err != nil {
		log.Fatal(err)
	}
	if _, err := candidate.WaitUntilLeader(context.Background()); err != nil {
		log.Fatal(err)
	}

	if candidate.IsLeader() {
		fmt.Println("work that only the leader may do")
	}
	// Output: work that only the leader may do
}

// A loop works in every term of this candidate, until the term or the program must end.
func ExampleElector_Run() {
	candidate, err := elector.New(elector.Options{Election: "queue", Store: "memory:run-example"})
	if err != nil {
		log.Fatal(err)
	}
	defer candidate.Close()
	// In a program: signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM).
	ctx, stop := context.WithCancel(context.Background())

	jobs := 0
	err = candidate.Run(ctx, func(ctx context.Context, term elector.Term) error {
		for ctx.Err() == nil {
			jobs++
			if jobs == 3 {
				stop()
			}
		}
		// After ErrTermOver, Run calls this function again in the next term.
		return context.Cause(ctx)
	})
	fmt.Println(jobs, "jobs,", err)
	// Output: 3 jobs, context canceled
}

// All changes, in order.
func ExampleElector_Changes() {
	candidate, err := elector.New(elector.Options{
		Election: "nightly", Store: "memory:changes-example", Candidate: "api-1",
	})
	if err != nil {
		log.Fatal(err)
	}
	changes := candidate.Changes(context.Background())
	if err := candidate.Campaign(); err != nil {
		log.Fatal(err)
	}
	for change := range changes {
		fmt.Println(change.Revision, change.Event)
		if change.Event == elector.EventLeaderChanged {
			fmt.Println(change.Leader)
			break
		}
	}
	// The iterator continues after the last change that was read, and ends when the elector is closed.
	if err := candidate.Close(); err != nil {
		log.Print(err)
	}
	for change := range changes {
		if change.Event == elector.EventDeposed {
			fmt.Println(change.Event, change.Reason)
		}
	}
	// Output:
	// 1 elected
	// 2 leader_changed
	// api-1
	// deposed released
}

// After a release the next candidate leads at once, instead of when the lease expires.
func ExampleElector_Release() {
	first, err := elector.New(elector.Options{Election: "nightly", Store: "memory:release-example"})
	if err != nil {
		log.Fatal(err)
	}
	defer first.Close()
	if err := first.Campaign(); err != nil {
		log.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	token, err := first.WaitUntilLeader(ctx)
	fmt.Println(token > 0, err)
	err = first.Release(ctx)
	fmt.Println(first.IsLeader(), err)
	// Output:
	// true <nil>
	// false <nil>
}

// Distinguish errors with errors.Is. Their text says what to do.
func ExampleNew_errors() {
	_, err := elector.New(elector.Options{Election: "nightly", Store: "carrier-pigeon:loft"})
	fmt.Println(errors.Is(err, elector.ErrInvalidArgument))
	// Output: true
}

// In the database that keeps the leases, a guarded transaction of an old leader can never commit after a new
// leader was elected.
func ExampleElector_GuardTx() {
	var database *sql.DB // Of the database that keeps the leases.
	var candidate *elector.Elector

	finish := func(ctx context.Context) error {
		transaction, err := database.BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		defer transaction.Rollback()
		if err := candidate.GuardTx(ctx, transaction); err != nil {
			return err
		}
		if _, err := transaction.ExecContext(ctx, "UPDATE jobs SET done = true WHERE id = 7"); err != nil {
			return err
		}
		return transaction.Commit()
	}
	_ = finish
}
