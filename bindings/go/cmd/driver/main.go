// Command driver is the Go candidate of the test of all languages in one election: it campaigns, asks
// itself all the time whether it leads, says on its output when the answer changes, and does what its input
// says.
//
// An instant is only given when the candidate led at it for certain: "up TOKEN NS" after the first yes, "down
// TOKEN NS" before the question of the last one, in nanoseconds of the clock that leases are trusted by.
package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	elector "github.com/elector/elector/bindings/go"
	"github.com/elector/elector/bindings/go/internal/library"
)

// How often the candidate asks itself whether it leads.
const sample = 300 * time.Microsecond

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
		// The next sample says that it leads no more.
		time.Sleep(10 * sample)
	default:
		check(fmt.Errorf("the test said %q", line))
	}
}

// Asks again and again, as an application does, and says when the answer changes.
func watch(candidate *elector.Elector) {
	var led, last uint64
	complaint := "none"
	for round := 0; ; round++ {
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
		if round%100 == 0 {
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
