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

// Work that only one process may do, called whenever this one is elected.
func Example() {
	candidate, err := elector.New(elector.Options{Election: "nightly", Store: "memory:example"})
	if err != nil {
		log.Fatal(err)
	}
	defer candidate.Close()

	err = candidate.Run(context.Background(), func(ctx context.Context, term elector.Term) error {
		// Give term.Token to whatever checks it, and stop when ctx ends.
		fmt.Println("the report is written, under a token:", term.Token > 0)
		return ctx.Err()
	})
	fmt.Println("done:", err)
	// Output:
	// the report is written, under a token: true
	// done: <nil>
}

// The question, wherever it matters. It costs no more than reading a clock.
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
		fmt.Println("the work that only one may do")
	}
	// Output: the work that only one may do
}

// A loop that works as long as it may, in each term that comes, until the program is told to end.
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
		// ErrTermOver here means: it is called again under the next term.
		return context.Cause(ctx)
	})
	fmt.Println(jobs, "jobs,", err)
	// Output: 3 jobs, context canceled
}

// Everything that happens, in order.
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
	// It ends with the elector, and goes on where it was left.
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

// A release hands over at once, instead of when the lease ends.
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

// Errors are told apart by errors.Is, and say what to do.
func ExampleNew_errors() {
	_, err := elector.New(elector.Options{Election: "nightly", Store: "carrier-pigeon:loft"})
	fmt.Println(errors.Is(err, elector.ErrInvalidArgument))
	// Output: true
}

// In the same database, a transaction of an old leader can never commit after a new one was elected.
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
