package elector_test

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	elector "github.com/elector/elector/bindings/go"
)

// A handler that does not return, like a handler that writes to a full pipe.
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

// The log has a goroutine of its own, so work starts, its context ends with the term, and it starts again and
// returns.
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
			// This error is logged, because Run does not return it.
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
