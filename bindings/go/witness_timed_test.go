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

// How long the machine kept a test waiting: a thread that is ready to run waits in the run queue of a
// processor, which the kernel counts for every thread. The witness adds it up over this process, and adds how
// much too late its own goroutine woke. An upper bound that is missed while the witness waited for more than
// a quarter of it says nothing about the code: the test is inconclusive.
type witness struct {
	mutex  sync.Mutex
	last   map[string]time.Duration
	waited time.Duration
	ended  chan struct{}
}

// Between two samples. The waits of a thread that ends in between are lost.
const period = 20 * time.Millisecond

// Runs a test with a witness; once more if the first time is inconclusive.
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
	t.Error("inconclusive twice: the machine is too busy to tell")
}

// Fails the test if something took longer than this, or returns an error if the machine may be the cause.
func (witness *witness) atMost(t *testing.T, took, bound time.Duration, what string) error {
	t.Helper()
	if took <= bound {
		return nil
	}
	return witness.missed(t, bound, fmt.Sprintf("%s took %v, not %v", what, took, bound))
}

// Fails the test since it missed this bound, or returns an error if the machine may be the cause.
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

// Forgets what was waited for until now.
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
		// A millisecond is what every sleep takes longer than asked.
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
		// A counter that shrank is that of a new thread with the number of an old one.
		if waited < before {
			before = 0
		}
		witness.last[path] = waited
		witness.waited += waited - before
	}
}
