// Command driver is the Go candidate of the test of all languages in one election: it campaigns, asks
// itself all the time whether it leads, says on its output when the answer changes, and does what its input
// says.
//
// "up TOKEN NS": it has begun to lead at this instant or before, read after the first yes. "still TOKEN NS"
// and "down TOKEN NS": it led at this instant or later, read before the question of the last yes. They are
// nanoseconds of the clock that leases are trusted by.
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

// How often the candidate asks itself whether it leads.
const sample = 3 * time.Millisecond

// After how many questions it repeats that it still leads, and looks for a new complaint of its store.
const repeat = 10

// How often it has asked.
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
		// The next question is answered with no; the round of the one before may not be over.
		for asked := rounds.Load() + 2; rounds.Load() < asked; {
			time.Sleep(sample)
		}
	default:
		check(fmt.Errorf("the test said %q", line))
	}
}

// Asks again and again, as an application does, and says when the answer changes.
func watch(candidate *elector.Elector) {
	var led, last uint64
	complaint := "none"
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
			complaint = complain(candidate, complaint)
		}
		time.Sleep(sample)
	}
}

func complain(candidate *elector.Elector, before string) string {
	complaint := "none"
	if err := candidate.LastError(); err != nil {
		complaint = strings.ReplaceAll(err.Error(), "\n", " ")
	}
	if complaint != before {
		say("error %s", complaint)
	}
	return complaint
}

var output sync.Mutex

// Says a line to the test. Its mark tells it from whatever else a program may print.
func say(format string, values ...any) {
	output.Lock()
	defer output.Unlock()
	// A test that ended reads no more.
	_, _ = fmt.Printf("@ "+format+"\n", values...)
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
