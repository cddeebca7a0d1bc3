//go:build timed

package elector_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// A witness measures how long a busy machine delayed a test. A thread that is ready to run waits in the run
// queue of a processor, and the kernel counts this time for every thread. The witness adds it up over this
// process, and adds the delay with which its own goroutine woke. If a test exceeds a time limit, and the
// witness measured more than a quarter of the limit, the test is inconclusive: the code may not be the cause.
type witness struct {
	mutex  sync.Mutex
	last   map[string]time.Duration
	waited time.Duration
	ended  chan struct{}
}

// The time between two samples. If a thread ends between them, its waiting time since the last sample is
// lost.
const period = 20 * time.Millisecond

// Runs a test with a witness, and once more if the first run is inconclusive.
func witnessed(t *testing.T, body func(*witness) error) {
	t.Helper()
	for range 2 {
		witness := &witness{last: map[string]time.Duration{}, ended: make(chan struct{})}
		witness.reset()
		go witness.watch()
		err := body(witness)
		close(witness.ended)
		if err == nil || t.Failed() {
			return
		}
		t.Logf("inconclusive: %v", err)
	}
	t.Error("inconclusive twice: the machine is too busy for this test")
}

// Fails the test if an action took longer than bound, or returns an error if the machine may be the cause.
func (witness *witness) atMost(t *testing.T, took, bound time.Duration, what string) error {
	t.Helper()
	if took <= bound {
		return nil
	}
	return witness.missed(t, bound, fmt.Sprintf("%s took %v, not %v", what, took, bound))
}

// Fails the test because it exceeded bound, or returns an error if the machine may be the cause.
func (witness *witness) missed(t *testing.T, bound time.Duration, what string) error {
	t.Helper()
	witness.sample()
	witness.mutex.Lock()
	defer witness.mutex.Unlock()
	err := fmt.Errorf("%s; the machine kept it waiting for %v", what, witness.waited)
	if witness.waited > bound/4 {
		return err
	}
	t.Error(err)
	return nil
}

// Resets the measured delay to zero.
func (witness *witness) reset() {
	witness.sample()
	witness.mutex.Lock()
	defer witness.mutex.Unlock()
	witness.waited = 0
}

func (witness *witness) watch() {
	for {
		asleep := time.Now()
		select {
		case <-witness.ended:
			return
		case <-time.After(period):
		}
		// Every sleep takes about a millisecond longer than requested.
		oversleep := time.Since(asleep) - period - time.Millisecond
		witness.sample()
		witness.mutex.Lock()
		witness.waited += max(0, oversleep)
		witness.mutex.Unlock()
	}
}

func (witness *witness) sample() {
	witness.mutex.Lock()
	defer witness.mutex.Unlock()
	paths, _ := filepath.Glob("/proc/self/task/*/schedstat")
	for _, path := range paths {
		var ran, waited time.Duration
		line, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		if _, err := fmt.Fscan(strings.NewReader(string(line)), &ran, &waited); err != nil {
			continue
		}
		before := witness.last[path]
		// A counter that shrank belongs to a new thread with the number of an ended thread.
		if waited < before {
			before = 0
		}
		witness.last[path] = waited
		witness.waited += waited - before
	}
}
