package elector_test

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	elector "github.com/elector/elector/bindings/go"
)

// A handler that never comes back, as one that writes to a pipe that nobody reads.
type stuck struct {
	called chan struct{}
	free   <-chan struct{}
}

func (s stuck) Enabled(context.Context, slog.Level) bool { return true }

func (s stuck) WithAttrs([]slog.Attr) slog.Handler { return s }

func (s stuck) WithGroup(string) slog.Handler { return s }

func (s stuck) Handle(context.Context, slog.Record) error {
	select {
	case s.called <- struct{}{}:
	default:
	}
	<-s.free
	return nil
}

// The log has a goroutine of its own, so work starts, hears that its term is over, starts again, and ends.
func TestALogThatBlocksHoldsUpNeitherWorkNorItsEnd(t *testing.T) {
	t.Parallel()
	free := make(chan struct{})
	defer close(free)
	log := stuck{called: make(chan struct{}, 1), free: free}
	file := newFile(t)
	subject := candidate(t, brisk(elector.Options{Store: file.store(), Logger: slog.New(log)}))
	next := reader(t, subject)
	var tokens []uint64
	ended := make(chan error, 1)
	go func() {
		ended <- subject.Run(within(t, soon), func(ctx context.Context, term elector.Term) error {
			tokens = append(tokens, term.Token)
			if len(tokens) > 1 {
				return nil
			}
			<-log.called
			expect(t, next, elector.EventElected)
			file.remove()
			<-ctx.Done()
			// It is told to the log, since nobody else hears of it.
			return errors.New("cut off")
		})
	}()
	select {
	case err := <-ended:
		must(t, err)
	case <-time.After(soon):
		t.Fatal("it hangs")
	}
	if len(tokens) != 2 || tokens[1] <= tokens[0] {
		t.Errorf("terms %v", tokens)
	}
	must(t, subject.Close())
}
