// Command driver is the Go candidate in the test of all languages in one election. It campaigns, calls
// IsLeader continuously, reports changes of the answer on its output, and executes the commands on its input.
//
// "up TOKEN NS": the candidate began to lead at this time or before; the time was read after the first true.
// "still TOKEN NS" and "down TOKEN NS": the candidate led at this time or later; the time was read before the
// call that returned the last true. Times are nanoseconds of the clock on which trust in a lease is measured.
package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	elector "github.com/elector/elector/bindings/go"
	"github.com/elector/elector/bindings/go/internal/library"
)

// The time between two calls of IsLeader.
const sample = 3 * time.Millisecond

// The number of calls after which it reports again that it still leads, and checks for a new error of the
// store.
const repeat = 10

// The number of calls so far.
var rounds atomic.Uint64

func main() {
	lease, err := strconv.Atoi(os.Getenv("ELECTOR_TEST_LEASE_MS"))
	check(err)
	candidate, err := elector.New(elector.Options{
		Election: os.Getenv("ELECTOR_TEST_CANDIDATE"),
		Store:    os.Getenv("ELECTOR_TEST_STORE"),
		Lease:    time.Duration(lease) * time.Millisecond,
		Margin:   100 * time.Millisecond,
	})
	check(err)
	check(candidate.Campaign())
	go watch(candidate)
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		obey(candidate, lines.Text())
		say("done %s", lines.Text())
	}
}

func obey(candidate *elector.Elector, line string) {
	switch line {
	case "release":
		over, cancel := context.WithCancel(context.Background())
		cancel()
		_ = candidate.Release(over)
	case "campaign":
		check(candidate.Campaign())
	case "end":
		limited, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		_ = candidate.Release(limited)
		// The next call of IsLeader returns false, but the round of the previous call may not be over.
		for asked := rounds.Load() + 2; rounds.Load() < asked; {
			time.Sleep(sample)
		}
	default:
		check(fmt.Errorf("the test said %q", line))
	}
}

// Calls IsLeader again and again, as an application does, and reports when the answer changes.
func watch(candidate *elector.Elector) {
	var led, last uint64
	lastError := "none"
	for ; ; rounds.Add(1) {
		before := library.Now()
		var token uint64
		if candidate.IsLeader() {
			token = candidate.Token()
		}
		after := library.Now()
		if led != token && led != 0 {
			say("down %d %d", led, last)
		}
		if led != token && token != 0 {
			say("up %d %d", token, after)
		}
		led, last = token, before
		if rounds.Load()%repeat == 0 {
			if token != 0 {
				say("still %d %d", token, before)
			}
			lastError = reportError(candidate, lastError)
		}
		time.Sleep(sample)
	}
}

// Reports the store's last error if it has changed, and returns it.
func reportError(candidate *elector.Elector, before string) string {
	lastError := "none"
	if err := candidate.LastError(); err != nil {
		lastError = strings.ReplaceAll(err.Error(), "\n", " ")
	}
	if lastError != before {
		say("error %s", lastError)
	}
	return lastError
}

var output sync.Mutex

// Prints a line for the test. The mark "@" distinguishes it from other output of a program.
func say(format string, values ...any) {
	output.Lock()
	defer output.Unlock()
	// A test that has ended does not read any more.
	_, _ = fmt.Printf("@ "+format+"\n", values...)
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
