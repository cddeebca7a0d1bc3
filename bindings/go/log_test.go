package elector

import (
	"log/slog"
	"strings"
	"testing"
)

// A slow handler, or a tick while Close ends, may check for the store's last error after the elector was
// closed.
func TestAClosedElectorDoesNotSayThatTheStoreWorksAgain(t *testing.T) {
	t.Parallel()
	e, _ := alone(t)
	var said strings.Builder
	logger := slog.New(slog.NewTextHandler(&said, nil))
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	if lastError := e.logStoreError(logger, "it hangs"); lastError != "it hangs" || said.Len() != 0 {
		t.Errorf("%q, and the log says %q", lastError, said.String())
	}
}
