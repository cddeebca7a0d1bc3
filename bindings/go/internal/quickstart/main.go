// Command quickstart is the program of the README.
package main

import (
	"context"
	"errors"
	"log"
	"log/slog"
	"os/signal"
	"syscall"
	"time"

	elector "github.com/elector/elector/bindings/go"
)

func main() {
	candidate, err := elector.New(elector.Options{
		Election: "nightly-report",
		// Store: "postgres://USER@HOST/DATABASE" or "sqlite:PATH". Default: $ELECTOR_STORE, else a file.
		Logger: slog.Default(),
	})
	if err != nil {
		log.Fatal(err)
	}
	defer candidate.Close()

	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	// Run calls this function when this process is elected. At most one process is the leader.
	err = candidate.Run(ctx, func(ctx context.Context, term elector.Term) error {
		for {
			log.Printf("only one process prints this, under token %d", term.Token)
			select {
			case <-ctx.Done(): // Stop now: the term is over, or the program must end.
				return context.Cause(ctx)
			case <-time.After(time.Second):
			}
		}
	})
	if err != nil && !errors.Is(err, context.Canceled) {
		log.Print(err)
	}
}
