package elector

import (
	"context"
	"errors"
	"log/slog"
	"time"
)

// Starts a goroutine that logs changes and errors of the store. A handler that is slow, or that calls this
// elector, delays only this goroutine. The goroutine ends when the elector is closed and all changes are
// logged.
func (e *Elector) startLog() {
	at, logger := e.history.last.Load(), e.logger
	go func() {
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		var lastError string
		for {
			select {
			case <-at.ready:
				logChange(logger, at.change)
				at = at.next
			case <-tick.C:
			case <-e.history.ended:
				for ; at.isReady(); at = at.next {
					logChange(logger, at.change)
				}
				return
			}
			lastError = e.logStoreError(logger, lastError)
		}
	}()
}

func logChange(logger *slog.Logger, change Change) {
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

// Logs the error of work whose term was over before it returned: Run does not return this error. An error
// that only reports the end of the context is not logged. A handler that blocks delays one such line, and no
// Run; the errors that follow are counted.
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

// Logs the store's last error if it has changed, and returns it.
func (e *Elector) logStoreError(logger *slog.Logger, before string) string {
	var lastError string
	if err := e.LastError(); err != nil {
		lastError = err.Error()
	}
	// Checked after LastError, which is nil once the elector is closed.
	if !e.gate.open.Load() {
		return before
	}
	switch {
	case lastError == before:
	case lastError == "":
		logger.Info("the store works again")
	default:
		logger.Warn("the store failed", "error", lastError)
	}
	return lastError
}
