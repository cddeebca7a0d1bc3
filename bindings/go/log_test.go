package elector

import (
	"log/slog"
	"strings"
	"testing"
)

// A slow logger, or a tick while Close ends, asks for the complaint when the elector knows none any more.
func TestAClosedElectorDoesNotSayThatTheStoreWorksAgain(t *testing.T) {
	t.Parallel()
	e, _ := alone(t)
	var said strings.Builder
	logger := slog.New(slog.NewTextHandler(&said, nil))
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	if complaint := e.tellComplaint(logger, "it hangs"); complaint != "it hangs" || said.Len() != 0 {
		t.Errorf("%q, and the log says %q", complaint, said.String())
	}
}
