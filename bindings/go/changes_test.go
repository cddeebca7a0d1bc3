package elector_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	elector "github.com/elector/elector/bindings/go"
)

func TestChangesAreInOrderAndNoneIsDropped(t *testing.T) {
	onEachStore(t, func(t *testing.T, store string) {
		subject := candidate(t, brisk(elector.Options{Store: store, Candidate: "a"}))
		all := subject.Changes(context.Background())
		// One iterator is read only at the end, one is never read, and one is read while changes come.
		late := subject.Changes(context.Background())
		_ = subject.Changes(context.Background())
		const rounds = 150
		go func() {
			for range rounds {
				lead(t, subject)
				must(t, subject.Release(within(t, soon)))
			}
			end(t, subject)
		}()
		var along []elector.Change
		for change := range all {
			along = append(along, change)
		}
		elected, deposed := 0, 0
		for at, change := range along {
			if change.Revision != uint64(at+1) {
				t.Fatalf("change %d has number %d", at+1, change.Revision)
			}
			if time.Since(change.At).Abs() > time.Hour {
				t.Fatalf("%+v", change)
			}
			switch change.Event {
			case elector.EventElected:
				elected++
			case elector.EventDeposed:
				deposed++
				if change.Reason != elector.ReasonReleased || change.Token == 0 || elected != deposed {
					t.Fatalf("%+v, %d elected, %d deposed", change, elected, deposed)
				}
			case elector.EventLeaderChanged:
				if change.Leader != "a" && change.Leader != "" {
					t.Fatalf("%+v", change)
				}
			}
		}
		if elected < rounds || elected != deposed {
			t.Fatalf("%d elected, %d deposed", elected, deposed)
		}
		at := 0
		for change := range late {
			if change != along[at] {
				t.Fatalf("%+v instead of %+v", change, along[at])
			}
			at++
		}
		if at != len(along) {
			t.Fatalf("%d of %d", at, len(along))
		}
	})
}

func TestChangesReportTheLeader(t *testing.T) {
	t.Parallel()
	first := candidate(t, long(elector.Options{Store: memory(t), Candidate: "a"}))
	second := candidate(t, long(elector.Options{Store: memory(t), Candidate: "b"}))
	token := lead(t, first)
	next := reader(t, second)
	must(t, second.Campaign())
	change := next()
	if change.Event != elector.EventLeaderChanged || change.Leader != "a" || change.Token != token {
		t.Errorf("%+v", change)
	}
	must(t, first.Release(within(t, soon)))
	for next().Leader != "b" {
	}
}

func TestChangesEndWithTheirContext(t *testing.T) {
	t.Parallel()
	subject := candidate(t, long(elector.Options{Store: memory(t)}))
	ctx, cancel := context.WithCancel(context.Background())
	time.AfterFunc(20*time.Millisecond, cancel)
	for change := range subject.Changes(ctx) {
		t.Errorf("%+v", change)
	}
	// A second range statement continues after the last change that was read.
	changes := subject.Changes(within(t, soon))
	lead(t, subject)
	must(t, subject.Release(within(t, soon)))
	for revision := uint64(1); ; revision++ {
		var read elector.Change
		for read = range changes {
			break
		}
		if read.Revision != revision {
			t.Fatalf("the next change is %d instead of %d", read.Revision, revision)
		}
		if read.Event == elector.EventDeposed {
			return
		}
	}
}

// Keeps the lines that are logged.
type lines struct {
	sync.Mutex
	text strings.Builder
}

func (l *lines) Write(line []byte) (int, error) {
	l.Lock()
	defer l.Unlock()
	return l.text.Write(line)
}

func (l *lines) has(words ...string) bool {
	l.Lock()
	defer l.Unlock()
	for line := range strings.Lines(l.text.String()) {
		found := true
		for _, word := range words {
			found = found && strings.Contains(line, word)
		}
		if found {
			return true
		}
	}
	return false
}

func TestTheLoggerReceivesTermsAndErrorsOfTheStore(t *testing.T) {
	t.Parallel()
	var log lines
	file := newFile(t)
	logger := slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	logged := candidate(t, elector.Options{
		Election: "logged", Store: file.store(), Candidate: "a", Lease: 20 * time.Second,
		Renew: 200 * time.Millisecond, Logger: logger,
	})
	lead(t, logged)
	file.hang()
	eventually(t, "error", func() bool { return log.has("WARN", "election=logged", "the store failed") })
	eventually(t, "risk", func() bool { return log.has("WARN", "at_risk", "token=") })
	file.work()
	eventually(t, "better", func() bool { return log.has("INFO", "the store works again") })
	end(t, logged)
	eventually(t, "the end", func() bool { return log.has("INFO", "deposed", "reason=released") })
	if !log.has("INFO", "msg=elected") || !log.has("DEBUG", "leader_changed", "leader=a") {
		t.Error(log.text.String())
	}
}

func TestWaitingEndsWithItsContextAndWithTheElector(t *testing.T) {
	t.Parallel()
	lead(t, candidate(t, long(elector.Options{Store: memory(t)})))
	waiting := candidate(t, long(elector.Options{Store: memory(t)}))
	must(t, waiting.Campaign())
	if _, err := waiting.WaitUntilLeader(within(t, 20*time.Millisecond)); err != context.DeadlineExceeded {
		t.Error(err)
	}
	time.AfterFunc(20*time.Millisecond, func() { waiting.Close() })
	if _, err := waiting.WaitUntilLeader(within(t, soon)); !errors.Is(err, elector.ErrClosed) {
		t.Error(err)
	}
}
