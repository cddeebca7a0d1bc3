package elector

import (
	"context"
	"errors"
	"log/slog"
	"time"
)

// Tells a logger of changes and complaints. In a goroutine of its own: a handler that is slow, or that
// calls this very elector, holds up nobody. It ends with the elector, when it has told everything.
func (e *Elector) startLog() {
	at, logger := e.feed.last.Load(), e.logger
	go func() {
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		var complaint string
		for {
			select {
			case <-at.told:
				tell(logger, at.change)
				at = at.next
			case <-tick.C:
			case <-e.feed.ended:
				for ; at.isTold(); at = at.next {
					tell(logger, at.change)
				}
				return
			}
			complaint = e.tellComplaint(logger, complaint)
		}
	}()
}

func tell(logger *slog.Logger, change Change) {
	values := []any{"revision", change.Revision}
	if change.Token != 0 {
		values = append(values, "token", change.Token)
	}
	level := slog.LevelWarn
	switch change.Event {
	case EventElected, EventRenewed:
		level = slog.LevelInfo
	case EventDeposed:
		values = append(values, "reason", change.Reason.String())
		if change.Reason == ReasonReleased {
			level = slog.LevelInfo
		}
	case EventLeaderChanged:
		values = append(values, "leader", change.Leader)
		level = slog.LevelDebug
	case EventPoisonedRow:
		level = slog.LevelError
	}
	logger.Log(context.Background(), level, change.Event.String(), values...)
}

// The result of work that was cut off does not count, but it should not vanish if it is more than that. A
// handler that blocks holds up one such line, and no Run; the next ones are counted.
func (e *Elector) noteLate(ctx context.Context, result, over error) {
	if e.logger == nil || result == nil || errors.Is(result, context.Canceled) || errors.Is(result, over) ||
		errors.Is(result, context.Cause(ctx)) {
		return
	}
	if !e.noting.CompareAndSwap(false, true) {
		e.unnoted.Add(1)
		return
	}
	go func() {
		defer e.noting.Store(false)
		values := []any{"error", result}
		if unnoted := e.unnoted.Swap(0); unnoted > 0 {
			values = append(values, "not_logged", unnoted)
		}
		e.logger.Warn("work failed after its term was over", values...)
	}()
}

// Tells what the store complains about, if that is another thing than before.
func (e *Elector) tellComplaint(logger *slog.Logger, before string) string {
	var complaint string
	if err := e.LastError(); err != nil {
		complaint = err.Error()
	}
	// Asked after the complaint, which a closed elector does not know.
	if !e.gate.open.Load() {
		return before
	}
	switch {
	case complaint == before:
	case complaint == "":
		logger.Info("the store works again")
	default:
		logger.Warn("the store failed", "error", complaint)
	}
	return complaint
}
